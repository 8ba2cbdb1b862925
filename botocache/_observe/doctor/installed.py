"""What is installed: the package, its dependencies and its extras, with versions."""

import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from botocache._observe.doctor.findings import Finding, bad, good, warning

DISTRIBUTION = "botocache-dynamodb"

NAMESAKE = "botocache"
"""A distribution by other people, whose package has the same name as ours."""

LEAST: Mapping[str, str] = {
    "botocore": "1.35.68",
    "msgspec": "0.19",
    "diskcache": "5.6.3",
    "redis": "5",
    "zstandard": "0.22",
    "cryptography": "42",
    "rich": "13",
    "shtab": "1.9",
    "opentelemetry-api": "1.20",
    "prometheus-client": "0.19",
}
"""The oldest supported version of each package; a test compares with pyproject.toml."""

REQUIRED = ("botocore", "msgspec", "diskcache")
"""What each installation has. Some leave diskcache out, and then use no `disk:`."""

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "redis": ("redis", "zstandard"),
    "encryption": ("cryptography",),
    "cli": ("rich", "shtab"),
    "otel": ("opentelemetry-api",),
    "prometheus": ("prometheus-client",),
}


NEEDED_BY: Mapping[str, tuple[str, str]] = {
    "otel": ("opentelemetry-api", "otel"),
    "prometheus": ("prometheus-client", "prometheus"),
}
"""The package that each value of `metrics` needs, and the extra that brings it."""


def check_installed(
    package: Path, version: str, metrics: Sequence[str]
) -> Iterator[Finding]:
    """Yield what is installed.

    package: the directory of this package.
    version: its own.
    metrics: the setting.
    """
    yield good(
        "installed",
        f"botocache {version} in {package}, Python {platform.python_version()} "
        f"({sys.executable})",
    )
    yield from judge_distributions(version, _version(DISTRIBUTION), _version(NAMESAKE))
    versions = {name: _version(name) for name in (*LEAST, "boto3")}
    yield from judge_versions(versions)
    yield from judge_metrics(metrics, versions)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def judge_distributions(
    version: str, distribution: str | None, namesake: str | None
) -> Iterator[Finding]:
    """Judge the installed distributions.

    version: of this package.
    distribution: version of the distribution, if there is one.
    namesake: version of the other one, if it is installed.
    """
    # Whichever of the two was installed last has overwritten files of the other.
    if namesake is not None:
        yield bad(
            "distribution",
            f"the distribution {NAMESAKE} {namesake} is installed too; it is by other "
            "people, and its package has the same name as this one",
            f"pip uninstall {NAMESAKE} && pip install --force-reinstall {DISTRIBUTION}",
        )
    if distribution is not None and distribution != version:
        yield warning(
            "distribution",
            f"{DISTRIBUTION} {distribution} is installed, and botocache {version} is "
            "imported",
            f"Remove one of the two: see where `pip show -f {DISTRIBUTION}` is.",
        )


def judge_versions(versions: Mapping[str, str | None]) -> Iterator[Finding]:
    """Judge the versions of packages. versions: None for one that is not installed."""
    for name, version in versions.items():
        least = LEAST.get(name)
        # Not by `packaging`, which is no dependency: all of these have plain numbers.
        if version and least and _numbers(version) < _numbers(least):
            yield bad(
                name,
                f"{name} {version} is older than {least}",
                f"pip install --upgrade '{name}>={least}'",
            )
    if versions.get("diskcache") and _numbers(versions["diskcache"] or "")[:1] >= (6,):
        yield bad(
            "diskcache",
            f"diskcache {versions['diskcache']} is newer than 5",
            "pip install 'diskcache>=5.6.3,<6'",
        )
    listed = [f"{n} {versions.get(n) or 'not installed'}" for n in REQUIRED]
    boto3 = versions.get("boto3")
    yield good("packages", ", ".join([*listed, f"boto3 {boto3 or 'not installed'}"]))
    extras = []
    for extra, names in EXTRAS.items():
        there = [f"{n} {versions[n]}" for n in names if versions.get(n)]
        extras.append(f"{extra} ({', '.join(there) or 'not installed'})")
    yield good("extras", ", ".join(extras))


def judge_metrics(
    metrics: Sequence[str], versions: Mapping[str, str | None]
) -> Iterator[Finding]:
    """Judge whether the exporters that the settings name can be had."""
    for name in metrics:
        package, extra = NEEDED_BY.get(name, ("", ""))
        if package and not versions.get(package):
            yield bad(
                "metrics",
                f"the setting metrics names {name}, and {package} is not installed",
                f"pip install 'botocache-dynamodb[{extra}]'",
            )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers at the beginning of a version: 1.35.68 of `1.35.68rc1`."""
    match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()
