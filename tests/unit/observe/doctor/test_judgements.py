"""What the doctor makes of facts: a table for each judgement, the good cases too."""

import re
import shutil
from pathlib import Path

import pytest

from botocache._observe.doctor.disk import (
    NETWORK,
    Space,
    advice_of,
    judge_file_system,
    judge_space,
    type_in,
)
from botocache._observe.doctor.environment import (
    judge_clocks,
    judge_descriptors,
    judge_place,
    judge_threads,
)
from botocache._observe.doctor.findings import Finding, State, size_text, time_text
from botocache._observe.doctor.installed import (
    EXTRAS,
    LEAST,
    REQUIRED,
    judge_distributions,
    judge_metrics,
    judge_versions,
)
from botocache._observe.doctor.server import judge_connecting, judge_server
from botocache._observe.doctor.start import (
    DIGESTS,
    ChildAnswer,
    check_files,
    check_packages,
    digest_of,
    judge_package,
    judge_start,
    judge_toggle,
)
from botocache.stores.redis.facts import ServerFacts

ROOT = Path(__file__).parents[4]
MIB = 1024**2

WELL = ServerFacts(
    name="redis://cache:6379/0",
    connecting=0.001,
    round_trips=(0.0002,) * 15,
    version="valkey 8.1.1",
    numbers=(8, 1, 1),
    role="master",
    memory={
        "maxmemory": "1000000",
        "maxmemory_policy": "allkeys-lru",
        "used_memory": "990000",
    },
    ahead=0.01,
    network="tls",
    refused=(),
    unknown=(),
    errors=(),
    is_clustered=False,
)

STARTED = ChildAnswer(
    startup="/env/botocache_startup.py",
    package="/env/botocache",
    is_loaded=True,
    is_installed=True,
    words=("", "0", "1", "false", "no", "off", "on", "true", "yes"),
    path=("/env",),
    site_directories=("/env",),
    is_site_on=True,
    complaint="",
)


def judged(facts: ServerFacts, *, is_encrypted: bool = False) -> list[Finding]:
    """Return what is complained of. Each complaint says what to do."""
    findings = judge_server(facts, timeout=0.02, is_encrypted=is_encrypted)
    found = [each for each in findings if each.state is not State.GOOD]
    assert all(each.advice for each in found)
    return found


SERVERS: dict[str, tuple[ServerFacts, list[tuple[str, State, str]]]] = {
    "well": (WELL, []),
    "the oldest Redis": (WELL._replace(version="redis 6.2.0", numbers=(6, 2, 0)), []),
    "the oldest Valkey": (WELL._replace(version="valkey 7.2", numbers=(7, 2)), []),
    "an older Redis": (
        WELL._replace(version="redis 6.0.16", numbers=(6, 0, 16)),
        [("server version", State.BAD, "Redis 6.2")],
    ),
    "a version of no number": (
        WELL._replace(version="", numbers=()),
        [("server version", State.WARNING, "+info")],
    ),
    "two slow look-ups": (WELL._replace(round_trips=(0.0002,) * 13 + (9.0,) * 2), []),
    "half the timeout": (
        WELL._replace(round_trips=(0.012,) * 15),
        [("server latency", State.WARNING, "same zone")],
    ),
    "all of the timeout": (
        WELL._replace(round_trips=(0.02,) * 15),
        [("server latency", State.BAD, "BOTOCACHE_TIMEOUT")],
    ),
    "a replica": (
        WELL._replace(role="slave"),
        [("server role", State.BAD, "primary")],
    ),
    "no role": (WELL._replace(role=""), []),
    "renamed commands": (
        WELL._replace(unknown=("EVAL",)),
        [("server permissions", State.BAD, "not renamed")],
    ),
    "out of memory": (
        WELL._replace(errors=("SET: OOM command not allowed",)),
        [("server permissions", State.BAD, "maxmemory")],
    ),
    "still loading": (
        WELL._replace(errors=("SET: LOADING Redis is loading",)),
        [("server permissions", State.BAD, "Wait until")],
    ),
    "4 seconds ahead": (WELL._replace(ahead=4.0), []),
    "10 seconds behind": (
        WELL._replace(ahead=-10.0),
        [("server clock", State.WARNING, "NTP")],
    ),
    "10 minutes ahead": (
        WELL._replace(ahead=600.0),
        [("server clock", State.BAD, "NTP")],
    ),
    "no time": (WELL._replace(ahead=None), []),
    "full, and evicting nothing": (
        WELL._replace(memory={**WELL.memory, "maxmemory_policy": "noeviction"}),
        [("server memory", State.WARNING, "allkeys-lru")],
    ),
    "half full, and evicting nothing": (
        WELL._replace(
            memory={
                "maxmemory": "1000",
                "maxmemory_policy": "noeviction",
                "used_memory": "500",
            }
        ),
        [],
    ),
    "no limit": (WELL._replace(memory={"maxmemory": "0", "used_memory": "x"}), []),
    "on this machine": (WELL._replace(network="local"), []),
    "in clear on a private network": (
        WELL._replace(network="private"),
        [("server network", State.WARNING, "rediss://")],
    ),
    "in clear across the Internet": (
        WELL._replace(network="public"),
        [("server network", State.BAD, "BOTOCACHE_ENCRYPTION_KEYS")],
    ),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_judged_by_its_facts(name: str) -> None:
    facts, expected = SERVERS[name]
    found = judged(facts)
    assert [each[:2] for each in found] == [each[:2] for each in expected]
    for each, (_, _, advice) in zip(found, expected, strict=True):
        assert advice in each.advice


def test_encrypted_entries_may_cross_a_network_in_clear() -> None:
    assert judged(WELL._replace(network="public"), is_encrypted=True) == []


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("ConnectionError: Error 111 connecting. Connection refused.", "Start the"),
        ("TimeoutError: Timeout connecting to server", "Let firewall"),
        ("ConnectionError: Error -2. Name or service not known.", "Correct the host"),
        ("AuthenticationError: invalid username-password pair", "Correct user and"),
        ("NoPermissionError: this user has no permissions", "Give the ACL user"),
        ("ConnectionError: [SSL: CERTIFICATE_VERIFY_FAILED] failed", "Name the cert"),
        ("ConnectionError: [SSL: WRONG_VERSION_NUMBER] wrong", "This port has no TLS"),
        ("ConnectionError: Connection closed by server.", "See whether the port is"),
        ("MasterNotFoundError: No master found for 'a'", "Correct the service's name"),
        ("OddError: what is this", "See the server's log"),
    ],
)
def test_an_error_of_connecting_has_its_own_advice(error: str, advice: str) -> None:
    found = judge_connecting("redis://***@host", error)
    assert (found.state, found.subject) == (State.BAD, "server")
    assert found.advice.startswith(advice)


# --- disk --------------------------------------------------------------------------

MOUNTS = r"""
22 1 254:1 / / rw - ext4 /dev/root rw
30 22 0:25 / /home/me\040too rw - nfs4 server:/home rw
31 22 0:26 / /tmp rw - tmpfs none rw
32 22 0:27 / /var rw,relatime shared:1 - overlay overlay rw
33 32 0:28 / /var rw - btrfs /dev/sdb rw
not a line
""".strip().splitlines()


@pytest.mark.parametrize(
    ("path", "device", "kind"),
    [
        ("/", "254:1", "ext4"),
        ("/tmp", "0:26", "tmpfs"),
        ("/tmp/a/b", "0:26", "tmpfs"),
        ("/tmpfile", "254:1", "ext4"),
        ("/home/me too/cache", "0:25", "nfs4"),
        ("/var/x", "0:99", "btrfs"),  # btrfs has other numbers
    ],
)
def test_a_path_is_on_the_file_system_that_is_mounted_last(
    path: str, device: str, kind: str
) -> None:
    assert type_in(MOUNTS, path, device) == kind


@pytest.mark.parametrize("kind", sorted(NETWORK))
def test_a_network_file_system_is_bad(kind: str) -> None:
    found = judge_file_system(kind, Path("/cache"))
    assert found.state is State.BAD
    assert found.advice.startswith("Use a directory of this machine")


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", ""]
)
def test_a_file_system_of_this_machine_is_good(kind: str) -> None:
    assert judge_file_system(kind, Path("/cache")).state is State.GOOD


@pytest.mark.parametrize(
    ("space", "used", "expected"),
    [
        (Space(2048 * MIB, 1000), 0, []),
        (Space(2048 * MIB, None), 0, []),
        (Space(100 * MIB, 1000), 1000 * MIB, []),  # most is used by the store itself
        (Space(500 * MIB, 1000), 0, [("space", State.WARNING)]),
        (Space(20 * MIB, 1000), 0, [("space", State.BAD)]),
        (Space(20 * MIB, 1000), 30 * MIB, [("space", State.WARNING)]),
        (Space(0, 1000), 2048 * MIB, [("space", State.BAD)]),
        (Space(2048 * MIB, 3), 0, [("inodes", State.BAD)]),
    ],
)
def test_space_is_judged_against_the_limit(
    space: Space, used: int, expected: list[tuple[str, State]]
) -> None:
    found = [
        each
        for each in judge_space(space, 1024 * MIB, used)
        if each.state is not State.GOOD
    ]
    assert [each[:2] for each in found] == expected
    assert all(each.advice for each in found)


def test_a_limit_that_fits_is_proposed() -> None:
    (found,) = judge_space(Space(512 * MIB, None), 1024 * MIB, 0)
    assert "BOTOCACHE_URL=disk:?size_limit=256MiB" in found.advice


def test_an_unknown_error_of_a_directory_has_an_advice() -> None:
    assert advice_of("Input/output error", 5).startswith("See docs/reference/stores.md")


# --- the process -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "used", "state"),
    [
        (-1, 100, State.GOOD),
        (1024, 10, State.GOOD),
        (1024, None, State.GOOD),
        (64, 40, State.WARNING),
        (64, 60, State.BAD),
    ],
)
def test_descriptors_are_judged(limit: int, used: int | None, state: State) -> None:
    found = judge_descriptors(limit, used)
    assert found.state is state
    assert (found.state is State.GOOD) or "ulimit -n" in found.advice


@pytest.mark.parametrize(
    ("left", "state"), [(None, State.GOOD), (1000, State.GOOD), (2, State.WARNING)]
)
def test_threads_are_judged(left: int | None, state: State) -> None:
    assert judge_threads(left).state is state


@pytest.mark.parametrize(
    ("now", "has_boottime", "state"),
    [
        (1_800_000_000.0, True, State.GOOD),
        (1_800_000_000.0, False, State.WARNING),
        (0.0, True, State.BAD),
        (1e12, True, State.BAD),
    ],
)
def test_clocks_are_judged(now: float, has_boottime: bool, state: State) -> None:
    (found,) = judge_clocks(now, has_boottime=has_boottime)
    assert found.state is state
    assert (found.state is State.GOOD) or found.advice


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"AWS_LAMBDA_FUNCTION_NAME": "f"}, "AWS Lambda"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "Kubernetes"),
        ({"ECS_CONTAINER_METADATA_URI_V4": "http://x"}, "a container"),
    ],
)
def test_a_place_is_named(environ: dict[str, str], words: str) -> None:
    (found,) = judge_place(environ)
    assert found.state is State.GOOD
    assert found.found.startswith(words)


# --- installation ------------------------------------------------------------------


def test_the_oldest_versions_are_those_of_the_distribution() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name, version in LEAST.items():
        assert re.search(rf'"{name}>={re.escape(version)}["<,]', text), name
    for extra, names in EXTRAS.items():
        (line,) = re.findall(rf"^{extra} = \[(.*)\]$", text, re.MULTILINE)
        assert re.findall(r'"([a-z0-9-]+)>=', line) == [*names]


VERSIONS = {**LEAST, "boto3": "1.35.68"}


@pytest.mark.parametrize(
    ("changed", "subjects"),
    [
        ({}, []),
        ({"rich": None, "redis": None}, []),
        ({"msgspec": "0.19.0rc1"}, []),
        ({"botocore": "1.35.9"}, ["botocore"]),
        ({"redis": "4.6.0"}, ["redis"]),
        ({"diskcache": "6.0"}, ["diskcache"]),
    ],
)
def test_versions_are_judged(
    changed: dict[str, str | None], subjects: list[str]
) -> None:
    found = [
        each
        for each in judge_versions({**VERSIONS, **changed})
        if each.state is not State.GOOD
    ]
    assert [each.subject for each in found] == subjects
    assert all(each.advice.startswith("pip install") for each in found)


def test_what_each_installation_needs_is_listed() -> None:
    packages = next(f for f in judge_versions({}) if f.subject == "packages")
    assert all(f"{name} not installed" in packages.found for name in REQUIRED)


def test_a_namesake_and_another_version_are_found() -> None:
    assert list(judge_distributions("1.0.0", "1.0.0", None)) == []
    assert list(judge_distributions("1.0.0", None, None)) == []  # a checkout
    namesake, other = judge_distributions("1.0.0", "0.9.0", "0.0.6")
    assert namesake.advice.startswith("pip uninstall botocache && pip install")
    assert (namesake.state, other.state) == (State.BAD, State.WARNING)


def test_an_exporter_without_its_package_is_found() -> None:
    names = ("otel", "prometheus", "cloudwatch")
    assert list(judge_metrics(names, VERSIONS)) == []
    otel, prometheus = judge_metrics(names, {})
    assert (otel.state, prometheus.state) == (State.BAD, State.BAD)
    assert otel.advice == "pip install 'botocache-dynamodb[otel]'"
    assert prometheus.advice == "pip install 'botocache-dynamodb[prometheus]'"


# --- the start ---------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "0", "1", " ON ", "yes"])
def test_a_known_toggle_is_good(value: str) -> None:
    (found,) = judge_toggle(value, STARTED.words)
    assert found.state is State.GOOD


@pytest.mark.parametrize(
    ("value", "meant"), [("ture", "true"), ("2", "1"), ("enabled", "1"), ("onn", "on")]
)
def test_an_unknown_toggle_is_bad(value: str, meant: str) -> None:
    (found,) = judge_toggle(value, STARTED.words)
    assert found.state is State.BAD
    assert found.advice.startswith(f"Set BOTOCACHE={meant}.")


STARTS: dict[str, tuple[ChildAnswer, str]] = {
    "no site": (STARTED._replace(is_loaded=False, is_site_on=False), "Start Python"),
    "the file ran in vain": (
        STARTED._replace(is_loaded=False, complaint="botocache: damaged"),
        "Install botocache-dynamodb again.",
    ),
    "nothing is there": (
        STARTED._replace(is_loaded=False, startup=None),
        "Install the wheel",
    ),
    "wrong settings": (
        STARTED._replace(is_installed=False, complaint="botocache: ttl: expected"),
        "Correct what the line names",
    ),
}


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize(
    ("is_set", "state"), [(True, State.BAD), (False, State.WARNING)]
)
def test_a_start_without_an_effect_is_explained(
    name: str, is_set: bool, state: State
) -> None:
    answer, advice = STARTS[name]
    (found,) = judge_start(answer, is_set=is_set)
    assert (found.subject, found.state) == ("start", state)
    assert found.advice.startswith(advice)
    assert answer.complaint in found.found


@pytest.mark.parametrize("is_set", [True, False])
def test_a_start_with_an_effect_is_good(is_set: bool) -> None:
    (found,) = judge_start(STARTED, is_set=is_set)
    assert found.state is State.GOOD


def test_a_file_beside_the_package_that_python_does_not_read_is_found(
    tmp_path: Path,
) -> None:
    for name in DIGESTS:
        (tmp_path / name).touch()
    target = STARTED._replace(
        is_loaded=False, startup=None, package=str(tmp_path / "botocache")
    )
    (found,) = judge_start(target, is_set=True)
    assert "pip install --target" in found.found
    assert found.advice.startswith("Install into the environment itself")
    there = target._replace(site_directories=(str(tmp_path),))
    (found,) = judge_start(there, is_set=True)
    assert "is there, and was not run" in found.found


def test_the_digests_are_those_of_the_start_up_files() -> None:
    files = {name: (ROOT / "startup" / name).read_bytes() for name in DIGESTS}
    assert {name: digest_of(content) for name, content in files.items()} == DIGESTS


def test_a_start_up_file_that_was_altered_is_found(tmp_path: Path) -> None:
    answer = STARTED._replace(
        site_directories=(str(tmp_path), str(tmp_path)), startup=None
    )
    assert list(check_files(answer)) == []
    for name in DIGESTS:
        (tmp_path / name).write_bytes((ROOT / "startup" / name).read_bytes())
    (whole,) = check_files(answer)
    assert (whole.state, whole.found) == (
        State.GOOD,
        "3 files, as this release has them",
    )
    with (tmp_path / "botocache.pth").open("a") as file:
        file.write("import theirs\n")
    (altered,) = check_files(answer)
    assert altered.state is State.BAD
    assert altered.found == f"{tmp_path}/botocache.pth is not the file of this release"
    assert "docs/explanation/start-up.md" in altered.advice


def test_modules_that_are_there_twice_are_found(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for place in (first, second):
        (place / "botocache").mkdir(parents=True)
        (place / "botocache" / "__init__.py").touch()
    (tmp_path / "link").symlink_to(first)
    path = [str(first), str(tmp_path / "link"), str(tmp_path / "none")]
    (alone,) = check_packages(path)
    assert alone.state is State.GOOD
    (first / "boto3").mkdir()
    (first / "boto3" / "__init__.py").touch()
    (first / "boto3-1.0.dist-info").mkdir()
    shutil.copytree(first / "boto3", second / "boto3")  # a layer, and the runtime
    (first / "redis.py").touch()
    (second / "redis").mkdir()
    (second / "redis" / "__init__.py").touch()
    (twice,) = check_packages([*path, str(second)])
    assert twice.state is State.WARNING
    assert f"{first}/botocache hides {second}/botocache" in twice.found
    assert f"{first}/redis.py hides {second}/redis" in twice.found
    assert "boto3" not in twice.found
    assert twice.advice.startswith("Remove the copies")


def test_the_package_of_another_environment_is_found(tmp_path: Path) -> None:
    assert list(judge_package(str(tmp_path), tmp_path)) == []
    (other,) = judge_package(str(tmp_path / "x"), tmp_path)
    (none,) = judge_package(None, tmp_path)
    assert (other.state, none.state) == (State.WARNING, State.BAD)
    assert other.advice
    assert none.advice


# --- words -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (2048, "2 KiB"), (16 * MIB, "16 MiB"), (3 * 1024**3, "3 GiB")],
)
def test_sizes_are_for_people(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00035, "350 µs"), (0.02, "20 ms"), (2.0, "2 seconds"), (1e6, "12 days")],
)
def test_times_are_for_people(seconds: float, text: str) -> None:
    assert time_text(seconds) == text
