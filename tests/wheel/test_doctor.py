"""The doctor in a real environment: the wheel in a virtual one, and beside one."""

import json
from pathlib import Path
from typing import Any

from tests.support.environment import Environment

QUIET = {"BOTOCACHE": "1", "BOTOCACHE_URL": "memory:", "PYTHONPATH": ""}


def complaints(output: str) -> list[dict[str, Any]]:
    findings: list[dict[str, Any]] = json.loads(output)["findings"]
    return [each for each in findings if each["state"] != "good"]


def test_in_an_environment_with_the_wheel_all_is_well(
    environment: Environment, tmp_path: Path
) -> None:
    url = {"BOTOCACHE_URL": f"disk://{tmp_path}/new?size_limit=16MiB"}
    done = environment.run("-m", "botocache", "doctor", "--json", env=QUIET | url)
    assert complaints(done.stdout) == []
    assert (done.returncode, done.stderr) == (0, "")
    findings = {
        each["subject"]: each["found"] for each in json.loads(done.stdout)["findings"]
    }
    assert findings["start"].startswith("BOTOCACHE=1 takes effect here")
    # The Python that was started has left nothing there either.
    assert not (tmp_path / "new").exists()
    assert findings["start-up files"] == "3 files, as this release has them"


def test_a_python_without_site_is_found(environment: Environment) -> None:
    path = {"PYTHONPATH": f"{environment.site_packages}:{_dependencies(environment)}"}
    done = environment.run(
        "-S", "-m", "botocache", "doctor", "--json", env=QUIET | path
    )
    found = next(f for f in complaints(done.stdout) if f["subject"] == "start")
    assert (done.returncode, found["state"]) == (1, "bad")
    assert found["advice"].startswith("Start Python without -S")


def _dependencies(environment: Environment) -> str:
    return (environment.site_packages / "zz-dependencies.pth").read_text().strip()
