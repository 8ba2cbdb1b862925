"""Programs that each run in a process of their own, after what they have in common.

A fresh Python takes most of a second to import boto3 and moto, and to make the first
table. A Peer does so once, and forks for each program. It imports nothing of botocache,
so that each program does.
"""

import os
import runpy
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path


def prepare(code: str, variables: Mapping[str, str]) -> None:
    """Run what all programs of a Peer begin with. variables: all that it has."""
    os.environ.clear()
    os.environ.update(variables)
    exec(code, {})


def run_program(
    path: Path, variables: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run a program in its directory, as `python -W error` does.

    For a Peer, which forks it. variables: all that it has.
    """
    assert not [name for name in sys.modules if name.startswith("botocache.")]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        pid = os.fork()
        if not pid:
            os.dup2(out.fileno(), sys.stdout.fileno())
            os.dup2(err.fileno(), sys.stderr.fileno())
            os.environ.clear()
            os.environ.update(variables)
            os.chdir(path.parent)
            _run(path)
        _, status = os.waitpid(pid, 0)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(
            [str(path)], os.waitstatus_to_exitcode(status), out.read(), err.read()
        )


def _run(path: Path) -> None:
    """Run a program as Python's own, and end with it: what it left to the exit runs."""
    warnings.resetwarnings()
    warnings.simplefilter("error")
    sys.argv[:] = [path.name]
    sys.path.insert(0, str(path.parent))
    status = 0
    try:
        runpy.run_path(str(path), run_name="__main__")
    except Exception:  # noqa: BLE001 - as Python ends for an error
        traceback.print_exc()
        status = 1
    sys.exit(status)
