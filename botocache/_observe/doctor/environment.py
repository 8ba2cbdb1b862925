"""What the process can have: descriptors, threads, clocks, and where it runs.

The limits are those of the doctor's own process. An application that is started from
the same place inherits them.
"""

import contextlib
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from botocache._errors import pass_on
from botocache._log import describe
from botocache._observe.doctor.findings import Finding, bad, good, warning

_NEEDED_DESCRIPTORS = 9
"""Of `disk:`, for one process. A server takes one for each thread that waits for it."""

_EARLIEST = 1_735_689_600.0
"""1 January 2025: this version is younger."""

_LATEST = _EARLIEST + 75 * 365.25 * 86400.0

_PIDS = (Path("/sys/fs/cgroup/pids.max"), Path("/sys/fs/cgroup/pids.current"))

_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME"

_FEW_THREADS = 8
"""Of those that are left. Connecting, and delivering what is owed, take one each."""


def check_environment(
    environ: Mapping[str, str], *, client_tracking: bool
) -> Iterator[Finding]:
    """Yield what is found about the process and the machine.

    environ: of the process.
    client_tracking: the setting.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge_descriptors(soft, count_descriptors())
    yield _check_threads()
    yield from judge_clocks(time.time(), has_boottime=_has_boottime())
    yield from judge_place(environ)
    if client_tracking and environ.get(_LAMBDA):
        yield warning(
            "client tracking",
            "client_tracking is on, and Lambda freezes this process between calls: it "
            "cannot receive messages then",
            "Set BOTOCACHE_CLIENT_TRACKING=off.",
        )


def count_descriptors() -> int | None:
    """Return how many files this process has open; None if that cannot be known."""
    # The second is of macOS and the BSDs.
    for directory in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return len(os.listdir(directory)) - 1  # noqa: PTH208 - names are enough; one is of the listing
    return None


def judge_descriptors(limit: int, used: int | None) -> Finding:
    """Judge how many files a process may still open.

    limit: RLIMIT_NOFILE, or RLIM_INFINITY.
    used: those that are open; None if unknown.
    """
    subject = "file descriptors"
    if limit == resource.RLIM_INFINITY:
        return good(subject, "no limit")
    # The doctor's own are among them: as many as an idle application has.
    left = limit - (used or 0)
    found = f"{left} of {limit} are left"
    if left < _NEEDED_DESCRIPTORS:
        return bad(
            subject,
            f"{found}; a store on disk takes {_NEEDED_DESCRIPTORS}, a server one for "
            "each thread",
            "Raise the limit: `ulimit -n 1024`, `LimitNOFILE=` of systemd, or "
            "`ulimits` of the container.",
        )
    if left < 4 * _NEEDED_DESCRIPTORS:
        return warning(
            subject,
            f"{found}; the application needs some as well",
            "Raise the limit: `ulimit -n 1024`, `LimitNOFILE=` of systemd, or "
            "`ulimits` of the container.",
        )
    return good(subject, found)


def _check_threads() -> Finding:
    try:
        thread = threading.Thread(target=int, daemon=True)
        thread.start()
        thread.join(1.0)
    except RuntimeError as error:
        pass_on(error)
        return bad(
            "threads",
            f"this process cannot start a thread ({describe(error)})",
            "Raise the limit of processes: `ulimit -u`, or `pids` of the container.",
        )
    # By cgroups 2, as containers have them. Elsewhere no limit is known.
    left = None
    with contextlib.suppress(OSError, ValueError):
        most, current = (path.read_text().strip() for path in _PIDS)
        left = int(most) - int(current)  # "max" is a ValueError: no limit
    return judge_threads(left)


def judge_threads(left: int | None) -> Finding:
    """Judge how many threads may still be started. left: None is no known limit."""
    if left is not None and left < _FEW_THREADS:
        return warning(
            "threads",
            f"the container may start {left} more threads or processes",
            "Raise `pids` of the container: connecting to a server takes a thread.",
        )
    return good("threads", "threads can be started")


def _has_boottime() -> bool:
    try:
        time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):  # another system, or a sandbox
        return False
    return True


def judge_clocks(now: float, *, has_boottime: bool) -> Iterator[Finding]:
    """Judge this machine's clocks. now: seconds on the wall clock."""
    # A machine without a battery begins in 1970, until it has reached a time server.
    if not _EARLIEST <= now <= _LATEST:
        shown = time.strftime("%Y-%m-%d", time.gmtime(min(max(now, 0.0), 1e11)))
        yield bad(
            "clock",
            f"this machine's clock says {shown}",
            "Set the clock, by NTP for example. AWS refuses requests, and encrypted "
            "entries are refused, where clocks differ by five minutes.",
        )
    elif has_boottime or sys.platform != "linux":
        yield good("clock", "it runs, and counts the time that the machine sleeps")
    else:
        yield warning(
            "clock",
            "CLOCK_BOOTTIME is not available, so a TTL does not count the time that "
            "the machine sleeps",
            "Keep the TTL short where machines are suspended, or let the sandbox allow "
            "clock_gettime(CLOCK_BOOTTIME).",
        )


def judge_place(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Say what counts in the kind of place that the variables name."""
    if environ.get(_LAMBDA):
        yield good(
            "place",
            "AWS Lambda: each instance has a cache of its own, in /tmp, unless a "
            "server is named. The start-up file works in container images alone; else "
            "call botocache.install()",
        )
    elif environ.get("KUBERNETES_SERVICE_HOST"):
        yield good(
            "place",
            "Kubernetes: the processes of one container share `disk:`; containers and "
            "pods share it through a volume of one machine, or use a server",
        )
    elif environ.get("ECS_CONTAINER_METADATA_URI_V4") or _is_container():
        yield good(
            "place",
            "a container: its processes share `disk:`; several containers share a "
            "volume of one machine, or a server",
        )
    else:
        yield good("place", "a machine: processes of one user share `disk:`")


def _is_container() -> bool:
    return any(map(os.path.lexists, ("/.dockerenv", "/run/.containerenv")))
