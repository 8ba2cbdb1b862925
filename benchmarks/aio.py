"""Clients of aiobotocore, measured in an environment of their own.

aiobotocore pins botocore, and so has an environment in which its tests run. See
aio_program.py for what is measured. Without the environment nothing is.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Group
from benchmarks.places import Places
from benchmarks.scale import Scale

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-aio" / "bin" / "python"


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Yield the groups that the program measures there."""
    if not PYTHON.exists():
        print(f"\n{PYTHON.parent.parent.name} is missing; async is not measured")
        return
    command = [str(PYTHON), "-m", "benchmarks.aio_program", "--scale", scale.name]
    printed = subprocess.check_output(
        [*command, "--redis", places.valkey.url, "--json"], cwd=ROOT, text=True
    )
    for group in json.loads(printed):
        times = {figure["name"]: figure["rounds"] for figure in group["figures"]}
        yield Group(
            group["name"],
            group["title"],
            group["base"],
            times,
            unit=group["unit"],
            note=group["note"],
        )
