"""The doctor finds planted faults and says what to do, and is silent where all is well.

The faults are real ones: real servers, users, directories, file systems and limits. An
older server, and one with another clock, are a real one with some replies changed.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from botocache import __main__ as command_line
from botocache._observe.doctor import disk, start
from botocache._observe.doctor import examine as examination
from botocache._observe.doctor.findings import Finding, State
from botocache._observe.doctor.start import ChildAnswer
from botocache._settings.load import load_settings
from botocache.stores import options
from botocache.stores.disk import store as disk_store
from botocache.stores.redis import urls
from tests.support.doctor_peer import (
    complaints_on_mount,
    complaints_with_small_files,
)
from tests.support.hostile_server import HostileServer, hostile_server
from tests.support.places import DOCS
from tests.support.privileges import NOBODY, as_nobody, can_mount, is_root
from tests.support.processes import running_peer
from tests.support.valkey_cluster import ValkeyCluster
from tests.support.valkey_server import ValkeyServer, free_port

Examine = Callable[..., list[Finding]]

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

STARTED = ChildAnswer(
    startup=None,
    package=str(Path(command_line.__file__).parent),
    is_loaded=True,
    is_installed=True,
    words=("", "0", "1", "off", "on"),
    path=(),
    site_directories=(),
    is_site_on=True,
    complaint="",
)
"""What a Python says in which all is well. Only the tests about it start one."""


@pytest.fixture
def examine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Examine:
    """Run `botocache doctor --json` with some variables, and return its findings."""
    monkeypatch.setattr(start, "start_child", lambda *_: STARTED)

    def run(**variables: str) -> list[Finding]:
        # A busy machine must not make a server look slow.
        for name, value in {"BOTOCACHE_TIMEOUT": "5", **variables}.items():
            monkeypatch.setenv(name, value)
        status = command_line.main(["doctor", "--json"])
        return findings_of(capsys.readouterr().out, status)

    return run


def findings_of(output: str, status: int) -> list[Finding]:
    document: dict[str, Any] = json.loads(output)
    found = [
        Finding(f["subject"], State(f["state"]), f["found"], f["advice"])
        for f in document["findings"]
    ]
    assert status == (1 if State.BAD in {each.state for each in found} else 0)
    assert all(each.found for each in found)
    return found


def complaints(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.state is not State.GOOD]


def the_complaint(findings: list[Finding], subject: str) -> Finding:
    """Return the one finding about a subject that is not good; it says what to do."""
    (found,) = [each for each in complaints(findings) if each.subject == subject]
    assert found.advice
    return found


@pytest.fixture
def hostile(valkey: ValkeyServer) -> Iterator[HostileServer]:
    with hostile_server(valkey.port) as server:
        yield server


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that another user may search."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


# --- no false alarms ---------------------------------------------------------------


def urls_of(valkey: ValkeyServer, directory: Path) -> dict[str, str]:
    return {
        "memory": "memory:",
        "disk": f"disk://{directory}/new?size_limit=16MiB",
        "redis": valkey.url,
        "socket": f"unix://{valkey.socket_path}?db=0",
    }


SURROUNDINGS: dict[str, dict[str, str]] = {
    "plain": {},
    "toggled": {"BOTOCACHE": "1"},
    "encrypted": {"BOTOCACHE_ENCRYPTION_KEYS": KEY},
    "two keys": {"BOTOCACHE_ENCRYPTION_KEYS": f"{KEY},plain"},
    "in Kubernetes": {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "BOTOCACHE_SERVICE_HOST": "10.0.0.2",
        "BOTOCACHE_PORT_6379_TCP": "tcp://10.0.0.2:6379",
        "BOTOCACHE_SETTLE": "",
    },
    "on Lambda": {"AWS_LAMBDA_FUNCTION_NAME": "f", "HOME": "/home/sbx_user1051"},
    "beside boto's own": {"BOTO_CONFIG": "/x", "BOTOCORE_CONFIG": "/x"},
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
@pytest.mark.parametrize("kind", ["memory", "disk", "redis", "socket"])
def test_where_all_is_well_nothing_is_complained_of(  # noqa: PLR0913, PLR0917 - fixtures
    examine: Examine,
    valkey: ValkeyServer,
    tmp_path: Path,
    namespace: str,
    kind: str,
    surroundings: str,
) -> None:
    findings = examine(
        BOTOCACHE_URL=urls_of(valkey, tmp_path)[kind],
        BOTOCACHE_NAMESPACE=namespace,
        **SURROUNDINGS[surroundings],
    )
    assert complaints(findings) == []
    (trip,) = [each for each in findings if each.subject == "round trip"]
    assert trip.found.startswith("fill, load, evict, load: as it should be")
    # It leaves nothing behind, not even a directory.
    assert not (tmp_path / "new").exists()
    assert valkey.command("KEYS", f"botocache:{namespace}:*") == b"*0\r\n"


def test_without_a_home_nothing_is_complained_of(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    findings = examine(TMPDIR=str(tmp_path), BOTOCACHE_URL="disk:?size_limit=16MiB")
    assert complaints(findings) == []


def test_a_store_that_is_in_use_is_left_as_it_was(
    examine: Examine, tmp_path: Path
) -> None:
    url = f"disk://{tmp_path}/used?size_limit=16MiB"
    settings = load_settings({}, {"BOTOCACHE_URL": url}, "")
    from botocache.stores.opening import open_store
    from botocache.stores.protocol import Deferring

    with contextlib.closing(open_store(settings.store_options({}))) as store:
        # Else a thread would make the database later, behind the first calls.
        store.fill(b"k" * 16, b"entry", 60.0)
        assert isinstance(store, Deferring)
        assert store.flush(5.0)
        before = sorted(path.name for path in (tmp_path / "used").rglob("*"))
        assert complaints(examine(BOTOCACHE_URL=url)) == []
        after = sorted(path.name for path in (tmp_path / "used").rglob("*"))
    assert after == before


@pytest.mark.parametrize(
    "rules",
    [
        "~botocache:{}:* +@read +@write +@scripting +@connection -@dangerous +info",
        "~botocache:* +mget +getrange +set +unlink +scan +time +info +eval +evalsha "
        "+pttl +pexpire +zcard +zadd +zscore +zremrangebyscore +scard +sadd "
        "+hset +hget +hmget +hlen +hstrlen +hkeys +hdel",
    ],
)
def test_a_user_with_no_more_than_the_documented_rules_is_well(
    examine: Examine, valkey: ValkeyServer, namespace: str, rules: str
) -> None:
    words = rules.format(namespace).split()
    valkey.command("ACL", "SETUSER", namespace, "reset", "on", ">password", *words)
    valkey.command("ACL", "SETUSER", namespace, "+time")
    findings = examine(
        BOTOCACHE_URL=f"redis://{namespace}:password@127.0.0.1:{valkey.port}/0",
        BOTOCACHE_NAMESPACE=namespace,
    )
    assert complaints(findings) == []


def test_a_healthy_cluster_is_well(
    examine: Examine, cluster: ValkeyCluster, namespace: str
) -> None:
    findings = examine(BOTOCACHE_URL=cluster.url, BOTOCACHE_NAMESPACE=namespace)
    assert complaints(findings) == []
    versions = [each for each in findings if each.subject == "server version"]
    assert len(versions) == 3  # each primary
    kept = [node.command("KEYS", f"botocache:{namespace}:*") for node in cluster.nodes]
    assert set(kept) == {b"*0\r\n"}


def test_client_tracking_that_cannot_work_is_found(
    examine: Examine, cluster: ValkeyCluster, namespace: str
) -> None:
    findings = examine(
        BOTOCACHE_URL=cluster.url,
        BOTOCACHE_NAMESPACE=namespace,
        BOTOCACHE_CLIENT_TRACKING="on",
        AWS_LAMBDA_FUNCTION_NAME="f",
    )
    found = [each for each in complaints(findings) if each.subject == "client tracking"]
    assert len(found) == 2  # of the cluster, and of Lambda
    assert {each.advice for each in found} == {"Set BOTOCACHE_CLIENT_TRACKING=off."}
    assert complaints(findings) == found


# --- ten faults, and their relatives -----------------------------------------------


def test_a_misspelt_variable_is_named_with_the_right_one(examine: Examine) -> None:
    findings = examine(BOTOCACHE_URL="memory:", BOTOCACHE_TLL="5")
    found = the_complaint(findings, "variable BOTOCACHE_TLL")
    assert (found.state, found.advice) == (
        State.WARNING,
        "Rename it to BOTOCACHE_TTL. Ignore this while a newer version is rolled out.",
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BOTCACHE_URL", "BOTOCACHE_URL"),
        ("botocache_url", "BOTOCACHE_URL"),
        ("BOTOCACHE-TTL", "BOTOCACHE_TTL"),
        ("BOTOCHACHE", "BOTOCACHE"),
    ],
)
def test_a_misspelt_prefix_is_found(examine: Examine, name: str, meant: str) -> None:
    found = the_complaint(
        examine(**{"BOTOCACHE_URL": "memory:", name: "1"}), f"variable {name}"
    )
    assert found.advice == f"Rename it to {meant}, if it is meant for botocache."


def test_a_store_that_is_down_is_found(examine: Examine) -> None:
    found = the_complaint(
        examine(BOTOCACHE_URL=f"redis://127.0.0.1:{free_port()}/0"), "server"
    )
    assert found.state is State.BAD
    assert "Connection refused" in found.found
    assert found.advice.startswith("Start the server, or correct the host and port")


def test_a_server_that_hangs_is_found_in_time(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urls, "CONNECT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        found = the_complaint(
            examine(BOTOCACHE_URL=url, BOTOCACHE_TIMEOUT="0.02"), "server"
        )
    assert found.state is State.BAD
    assert found.advice.startswith("Let firewall and security group pass the port")


def test_sentinels_that_hang_are_found_and_no_password_is_shown(
    examine: Examine,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        url = f"redis+sentinel://app:s3cret@{host}/shop/0?sentinel_password=s3cret2"
        findings = examine(BOTOCACHE_URL=url, BOTOCACHE_TIMEOUT="0.02")
    found = the_complaint(findings, "server")
    assert found.found.endswith("MasterNotFoundError: No master found for 'shop'")
    assert found.advice.startswith("Correct the service's name in BOTOCACHE_URL")
    assert "s3cret" not in str(findings)


def test_a_directory_that_cannot_be_written_is_found(
    examine: Examine, place: Path
) -> None:
    place.chmod(0o555)
    with as_nobody():
        findings = examine(BOTOCACHE_URL=f"disk://{place}/new?size_limit=16MiB")
    found = the_complaint(findings, "directory")
    assert found.state is State.BAD
    assert "Permission denied" in found.found
    assert found.advice.startswith("Give the application's user the right to write")


def test_a_start_up_file_that_is_missing_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The tests' own environment has the package as editable, and so has no such file.
    monkeypatch.setenv("BOTOCACHE_URL", "memory:")
    done = subprocess.run(
        [sys.executable, "-m", "botocache", "doctor", "--json"],
        env={**os.environ, "BOTOCACHE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    found = the_complaint(findings_of(done.stdout, done.returncode), "start")
    assert found.state is State.BAD
    assert "no start-up file botocache.pth is in" in found.found
    assert found.advice.startswith("Install the wheel of botocache-dynamodb here")
    assert "python -m botocache run -- COMMAND" in found.advice


def test_a_toml_file_that_is_wrong_is_found(examine: Examine, tmp_path: Path) -> None:
    file = tmp_path / "botocache.toml"
    file.write_text("ttl = [60\n")
    findings = examine(BOTOCACHE_URL="memory:", BOTOCACHE_CONFIG=str(file))
    found = the_complaint(findings, "settings")
    assert found.state is State.BAD
    assert "cannot be read as TOML" in found.found
    assert found.advice.startswith("Correct the file, or let BOTOCACHE_CONFIG name")


def test_a_file_that_never_ends_is_found(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(examination, "_FILE_PATIENCE", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    findings = examine(
        BOTOCACHE_URL="memory:", BOTOCACHE_TTL="5", BOTOCACHE_CONFIG=str(pipe)
    )
    pipe.open("w").close()  # lets the thread end
    found = the_complaint(findings, "settings")
    assert "cannot be read in time" in found.found
    assert "5, from BOTOCACHE_TTL" in [each.found for each in findings]


@pytest.mark.parametrize("url", ["redsi://host", "disk:relative"])
def test_a_wrong_url_is_found(examine: Examine, url: str) -> None:
    found = the_complaint(examine(BOTOCACHE_URL=url), "store")
    assert found.state is State.BAD
    assert found.advice.startswith("Correct BOTOCACHE_URL; docs/reference/stores.md")


def test_tls_to_a_port_without_it_is_found(
    examine: Examine, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server takes the handshake for the beginning of a command, and waits.
    monkeypatch.setattr(urls, "CONNECT_TIMEOUT", 0.2)
    url = f"rediss://127.0.0.1:{valkey.port}/0"
    found = the_complaint(
        examine(BOTOCACHE_URL=url, BOTOCACHE_TIMEOUT="0.02"), "server"
    )
    assert found.state is State.BAD
    assert "whether both sides use TLS" in found.advice


@pytest.mark.parametrize(
    ("variables", "state", "words"),
    [
        ({}, State.WARNING, "Name a server by BOTOCACHE_URL"),
        ({"BOTOCACHE_URL": "disk:"}, State.BAD, "Mount /proc in the sandbox"),
    ],
)
def test_a_machine_without_a_boot_id_is_found(
    examine: Examine,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    state: State,
    words: str,
) -> None:
    monkeypatch.setattr(options, "BOOT_ID", Path("/none"))
    found = the_complaint(examine(**variables), "store")
    assert found.state is state
    assert found.advice.startswith(words)


def test_no_directory_at_all_is_found(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_store, "_default_places", lambda _: [])
    found = the_complaint(examine(BOTOCACHE_URL="disk:"), "store")
    assert found.advice.startswith("Mount a directory that the application's user owns")


def test_what_a_killed_doctor_has_left_is_removed(
    examine: Examine, tmp_path: Path
) -> None:
    namespaces = tmp_path / "s" / "v1"
    old, new = namespaces / "shop:doctor-1", namespaces / "shop:doctor-2"
    for path in (namespaces.parent, namespaces, old, new, namespaces / "shop"):
        path.mkdir(mode=0o700)
    for path in (old, namespaces / "shop"):
        os.utime(path, (1.0, 1.0))
    examine(BOTOCACHE_URL=f"disk://{tmp_path}/s?size_limit=16MiB")
    assert {path.name for path in namespaces.iterdir()} == {"shop", "shop:doctor-2"}


def test_each_wrong_value_is_found_in_one_run(examine: Examine, tmp_path: Path) -> None:
    file = tmp_path / "botocache.toml"
    file.write_text("ttl = -1\nsetle = 2\n")
    findings = examine(
        BOTOCACHE_URL="memory:", BOTOCACHE_CONFIG=str(file), BOTOCACHE_NEAR="maybe"
    )
    advice = [each.advice for each in complaints(findings)]
    assert advice == [
        f"Correct ttl in {file}. Until then the application runs uncached.",
        "Correct the name in the file. Until then the application runs uncached.",
        "Correct BOTOCACHE_NEAR. Until then the application runs uncached.",
    ]


@pytest.mark.parametrize(
    ("info", "shown"),
    [
        (b"redis_version:6.0.20\r\n", "redis 6.0.20, older than 6.2"),
        (b"redis_version:5.0\r\n", "redis 5.0, older than 6.2"),
        (
            b"redis_version:7.2.4\r\nvalkey_version:7.1.9\r\n",
            "valkey 7.1.9, older than 7.2",
        ),
    ],
)
def test_an_old_server_is_found(
    examine: Examine, hostile: HostileServer, info: bytes, shown: str
) -> None:
    body = info + b"run_id:" + b"a" * 40 + b"\r\n"
    reply = b"$%d\r\n%b\r\n" % (len(body), body)
    hostile.attack = lambda words: [reply] if words == [b"INFO", b"server"] else None
    found = the_complaint(examine(BOTOCACHE_URL=hostile.url()), "server version")
    assert found.state is State.BAD
    assert shown in found.found
    assert found.advice == "Use Redis 6.2 or Valkey 7.2, or later."


PERMISSIONS = {
    "-eval -evalsha": (State.BAD, "+eval +evalsha (scripts)", "+eval +evalsha;"),
    "-unlink": (State.BAD, "+unlink", "+unlink;"),
    "-zadd": (State.BAD, "+zadd", "+zadd;"),
    "-info": (State.WARNING, "+info: a primary that changed", "+info;"),
    "-hset": (State.WARNING, "+hset: processes leave no counts", "+hset;"),
    "-scan": (State.WARNING, "+scan: cache.clear() leaves", "+scan;"),
    "resetkeys ~other:*": (State.BAD, "~botocache:*", "~botocache:*;"),
}


@pytest.mark.parametrize("rules", PERMISSIONS)
def test_a_permission_that_is_missing_is_named(
    examine: Examine, valkey: ValkeyServer, namespace: str, rules: str
) -> None:
    every = ("reset", "on", ">password", "~*", "&*", "+@all")
    valkey.command("ACL", "SETUSER", namespace, *every, *rules.split())
    findings = examine(
        BOTOCACHE_URL=f"redis://{namespace}:password@127.0.0.1:{valkey.port}/0",
        BOTOCACHE_NAMESPACE=namespace,
    )
    state, lacking, wanted = PERMISSIONS[rules]
    found = the_complaint(findings, "server permissions")
    assert found.state is state
    assert f"lacks {lacking}" in found.found
    assert found.advice.startswith(f"ACL SETUSER <user> {wanted}")


def test_a_login_that_is_refused_is_found_and_not_shown(
    examine: Examine, valkey: ValkeyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"redis://them:s3cret@127.0.0.1:{valkey.port}/0"
    found = the_complaint(examine(BOTOCACHE_URL=url), "server")
    assert found.advice.startswith("Correct user and password in BOTOCACHE_URL")
    assert "s3cret" not in str(examine(BOTOCACHE_URL=url))


@pytest.mark.parametrize("where", ["root", "namespace"])
def test_a_directory_of_another_user_is_found(
    examine: Examine, place: Path, where: str
) -> None:
    if not is_root():
        pytest.skip("only root may give a directory to another user")
    theirs = place if where == "root" else place / "v1" / "default"
    theirs.mkdir(parents=True, exist_ok=True)
    os.chown(theirs, NOBODY, NOBODY)
    findings = examine(BOTOCACHE_URL=f"disk://{place}?size_limit=16MiB")
    found = the_complaint(findings, "directory")
    assert found.state is State.BAD
    assert f"{theirs} belongs to another user" in found.found
    assert found.advice.startswith("Let the application's user own it (`chown`)")


def test_a_directory_that_all_may_write_to_is_found(
    examine: Examine, place: Path
) -> None:
    place.chmod(0o777)
    findings = examine(BOTOCACHE_URL=f"disk://{place}?size_limit=16MiB")
    found = the_complaint(findings, "directory")
    assert found.advice.startswith("Take others' right to write (`chmod go-w`)")


@pytest.mark.skipif(not can_mount(), reason="only root may mount a full disk")
def test_a_full_disk_and_a_read_only_one_are_found(tmp_path: Path) -> None:
    full, read_only = tmp_path / "full", tmp_path / "read-only"
    with running_peer("unshare", "-m") as peer:
        for place in (full, read_only):
            place.mkdir()
        (of_full,) = peer.call(complaints_on_mount, str(full), "size=512k,mode=700")
        (of_read_only,) = peer.call(
            complaints_on_mount, str(read_only), "ro,size=64m,mode=700"
        )
    assert (of_full.subject, of_full.state) == ("space", State.BAD)
    assert "the disk is full" in of_full.found
    assert of_full.advice.startswith("Free space, or name another directory")
    assert (of_read_only.subject, of_read_only.state) == ("directory", State.BAD)
    assert of_read_only.found == f"{read_only}: Read-only file system"
    assert of_read_only.advice.startswith("Mount it writable, or a tmpfs on /tmp")


def test_a_disk_without_room_gets_no_directory(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(disk, "_space_of", lambda _: disk.Space(0, None))
    findings = examine(BOTOCACHE_URL=f"disk://{tmp_path}/new?size_limit=16MiB")
    assert the_complaint(findings, "space").state is State.BAD
    assert not (tmp_path / "new").exists()


def test_files_that_may_not_grow_are_found(tmp_path: Path) -> None:
    with running_peer() as peer:
        (found,) = peer.call(complaints_with_small_files, str(tmp_path / "store"))
    assert (found.subject, found.state) == ("round trip", State.BAD)
    assert found.advice.startswith("Free space, or raise the quota")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("seconds", "state"), [(1_000_000_001, State.BAD), (4_000_000_000, State.BAD)]
)
def test_a_server_with_another_time_is_found(
    examine: Examine, hostile: HostileServer, seconds: int, state: State
) -> None:
    hostile.answer(b"*2\r\n$10\r\n%d\r\n$1\r\n0\r\n" % seconds, to=b"TIME")
    found = the_complaint(examine(BOTOCACHE_URL=hostile.url()), "server clock")
    assert found.state is state
    assert found.advice.startswith("Synchronize both clocks, by NTP for example.")


def test_a_replica_is_found(examine: Examine, hostile: HostileServer) -> None:
    body = b"role:slave\r\nmaster_replid:" + b"a" * 40 + b"\r\n"
    reply = b"$%d\r\n%b\r\n" % (len(body), body)
    hostile.attack = lambda words: [reply] if words[1:] == [b"replication"] else None
    found = the_complaint(examine(BOTOCACHE_URL=hostile.url()), "server role")
    assert found.advice == (
        "Let BOTOCACHE_URL name the primary, never a reader endpoint."
    )


def test_a_server_that_is_slower_than_the_timeout_is_found(
    examine: Examine, hostile: HostileServer
) -> None:
    # Real seconds: a round trip is measured.
    hostile.answer(0.02, b"*1\r\n$-1\r\n", to=b"MGET")
    findings = examine(BOTOCACHE_URL=hostile.url(), BOTOCACHE_TIMEOUT="0.01")
    found = the_complaint(findings, "server latency")
    assert found.state is State.BAD
    assert "raise BOTOCACHE_TIMEOUT" in found.advice


def test_a_misspelt_toggle_is_found(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = STARTED._replace(
        is_installed=False, complaint="BOTOCACHE='ture' is not known"
    )
    monkeypatch.setattr(
        start, "start_child", lambda *_: off._replace(words=("on", "true"))
    )
    findings = examine(BOTOCACHE_URL="memory:", BOTOCACHE="ture")
    found = the_complaint(findings, "BOTOCACHE")
    assert (found.state, found.advice) == (
        State.BAD,
        "Set BOTOCACHE=true. Known are on, true.",
    )


def test_keys_that_cannot_be_read_are_found_and_not_shown(
    examine: Examine, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text(KEY[:-4])
    findings = examine(
        BOTOCACHE_URL="memory:", BOTOCACHE_ENCRYPTION_KEYS=f"file:{file}"
    )
    found = the_complaint(findings, "settings")
    assert found.advice.startswith("Correct BOTOCACHE_ENCRYPTION_KEYS.")
    assert KEY[:20] not in str(findings)


def test_a_lock_that_is_held_for_long_is_found(
    examine: Examine, tmp_path: Path
) -> None:
    import fcntl

    slots = tmp_path / "s" / "v1" / "default" / "slots"
    slots.parent.mkdir(parents=True, mode=0o700)
    for directory in (slots.parents[2], slots.parents[1]):
        directory.chmod(0o700)
    with slots.open("wb") as held:
        slots.chmod(0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        findings = examine(BOTOCACHE_URL=f"disk://{tmp_path}/s?size_limit=16MiB")
    found = the_complaint(findings, "lock")
    assert f"a process ({os.getpid()}) has held the lock" in found.found
    assert found.advice.startswith("Continue or end it: `kill -CONT`")


# --- the program itself ------------------------------------------------------------


def test_a_check_that_fails_is_a_finding(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Iterator[Finding]:
        raise ZeroDivisionError("within a check")

    monkeypatch.setattr(examination, "check_environment", fail)
    found = the_complaint(examine(BOTOCACHE_URL="memory:"), "environment")
    assert found.state is State.BAD
    assert "ZeroDivisionError" in found.found


def test_a_check_that_hangs_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    ended = threading.Event()

    def hang(*_: object) -> Iterator[Finding]:
        yield Finding("store", State.GOOD, "so far")
        ended.wait()

    monkeypatch.setattr(start, "start_child", lambda *_: STARTED)
    monkeypatch.setattr(examination, "check_store", hang)
    findings = examination.examine({}, "0.0.0", patience=0.2)
    ended.set()
    of_store = [each for each in findings if each.subject == "store"]
    assert [each.state for each in of_store] == [State.GOOD, State.BAD]
    assert "did not end in time" in of_store[1].found


def test_no_secret_is_printed(
    valkey: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(start, "start_child", lambda *_: STARTED)
    monkeypatch.setenv("BOTOCACHE_ENCRYPTION_KEYS", KEY)
    monkeypatch.setenv(
        "BOTOCACHE_URL", f"redis://default:s3cret@127.0.0.1:{valkey.port}/0"
    )
    for arguments in (["doctor"], ["doctor", "--json"], ["doctor", "--quiet"]):
        command_line.main(arguments)
    shown = "".join(capsys.readouterr())
    assert "redis://***@127.0.0.1" in shown
    assert "s3cret" not in shown
    assert KEY not in shown


def test_people_get_lines_and_a_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "start_child", lambda *_: STARTED)
    monkeypatch.setenv("BOTOCACHE_URL", "memory:")
    monkeypatch.setenv("BOTOCACHE_TLL", "5")
    assert command_line.main(["doctor", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("warning")
    assert "BOTOCACHE_TLL names no setting of this version" in lines[0]
    assert lines[1].strip().startswith("Rename it to BOTOCACHE_TTL.")
    assert lines[-1].startswith("0 bad, 1 to look at,")


def test_the_page_has_each_subject(
    examine: Examine, valkey: ValkeyServer, tmp_path: Path, namespace: str
) -> None:
    page = (DOCS / "how-to" / "doctor.md").read_text(encoding="utf-8")
    for url in urls_of(valkey, tmp_path).values():
        for found in examine(BOTOCACHE_URL=url, BOTOCACHE_NAMESPACE=namespace):
            subject = re.sub("^setting .*", "setting ...", found.subject)
            assert f"`{subject}`" in page
