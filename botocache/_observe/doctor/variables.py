"""The environment's variables and the settings that come of them. Pure.

The sentences about wrong values are the loader's own. A URL is shown without its login,
and encryption keys by their number alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches

from botocache._observe.doctor.findings import Finding, bad, good, warning
from botocache._settings.load import PREFIX, Settings, TracedSettings, variable_names
from botocache.stores.urls import without_secrets

_TOGGLE = "BOTOCACHE"

_SIMILAR = 0.88
"""How alike two names are of which one is meant for the other. BOTOCORE_CONFIG, which
is another program's, is less like BOTOCACHE_CONFIG than that."""


def check_variables(
    environ: Mapping[str, str], traced: TracedSettings
) -> Iterator[Finding]:
    """Yield a finding for each variable that is misspelt.

    environ: of the process.
    traced: its settings.
    """
    # No complaint about Kubernetes' own, BOTOCACHE_SERVICE_HOST: the loader knows them.
    complaints = [
        warning(
            f"variable {variable}",
            f"{variable} names no setting of this version, and is ignored{near}",
            _advice_of(near),
        )
        for variable, near in traced.unknown.items()
    ]
    known = (_TOGGLE, *variable_names())
    for variable, value in environ.items():
        if variable.startswith(PREFIX) or variable == _TOGGLE:
            continue
        meant = _meant(variable, known) if value.strip() else None
        if meant is not None:
            complaints.append(
                warning(
                    f"variable {variable}",
                    f"{variable} is no variable of botocache, and looks like {meant}",
                    f"Rename it to {meant}, if it is meant for botocache.",
                )
            )
    if complaints:
        yield from complaints
    else:
        yield good("variables", "each BOTOCACHE variable names a setting")


def _advice_of(near: str) -> str:
    if "did you mean" in near or " now" in near:
        name = near.split("'")[1]
        return f"Rename it to {name}. Ignore this while a newer version is rolled out."
    return "Remove it, or correct its name: docs/reference/settings.md has all names."


def _meant(variable: str, known: tuple[str, ...]) -> str | None:
    """Return the known variable for which another one is meant, if it is."""
    # Shells and templates write names in lower case, or with hyphens.
    name = variable.upper().replace("-", "_")
    near = get_close_matches(name, known, n=1, cutoff=_SIMILAR)
    return near[0] if near else None


def check_settings(traced: TracedSettings) -> Iterator[Finding]:
    """Yield the settings in force with their sources, and what is wrong with others."""
    for trouble in traced.troubles:
        yield bad("settings", trouble, _what_to_do(trouble))
    # One line for all defaults: what was set is what people look for.
    usual = []
    for field in fields(Settings):
        value = getattr(traced.settings, field.name)
        source = traced.sources.get(field.name)
        if source is None:
            usual.append(f"{field.name} {_shown(field.name, value)}")
        else:
            subject = f"setting {field.name}"
            yield good(subject, f"{_shown(field.name, value)}, from {source}")
    if usual:
        yield good("settings", f"by default: {', '.join(usual)}")


def _what_to_do(trouble: str) -> str:
    if "cannot be read as TOML" in trouble:
        return (
            "Correct the file, or let BOTOCACHE_CONFIG name another one. Until then "
            "the application runs uncached."
        )
    name = trouble.partition(":")[0]
    if trouble.startswith("unknown setting"):
        return "Correct the name in the file. Until then the application runs uncached."
    return f"Correct {name}. Until then the application runs uncached."


def _shown(name: str, value: object) -> str:
    # The one setting that may hold a password; keys show their number by themselves.
    if name == "url":
        return without_secrets(value) or "''"
    # There may be hundreds of them.
    if name == "tables":
        return f"{len(value)} tables" if value and isinstance(value, tuple) else "all"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)
