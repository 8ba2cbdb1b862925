"""VEX statements of a release: that an advisory about a dependency does not affect it.

OpenVEX is what Grype and Trivy read, CycloneDX VEX what Dependency-Track and Trivy do.
Both are made from advisories.toml, and are the same for the same release.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from release.advisories import Advisory

NAME = "botocache-dynamodb"

JUSTIFICATIONS = {
    "component_not_present": "code_not_present",
    "vulnerable_code_not_present": "code_not_present",
    "vulnerable_code_not_in_execute_path": "code_not_reachable",
    "vulnerable_code_cannot_be_controlled_by_adversary": "protected_at_runtime",
    "inline_mitigations_already_exist": "protected_by_mitigating_control",
}
"""The words of OpenVEX, and those of CycloneDX for them."""

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, f"{NAME}.pypi")


def identity(*parts: str) -> str:
    """Return a URN that is the same for the same parts."""
    return uuid.uuid5(_NAMESPACE, "\n".join(parts)).urn


def purl(package: str, version: str) -> str:
    """Return the package URL of a version of a package on PyPI."""
    return f"pkg:pypi/{package}@{version}"


def open_vex(
    advisories: Sequence[Advisory], version: str, sha256: str, timestamp: str
) -> dict[str, Any]:
    """Return the document of OpenVEX.

    version: of the release.
    sha256: of its wheel, in hexadecimal digits.
    timestamp: of the release, in ISO 8601.
    """
    ours = purl(NAME, version)
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": identity("openvex", version, sha256, timestamp),
        "author": NAME,
        "role": "supplier",
        "timestamp": timestamp,
        "version": 1,
        "statements": [
            {
                "vulnerability": {"name": each.id, "aliases": list(each.aliases)},
                "products": [
                    {
                        "@id": ours,
                        "identifiers": {"purl": ours},
                        "hashes": {"sha-256": sha256},
                        "subcomponents": [{"@id": purl(each.package, each.version)}],
                    }
                ],
                "status": "not_affected",
                "justification": each.justification,
                "impact_statement": each.reason,
            }
            for each in advisories
        ],
    }


def cyclonedx_vex(
    advisories: Sequence[Advisory], sbom: dict[str, Any], timestamp: str
) -> dict[str, Any]:
    """Return the document of CycloneDX, which points into an SBOM by its serial number.

    sbom: with the components that the advisories name.
    timestamp: of the release, in ISO 8601.
    """
    serial: str = sbom["serialNumber"]
    link = serial.replace("urn:uuid:", "urn:cdx:")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": identity("cyclonedx", serial, timestamp),
        "version": 1,
        "metadata": {
            "timestamp": timestamp,
            "component": sbom["metadata"]["component"],
        },
        "vulnerabilities": [
            {
                "id": each.id,
                "source": {
                    "name": "NVD",
                    "url": f"https://nvd.nist.gov/vuln/detail/{each.id}",
                },
                "references": [
                    {
                        "id": alias,
                        "source": {
                            "name": "GitHub Advisories",
                            "url": f"https://github.com/advisories/{alias}",
                        },
                    }
                    for alias in each.aliases
                ],
                "analysis": {
                    "state": "not_affected",
                    "justification": JUSTIFICATIONS[each.justification],
                    "detail": each.reason,
                },
                "affects": [
                    {"ref": f"{link}/1#{reference_of(sbom, each)}"},
                ],
            }
            for each in advisories
        ],
    }


def reference_of(sbom: dict[str, Any], advisory: Advisory) -> str:
    """Return the reference of the affected component. Raises ValueError without one."""
    wanted = purl(advisory.package, advisory.version)
    for component in sbom["components"]:
        if component["purl"] == wanted:
            reference: str = component["bom-ref"]
            return reference
    raise ValueError(f"the SBOM has no {wanted}: {advisory.id} need not be argued")
