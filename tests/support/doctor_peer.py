"""What the doctor finds about a disk, for processes that have one of their own."""

import resource
import subprocess

from botocache._observe.doctor.findings import Finding, State
from botocache._observe.doctor.store import check_store
from botocache._settings.load import load_settings


def complaints_on_mount(directory: str, options: str) -> list[Finding]:
    """Mount a file system in memory on a directory, and look at a store there."""
    command = ["mount", "-t", "tmpfs", "-o", options, "none", directory]
    subprocess.run(command, check=True)
    return _complaints(directory)


def complaints_with_small_files(directory: str) -> list[Finding]:
    """Let no file have more than a megabyte, and look at a store."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    return _complaints(directory)


def _complaints(directory: str) -> list[Finding]:
    environ = {"BOTOCACHE_URL": f"disk://{directory}?size_limit=1MiB"}
    findings = check_store(load_settings({}, environ, ""), environ)
    return [each for each in findings if each.state is not State.GOOD]
