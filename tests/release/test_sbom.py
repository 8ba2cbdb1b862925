"""The SBOM and the VEX statements of a release, from what cyclonedx-bom has listed."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import botocache
from release import advisories
from release.sbom import complete
from release.vex import cyclonedx_vex, open_vex, reference_of
from tests.support.environment import Distributions

OURS = f"pkg:pypi/botocache-dynamodb@{botocache.__version__}"
TIME = "2027-01-01T00:00:00+00:00"
ADVISORIES = advisories.read()

LISTED: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "metadata": {"component": {"bom-ref": "root", "name": "botocache-dynamodb"}},
    "components": [
        {"bom-ref": f"{name}==1", "name": name, "purl": f"pkg:pypi/{name}@{version}"}
        for name, version in {"botocore": "1", "pip": "1", "six": "1"}.items()
    ]
    + [
        {
            "bom-ref": f"{each.package}=={each.version}",
            "name": each.package,
            "purl": f"pkg:pypi/{each.package}@{each.version}",
        }
        for each in ADVISORIES
    ],
    "dependencies": [
        {
            "ref": "root",
            "dependsOn": [
                "botocore==1",
                *(f"{each.package}=={each.version}" for each in ADVISORIES),
            ],
        },
        {"ref": "botocore==1", "dependsOn": ["six==1"]},
        {"ref": "six==1"},
        {"ref": "pip==1"},
    ],
}


def sbom_of(distributions: Distributions, timestamp: str = TIME) -> dict[str, Any]:
    listed = copy.deepcopy(LISTED)
    return complete(listed, distributions.wheel, distributions.sdist, timestamp)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_sbom_is_about_the_wheel_and_what_it_depends_on(
    distributions: Distributions,
) -> None:
    sbom = sbom_of(distributions)
    ours = sbom["metadata"]["component"]
    assert (ours["bom-ref"], ours["purl"], ours["version"]) == (
        *(OURS, OURS),
        botocache.__version__,
    )
    assert ours["hashes"] == [
        {"alg": "SHA-256", "content": sha256(distributions.wheel)}
    ]
    files = {each["url"]: each["hashes"][0] for each in ours["externalReferences"]}
    assert {name: each["content"] for name, each in files.items()} == {
        path.name: sha256(path) for path in (distributions.wheel, distributions.sdist)
    }
    ranges = {each["value"] for each in ours["properties"]}
    assert {"msgspec>=0.19", 'redis>=5; extra == "redis"'} <= ranges
    # pip is in the environment, and the wheel does not depend on it.
    names = {each["name"] for each in sbom["components"]}
    assert names == {"botocore", "six", *(each.package for each in ADVISORIES)}
    references = {each["bom-ref"] for each in sbom["components"]}
    assert {each["ref"] for each in sbom["dependencies"]} == {OURS, *references}


def test_the_same_release_has_the_same_sbom_and_another_one_another_serial_number(
    distributions: Distributions,
) -> None:
    sbom = sbom_of(distributions)
    assert json.dumps(sbom) == json.dumps(sbom_of(distributions))
    other = sbom_of(distributions, "2027-01-02T00:00:00+00:00")
    assert other["serialNumber"] != sbom["serialNumber"]
    assert other["metadata"]["timestamp"] == "2027-01-02T00:00:00+00:00"


def test_open_vex_says_of_this_version_that_it_is_not_affected(
    distributions: Distributions,
) -> None:
    document = open_vex(
        ADVISORIES, botocache.__version__, sha256(distributions.wheel), TIME
    )
    statements = {
        each["vulnerability"]["name"]: each for each in document["statements"]
    }
    assert set(statements) == {each.id for each in ADVISORIES}
    statement = statements["CVE-2025-69872"]
    assert statement["vulnerability"]["aliases"] == ["GHSA-w8v5-vhqr-4h9v"]
    assert statement["status"] == "not_affected"
    assert statement["justification"] == "vulnerable_code_not_in_execute_path"
    assert (
        "botocache lets diskcache write and remove rows"
        in statement["impact_statement"]
    )
    (product,) = statement["products"]
    assert product["@id"] == OURS
    assert product["subcomponents"] == [{"@id": "pkg:pypi/diskcache@5.6.3"}]
    assert product["hashes"] == {"sha-256": sha256(distributions.wheel)}


def test_cyclonedx_vex_points_to_the_component_of_the_sbom(
    distributions: Distributions,
) -> None:
    sbom = sbom_of(distributions)
    document = cyclonedx_vex(ADVISORIES, sbom, TIME)
    (found,) = [
        each for each in document["vulnerabilities"] if each["id"] == "CVE-2025-69872"
    ]
    assert found["analysis"]["state"] == "not_affected"
    assert found["analysis"]["justification"] == "code_not_reachable"
    number = sbom["serialNumber"].removeprefix("urn:uuid:")
    assert found["affects"] == [{"ref": f"urn:cdx:{number}/1#diskcache==5.6.3"}]


def test_an_advisory_about_what_is_not_shipped_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no pkg:pypi/diskcache"):
        reference_of({"components": []}, ADVISORIES[0])
