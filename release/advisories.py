"""The advisories that advisories.toml argues: read, and matched with findings."""

import sys
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("advisories.toml")


@dataclass(frozen=True, slots=True)
class Advisory:
    """An advisory about a dependency that does not affect botocache.

    id: its first name in the databases.
    aliases: its other names.
    package: the dependency.
    version: the affected one that botocache may be installed with.
    justification: a word of OpenVEX.
    reason: why it does not affect botocache.
    evidence: paths of the tests that hold the reason.
    until: the last day on which it is accepted.
    """

    id: str
    aliases: tuple[str, ...]
    package: str
    version: str
    justification: str
    reason: str
    evidence: tuple[str, ...]
    until: date

    def is_named(self, package: str, names: Collection[str]) -> bool:
        """Return whether a finding about a package is this advisory."""
        return package == self.package and not {self.id, *self.aliases}.isdisjoint(
            names
        )


def read(path: Path = FILE) -> list[Advisory]:
    """Return the advisories of a file. Raises TypeError if one lacks a field."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    advisories = []
    for entry in content.get("advisory", []):
        package = entry.pop("package")
        for name in ("aliases", "evidence"):
            entry[name] = tuple(entry[name])
        advisories.append(
            Advisory(package=package["name"], version=package["version"], **entry)
        )
    return advisories
