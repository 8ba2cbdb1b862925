"""An attacker of the store: what it does to a live service, and what it gets.

    python -m tests.security.attacker --store disk [--encrypted]

It can write to the store as it likes, and has no key. The service is a process of its
own with boto3 and botocache, and asks a DynamoDB of the tests. After each attack it
reads everything again. The script prints a table: whether an answer was another one
than DynamoDB's, what failed, how many of the reads were hits, and the slowest read.
Ends with 1 if an attack got something that the documentation does not say.
"""

import argparse
import contextlib
import json
import os
import pickle
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import redis
import zstandard

import botocache
from tests.security.service import flush
from tests.support.dynamodb import DynamoDB, running_dynamodb
from tests.support.trips import answering
from tests.support.valkey_server import ValkeyServer, running_valkey

ROOT = Path(__file__).parents[2]
NAMES = ("a", "b", "c")
SLOWEST = 5.0
"""Seconds. Far above the deadline of a call, for a machine that is busy."""

STORES = ("disk", "redis")

_SLOTS_AT = 64
_SLOT = struct.Struct("=QQ")


def _words(count: int) -> Sequence[int]:
    source = random.Random(7)
    return struct.unpack(f"={count}Q", source.randbytes(8 * count))


class Result(NamedTuple):
    """What an attack got.

    wrong: answers that were not DynamoDB's.
    failures: calls that failed.
    hits: reads that the cache answered, of those after the attack.
    reads: their number.
    slowest: of them, in seconds.
    """

    attack: str
    wrong: int
    failures: int
    hits: int
    reads: int
    slowest: float


class Service:
    """The service. environ: its settings, beside credentials."""

    def __init__(self, table: str, url: str, environ: dict[str, str]) -> None:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "BOTOCACHE"))
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.security.service", table, url],
            cwd=ROOT,
            env={**clean, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, *command: str) -> Any:
        """Return the reply to a command."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(command) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    def close(self) -> str:
        """End it; return what it has logged."""
        _, errors = self._process.communicate(timeout=30)
        return errors


class Pickled:
    """Makes a file if it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


# --- what can be written to --------------------------------------------------------


class Disk:
    """The attacker's hands on a cache directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"disk://{directory}/cache"

    @property
    def _database(self) -> Path:
        return next(self.directory.rglob("cache.db"))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._database, timeout=5)
        with contextlib.closing(database), database:
            yield database

    def entries(self) -> dict[Any, Any]:
        """Return all entries by their names."""
        with self._open() as opened:
            return dict(opened.execute("SELECT key, value FROM Cache"))

    def put(self, entries: dict[Any, Any]) -> None:
        """Write entries in the place of those with these names."""
        assert entries
        with self._open() as opened:
            for name, value in entries.items():
                # Not by its row, which a fill replaces.
                changed = opened.execute(
                    "UPDATE Cache SET value = ? WHERE key = ?", (value, name)
                )
                assert changed.rowcount == 1

    def poison_generations(self) -> None:
        """Write other generations into each slot."""
        slots = next(self.directory.rglob("slots"))
        with slots.open("r+b") as file:
            size = file.seek(0, os.SEEK_END) - _SLOTS_AT
            file.seek(_SLOTS_AT)
            # Random generations, and no hold-off, which would only cost hits.
            file.write(b"".join(map(_SLOT.pack, _words(size // 16), repeat(0))))

    def cut_generations(self) -> None:
        """Do what `: > slots` does."""
        for slots in self.directory.rglob("slots"):
            slots.write_bytes(b"")


class Server:
    """The attacker's hands on a server."""

    def __init__(self, server: ValkeyServer) -> None:
        self.server = server
        self.url = server.url
        self._client: Any = redis.Redis(port=server.port)

    def entries(self) -> dict[Any, Any]:
        """Return all entries by their names."""
        return {
            name: self._client.get(name)
            for name in self._client.keys("botocache:*:e:*")
        }

    def put(self, entries: dict[Any, Any]) -> None:
        """Write entries in the place of those with these names."""
        assert entries
        for name, value in entries.items():
            self._client.delete(name)
            if isinstance(value, bytes):
                self._client.set(name, value, ex=1000)
            else:
                self._client.rpush(name, str(value))

    def poison_generations(self) -> None:
        """Write garbage in the place of each generation."""
        source = random.Random(7)
        for name in self._client.keys("botocache:*:g:*"):
            self._client.set(name, source.randbytes(8 + source.randrange(20)))

    def cut_generations(self) -> None:
        """Delete everything."""
        self._client.flushall()


Hands = Disk | Server


# --- attacks -----------------------------------------------------------------------


def _each(change: Callable[[bytes], Any]) -> Callable[[Hands], None]:
    def attack(hands: Hands) -> None:
        entries = hands.entries()
        hands.put({name: change(bytes(value)) for name, value in entries.items()})

    return attack


def _swap(hands: Hands) -> None:
    """Move each entry to the name of another one."""
    entries = hands.entries()
    names = [*entries]
    hands.put(
        dict(zip(names, [entries[n] for n in names[1:] + names[:1]], strict=True))
    )


def _bomb(_: bytes) -> bytes:
    return b"\xc1\1" + zstandard.ZstdCompressor().compress(bytes(300 * 1024**2))


def _flip(entry: bytes) -> bytes:
    return entry[:-2] + bytes([entry[-2] ^ 1]) + entry[-1:]


def _with_times(entry: bytes) -> bytes:
    """Write times that are no numbers into the place of an entry's times."""
    nan = b"\0\0\0\0\0\0\xf8\x7f"
    return entry[:2] + nan * 2 + entry[18:]


ATTACKS: dict[str, Callable[[Hands], None]] = {
    "pickles": _each(lambda _: pickle.dumps(Pickled(_marker()))),
    "other bytes": _each(_flip),
    "times that are no numbers": _each(_with_times),
    "nothing": _each(lambda _: b""),
    "entries moved to other items": _swap,
    "deep nesting": _each(lambda entry: entry[:40] + b"\x91" * 1_000_000),
    "an announced list": _each(lambda entry: entry[:40] + b"\xdd\xff\xff\xff\xff"),
    "giant entries": _each(lambda entry: entry + bytes(30 * 1024**2)),
    "a compressed bomb": _each(_bomb),
    "values of another type": _each(lambda _: 7),
    "a poisoned table of generations": lambda hands: hands.poison_generations(),
    "no table of generations": lambda hands: hands.cut_generations(),
}
"""What is done to the store, by what it puts there."""


def _marker() -> str:
    return str(Path(tempfile.gettempdir()) / f"botocache-unpickled-{os.getpid()}")


def _credentials(number: int) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": f"AKIATEST{number}",
        "AWS_SECRET_ACCESS_KEY": f"secret{number}",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Campaign:
    """All attacks on one store. key: that encrypts its entries; "" for none."""

    def __init__(self, dynamodb: DynamoDB, hands: Hands, key: str = "") -> None:
        self._hands = hands
        self._dynamodb = dynamodb
        self._truth = dynamodb.client()
        self._table = dynamodb.create_table("pk:S")
        self._key = key
        self.results: list[Result] = []
        for name in NAMES:
            self._put(name, f"first of {name}")

    def environ(self, number: int = 0, **more: str) -> dict[str, str]:
        """Return the environment of a service. number: of its role."""
        settings = {
            "BOTOCACHE_URL": self._hands.url,
            "BOTOCACHE_TTL": "3600",
            "BOTOCACHE_TIMEOUT": "1",
            "BOTOCACHE_SETTLE": "0",
            "BOTOCACHE_WRITE_HOLD_OFF": "0",
            # Each read is one of the store's. What the process remembers is its own.
            "BOTOCACHE_NEAR": "off",
        }
        if self._key:
            settings["BOTOCACHE_ENCRYPTION_KEYS"] = self._key
        return {**_credentials(number), **settings, **more}

    @contextlib.contextmanager
    def service(self, number: int = 0, **more: str) -> Iterator[Service]:
        """Run a service."""
        made = Service(self._table, self._dynamodb.url, self.environ(number, **more))
        try:
            yield made
        finally:
            made.close()

    def run(self, names: Sequence[str] = ()) -> list[Result]:
        """Run all attacks, or those named, and the replay of old entries."""
        with self.service() as service:
            for name in names or ATTACKS:
                self._fill(service, name)
                ATTACKS[name](self._hands)
                self._judge(name, service)
            self._replay(service)
        if names:
            return self.results
        self._neighbour()
        self._forge()
        if isinstance(self._hands, Disk):
            self._directories(self._hands.directory)
        else:
            self._garbage(self._hands)
        return self.results

    def _fill(self, service: Service, attack: str) -> None:
        """Read everything until it is cached: there must be something to attack."""
        for _ in range(100):
            before = self._read(service)
            if before.hits == before.reads:
                self._flush(service)
                return
            time.sleep(0.05)  # a service opens a damaged store anew, behind its calls
        raise AssertionError(f"before {attack}: {before}")

    def _flush(self, service: Service) -> None:
        """Have the service write what waits in it, out of an attacker's reach.

        Else an attack meets no entries, or those that wait replace its own.
        """
        assert service.ask("flush")["answer"] is True

    def _judge(self, attack: str, service: Service) -> None:
        self.results.append(self._read(service)._replace(attack=attack))
        # And it heals.
        for _ in range(2):
            healed = self._read(service)
        assert healed.wrong == healed.failures == 0, f"after {attack}: {healed}"

    def _read(self, service: Service) -> Result:
        wrong = failures = reads = 0
        slowest = 0.0
        hits: list[int] = []
        for kind in ("get", "query"):
            for name in NAMES:
                reply = service.ask(kind, name)
                answer, expected = reply["answer"], self._expected(kind, name)
                is_failure = isinstance(answer, dict) and "failure" in answer
                failures += is_failure
                wrong += not is_failure and answer != expected
                reads += 1
                slowest = max(slowest, reply["took"])
                hits.append(reply["counts"]["hits"])
        counted = hits[-1] - self._hits.get(id(service), 0)
        self._hits[id(service)] = hits[-1]
        return Result("", wrong, failures, counted, reads, slowest)

    _hits: dict[int, int] = {}  # noqa: RUF012 - of services that are running

    def _expected(self, kind: str, name: str) -> Any:
        key = {"pk": {"S": name}}
        item = self._truth.get_item(TableName=self._table, Key=key)["Item"]
        return item if kind == "get" else [item]

    def _put(self, name: str, value: str) -> None:
        item = {"pk": {"S": name}, "value": {"S": value}}
        self._truth.put_item(TableName=self._table, Item=item)

    def _replay(self, service: Service) -> None:
        """Put the entries of before a write back after it."""
        self._fill(service, "a replay")
        old = self._hands.entries()
        for name in NAMES:
            service.ask("put", name, f"second of {name}")
        self._read(service)
        self._flush(service)
        self._hands.put(old)
        self._judge("entries from before a write", service)

    def _neighbour(self) -> None:
        """Read what a service with another role has left."""
        made = Service(self._table, self._dynamodb.url, self.environ(1))
        try:
            first = self._read(made)
        finally:
            made.close()
        # What it is served are its own answers.
        self.results.append(first._replace(attack="a neighbour with another role"))

    def _forge(self) -> None:
        """Fill false answers by botocache itself, for a scope that is no secret."""
        with self.service(BOTOCACHE_SCOPE="shared") as service:
            self._fill(service, FORGED)
            session = boto3.Session("AKIATEST9", "secret", region_name="us-east-1")
            cache = botocache.install(
                session, url=self._hands.url, scope="shared", near="off", timeout=1.0
            )
            client = session.client("dynamodb", endpoint_url=self._dynamodb.url)
            forged = b'{"Item":{"pk":{"S":"a"},"value":{"S":"forged"}}}'
            with answering(client, {"GetItem": forged}), botocache.refresh():
                for name in NAMES:
                    client.get_item(TableName=self._table, Key={"pk": {"S": name}})
            assert flush(cache.services.store)
            botocache.uninstall(session)
            result = self._read(service)
        self.results.append(result._replace(attack=FORGED))

    def _directories(self, directory: Path) -> None:
        """Put links and open directories in the place of the cache's."""
        elsewhere = directory / "elsewhere"
        elsewhere.mkdir()
        link, open_one = directory / "link", directory / "open"
        link.symlink_to(elsewhere)
        open_one.mkdir()
        open_one.chmod(0o777)
        for attack, place in (
            ("a symbolic link for a directory", link),
            ("a directory that all may write to", open_one),
        ):
            with self.service(BOTOCACHE_URL=f"disk://{place}") as service:
                self._judge(attack, service)

    def _garbage(self, hands: Server) -> None:
        """Answer garbage in the place of the server."""
        with self.service() as service:
            self._fill(service, "garbage")
            with garbage_at(hands.server):
                result = self._read(service)
            self.results.append(result._replace(attack="a server that answers garbage"))


@contextlib.contextmanager
def garbage_at(server: ValkeyServer) -> Iterator[None]:
    """Answer at a server's port with garbage."""
    server.kill()
    program = (
        "import os, socketserver, sys\n"
        "class H(socketserver.BaseRequestHandler):\n"
        "    def handle(self):\n"
        "        while self.request.recv(65536):\n"
        "            self.request.sendall(b'*3\\r\\n$99\\r\\n' + os.urandom(500))\n"
        "socketserver.ThreadingTCPServer.allow_reuse_address = True\n"
        "socketserver.ThreadingTCPServer.daemon_threads = True\n"
        "s = socketserver.ThreadingTCPServer(('127.0.0.1', int(sys.argv[1])), H)\n"
        "print('ready', flush=True)\n"
        "import threading\n"
        "threading.Thread(target=s.serve_forever, daemon=True).start()\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(server.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(timeout=30)


FORGED = "false answers by a botocache without the key"
"""Without an encryption key, a writer of the store is trusted: the docs say so."""


def problems(results: Sequence[Result], *, is_encrypted: bool) -> list[str]:
    """Return what attacks got that they must not get."""
    found = []
    for each in results:
        may_be_wrong = each.attack == FORGED and not is_encrypted
        if each.failures or (each.wrong and not may_be_wrong):
            found.append(f"{each.attack}: {each}")
        if each.slowest > SLOWEST:
            found.append(f"{each.attack}: a read took {each.slowest:.1f} s")
    if Path(_marker()).exists():
        Path(_marker()).unlink()
        found.append("a pickle was loaded")
    return found


def table_of(results: Sequence[Result]) -> str:
    """Return results as a table."""
    head = f"{'attack':<48}{'false':>7}{'failed':>8}{'hits':>7}{'slowest':>10}"
    return "\n".join(
        [
            head,
            *(
                f"{each.attack:<48}{each.wrong:>7}{each.failures:>8}"
                f"{each.hits:>4}/{each.reads}{each.slowest:>8.2f} s"
                for each in results
            ),
        ]
    )


@contextlib.contextmanager
def opened(store: str) -> Iterator[Hands]:
    """Open a place for a store."""
    if store == "redis":
        with running_valkey() as server:
            yield Server(server)
        return
    directory = Path(tempfile.mkdtemp())
    try:
        yield Disk(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def main() -> int:
    """Attack a store, and print what that got."""
    parser = argparse.ArgumentParser(prog="python -m tests.security.attacker")
    parser.add_argument("--store", choices=STORES, default="disk")
    parser.add_argument("--encrypted", action="store_true")
    arguments = parser.parse_args()
    with running_dynamodb() as dynamodb, opened(arguments.store) as hands:
        key = KEY if arguments.encrypted else ""
        results = Campaign(dynamodb, hands, key).run()
    print(table_of(results))
    found = problems(results, is_encrypted=arguments.encrypted)
    print(*found, sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
