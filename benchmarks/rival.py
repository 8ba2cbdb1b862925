"""`botocache` 0.0.6 as a contender, in a process of its own behind a pipe.

That process times its own calls, so the pipe's time does not count. 0.0.6 hands every
caller the same object.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Contender
from benchmarks.work import Work

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-rival" / "bin" / "python"
PROGRAM = Path(__file__).with_name("rival_program.py")


class Rival:
    """The process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages in its environment."""
        found: dict[str, str] = self._ask("versions")
        return found

    def contender(self, kind: str, work: Work) -> Contender:
        """Return a hit of a client or of a resource's Table."""
        name = f"{kind} {work.name}"
        arguments = {"TableName": work.name, **work.arguments}
        self._ask(
            "make",
            name=name,
            kind=kind,
            table=work.name,
            method=work.method,
            arguments=arguments if kind == "client" else work.plain,
            answer=work.answer,
        )
        self._ask("run", name=name, calls=1)

        def run(calls: int) -> float:
            answer = self._ask("run", name=name, calls=calls)
            if answer["sent"]:
                raise AssertionError(f"{name}: no hit of 0.0.6")
            seconds: float = answer["seconds"]
            return seconds

        return Contender(run)

    def _ask(self, verb: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(
            json.dumps({"verb": verb, **arguments}),
            file=self._process.stdin,
            flush=True,
        )
        return json.loads(self._process.stdout.readline())


@contextmanager
def running_rival() -> Iterator[Rival]:
    """Run the process for as long as the context lasts."""
    if not PYTHON.exists():
        raise SystemExit(
            f"{PYTHON.parent.parent.name} is missing; `make bench` sets it up"
        )
    with subprocess.Popen(
        [PYTHON, "-I", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Rival(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=30)
