"""Writes the SBOM of a release and its VEX statements beside its distributions.

    python -m release.sbom PYTHON DIST

PYTHON is that of an environment with the wheel's dependencies and all its extras. DIST
has the wheel and the source distribution. cyclonedx-bom lists the environment. This
program adds what only a release knows (hashes, version, ranges), and leaves out what
the wheel does not depend on. The same release makes the same bytes: times come from
SOURCE_DATE_EPOCH.
"""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from datetime import datetime, timezone
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from release.advisories import read
from release.vex import NAME, cyclonedx_vex, identity, open_vex, purl

_ROOT = Path(__file__).parents[1]


def main(arguments: list[str]) -> int:
    """Write the three files, and print their names. Returns an exit status."""
    python, dist = arguments
    (wheel,) = Path(dist).glob("*.whl")
    (sdist,) = Path(dist).glob("*.tar.gz")
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    timestamp = datetime.fromtimestamp(epoch, tz=timezone.utc).isoformat()
    sbom = complete(_listed(python), wheel, sdist, timestamp)
    advisories = read()
    version: str = sbom["metadata"]["component"]["version"]
    vex = cyclonedx_vex(advisories, sbom, timestamp)
    for document in (sbom, vex):
        _validate(document)
    base = f"{Path(dist)}/{wheel.name.split('-')[0]}-{version}"
    for suffix, document in {
        ".cdx.json": sbom,
        ".vex.cdx.json": vex,
        ".openvex.json": open_vex(advisories, version, sha256(wheel), timestamp),
    }.items():
        path = Path(base + suffix)
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        print(path)
    return 0


def _listed(python: str) -> dict[str, Any]:
    """Return what cyclonedx-bom says about the environment."""
    options = ["--output-reproducible", "--sv=1.6", "--of=JSON", "--mc-type=library"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "environment", *options),
            *("--pyproject", str(_ROOT / "pyproject.toml"), python),
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    listed: dict[str, Any] = json.loads(done.stdout)
    return listed


def complete(
    listed: dict[str, Any], wheel: Path, sdist: Path, timestamp: str
) -> dict[str, Any]:
    """Return the SBOM of the distributions, by what cyclonedx-bom has listed."""
    metadata = metadata_of(wheel)
    version = str(metadata["Version"])
    ours = listed["metadata"]["component"]
    before, ours["bom-ref"] = ours["bom-ref"], purl(NAME, version)
    ours |= {
        "version": version,
        "purl": purl(NAME, version),
        "hashes": [{"alg": "SHA-256", "content": sha256(wheel)}],
        "externalReferences": [
            {
                "type": "distribution",
                "url": path.name,
                "hashes": [{"alg": "SHA-256", "content": sha256(path)}],
            }
            for path in (wheel, sdist)
        ],
        "properties": [
            {"name": f"{NAME}:requires", "value": str(each)}
            for each in metadata.get_all("Requires-Dist", [])
        ],
    }
    graph = {each["ref"]: each.get("dependsOn", []) for each in listed["dependencies"]}
    graph[ours["bom-ref"]] = graph.pop(before)
    kept = _reachable(graph, ours["bom-ref"])
    listed["metadata"]["timestamp"] = timestamp
    listed["components"] = [
        each for each in listed["components"] if each["bom-ref"] in kept
    ]
    listed["dependencies"] = [
        {"ref": ref, "dependsOn": sorted(graph.get(ref, []))} for ref in sorted(kept)
    ]
    listed["serialNumber"] = identity("sbom", json.dumps(listed, sort_keys=True))
    return listed


def _reachable(graph: dict[str, list[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        ref = waiting.pop()
        if ref not in found:
            found.add(ref)
            waiting += graph.get(ref, [])
    return found


def metadata_of(wheel: Path) -> Any:
    """Return the metadata of a wheel, as of an e-mail."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return BytesParser().parsebytes(archive.read(name))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _validate(document: dict[str, Any]) -> None:
    """Raise ValueError unless a document is what its CycloneDX schema says."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))
    if wrong is not None:
        raise ValueError(f"CycloneDX: {wrong}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
