"""Whether `BOTOCACHE=1` takes effect in a Python that starts here, and if not, why.

A real interpreter answers that: a child starts with the variable, imports botocore, and
says whether the cache is installed. All else here explains what the child has said.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from botocache._errors import suggestion
from botocache._observe.doctor.findings import Finding, bad, good, warning

TOGGLE = "BOTOCACHE"

DIGESTS = {
    "botocache.pth": "b734b4f0a8f3589f77302d4f3d44e4fb",
    "botocache.start": "f492c9656dd807689de30d3786ba976b",
    "botocache_startup.py": "f697159a6fc76c4a5a800ab81f76423e",
}
"""BLAKE2b, 16 bytes, of the start-up files of this release; a test compares them.
docs/explanation/start-up.md shows each in full."""

_PTH_IS_READ_UNTIL = (3, 14)
"""From Python 3.15 on, `botocache.start` takes its place (PEP 829)."""

_CHILD_PATIENCE = 7.0
"""Seconds. Starting Python and importing botocore takes less than one, mostly."""

_CHILD = """
import json, os, sys
if sys.path and sys.path[0] == "":
    del sys.path[0]
import site
answer = {
    "startup": getattr(sys.modules.get("botocache_startup"), "__file__", None),
    "package": None,
    "is_installed": False,
    "trouble": "",
    "words": [],
    "path": sys.path,
    "site_directories": [],
    "is_site_on": not sys.flags.no_site,
}
try:
    answer["site_directories"] = [*site.getsitepackages(), site.getusersitepackages()]
except Exception:
    pass
plugin = sys.modules.get("botocache.plugin")
answer["is_loaded"] = plugin is not None
try:
    import botocache
    answer["package"] = os.path.dirname(botocache.__file__)
    from botocache import plugin as known
    answer["words"] = sorted({*known.ON, *known.OFF, known.SHADOW})
    import botocore.session
    answer["is_installed"] = botocache.installed() is not None
except Exception as error:
    answer["trouble"] = f"{type(error).__name__}: {error}"
print("\\n" + json.dumps(answer), flush=True)
sys.stderr.flush()
os._exit(0)
"""
"""Run by the child. It takes the current directory from the path: an application that
is started by its name has none there. It leaves without the end of a process, in which
a cache posts its counts on the store."""

_OFF = frozenset({"", "0", "off", "false", "no"})


def digest_of(content: bytes) -> str:
    """Return the digest of a file, as `DIGESTS` has it."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


class ChildAnswer(NamedTuple):
    """What a Python that was started with the variable says of itself.

    startup: the file of the module `botocache_startup`, if it was imported at start.
    package: the directory of the package that it imports.
    is_loaded: whether `botocache.plugin` was loaded at start.
    is_installed: whether the cache is installed, after botocore was imported.
    words: values of the variable that the package knows.
    path: its `sys.path`, without the current directory.
    site_directories: directories whose `.pth` files Python reads, if site is on.
    is_site_on: whether it reads them.
    complaint: the last line that it wrote to standard error.
    """

    startup: str | None
    package: str | None
    is_loaded: bool
    is_installed: bool
    words: tuple[str, ...]
    path: tuple[str, ...]
    site_directories: tuple[str, ...]
    is_site_on: bool
    complaint: str


def check_start(environ: Mapping[str, str], package: Path) -> Iterator[Finding]:
    """Yield whether the variable takes effect, and what keeps it from that.

    environ: of the process.
    package: the directory of this package.
    """
    value = environ.get(TOGGLE, "")
    # Also without the variable, the child has it: people run this before they set it.
    is_set = value.strip().lower() not in _OFF
    try:
        answer = start_child(environ, value if is_set else "1")
    except (OSError, subprocess.SubprocessError) as error:
        yield bad(
            "start",
            f"a Python that was started for a test gave no answer: {error}",
            f"Try it: {TOGGLE}=1 python -c 'import botocore.session, botocache; "
            "print(botocache.installed())'",
        )
        return
    yield from judge_toggle(value, answer.words)
    yield from judge_start(answer, is_set=is_set)
    yield from judge_package(answer.package, package)
    yield from check_files(answer)
    yield from check_packages(answer.path)


def start_child(environ: Mapping[str, str], value: str) -> ChildAnswer:
    """Start a Python like this one with the variable, and return its answer.

    environ: of the process.
    value: of the variable.

    Raises OSError, or SubprocessError if it gives no answer.
    """
    if not sys.executable:
        raise OSError("this Python is embedded in another program")
    done = subprocess.run(  # noqa: S603 - this interpreter, and a program of ours
        [sys.executable, *_interpreter_options(), "-c", _CHILD],
        # Its value as it is, if it is on: `shadow`, or one that is misspelt.
        env={**environ, TOGGLE: value},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_CHILD_PATIENCE,
        check=False,
        text=True,
        errors="replace",
    )
    # Start-up files of others may print. What the child says is the last line.
    complaints = done.stderr.strip().splitlines()
    try:
        said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = complaints[-1] if complaints else "nothing"
        raise subprocess.SubprocessError(
            f"it ended with {done.returncode}, and wrote {last!r}"
        ) from None
    ours = [line for line in complaints if line.startswith("botocache:")]
    trouble = said["trouble"] or (ours[-1] if ours else "")
    return ChildAnswer(
        startup=said["startup"],
        package=said["package"],
        is_loaded=said["is_loaded"],
        is_installed=said["is_installed"],
        words=tuple(said["words"]),
        path=tuple(said["path"]),
        site_directories=tuple(said["site_directories"]),
        is_site_on=said["is_site_on"],
        complaint=trouble,
    )


def _interpreter_options() -> list[str]:
    """Return the options of this interpreter that decide what Python reads at start."""
    # As multiprocessing does it: a child must see what the application sees. `-I` is
    # not passed as its parts, which would leave the current directory on the path.
    flags = sys.flags
    if flags.isolated:
        return ["-I", *(["-S"] if flags.no_site else [])]
    return [
        option
        for option, is_set in (
            ("-S", flags.no_site),
            ("-E", flags.ignore_environment),
            ("-s", flags.no_user_site),
        )
        if is_set
    ]


def judge_toggle(value: str, words: Sequence[str]) -> Iterator[Finding]:
    """Judge the value of the variable. words: those that the package knows."""
    word = value.strip().lower()
    # Without words the package could not be imported, which is found by itself.
    if not words or word in words:
        state = {True: "is not set", False: f"is {value.strip()!r}"}[word == ""]
        yield good("BOTOCACHE", f"the variable {TOGGLE} {state}")
        return
    near = suggestion(word, [each for each in words if each])
    meant = near.split("'")[1] if near else "1"
    yield bad(
        "BOTOCACHE",
        f"{TOGGLE}={value!r} is not known, so the application runs uncached{near}",
        f"Set {TOGGLE}={meant}. Known are {', '.join(filter(None, words))}.",
    )


def judge_start(answer: ChildAnswer, *, is_set: bool) -> Iterator[Finding]:
    """Judge what a child has said.

    is_set: whether the variable is on; if not, the child had it all the same.
    """
    subject = "start"
    if answer.is_loaded and answer.is_installed:
        effect = "takes effect here" if is_set else "would take effect here"
        yield good(
            subject, f"{TOGGLE}=1 {effect}: a Python that was started has the cache on"
        )
        return
    judged = bad if is_set else warning
    # Loaded and not installed: the package itself has complained, and knows best.
    if answer.is_loaded:
        what = answer.complaint or "the package was loaded, and installed no cache"
        yield judged(
            subject,
            f"Python loads the package at start, but the cache stays off: {what}",
            "Correct what the line names; the findings below may say more.",
        )
        return
    found, advice = _why_not_loaded(answer)
    if not is_set:
        advice += " An application that calls botocache.install() needs no start-up."
    yield judged(subject, f"{TOGGLE}=1 has no effect here: {found}", advice)


_RUN = "start the application by `python -m botocache run -- COMMAND`"


def _why_not_loaded(answer: ChildAnswer) -> tuple[str, str]:
    """Return why Python did not load the package at start, and what to do."""
    complaint = f" ({answer.complaint})" if answer.complaint else ""
    again = "Install botocache-dynamodb again."
    name = start_file()
    there = [place for place in answer.site_directories if Path(place, name).exists()]
    beside = Path(answer.package).parent if answer.package else None
    if not answer.is_site_on:
        found = "this Python runs with -S, or is embedded, and reads no start-up files"
        advice = f"Start Python without -S, or call botocache.install(), or {_RUN}."
    elif answer.startup is not None:
        found = f"{answer.startup} was run, and did not load the package{complaint}"
        advice = again
    # A file that is there and was not run: in the user's directory while that is off,
    # or with a line that Python could not read.
    elif there:
        found = f"{Path(there[0], name)} is there, and was not run{complaint}"
        advice = (
            f"{again} If the file is another Python's, or in the user's directory, "
            f"which is off here, {_RUN}."
        )
    elif beside is not None and (beside / name).exists():
        found = (
            f"{beside / name} is in no directory whose start-up files Python reads "
            "(`pip install --target`, a layer, PYTHONPATH)"
        )
        advice = f"Install into the environment itself, or {_RUN}."
    else:
        found = f"no start-up file {name} is in {' or '.join(answer.site_directories)}"
        advice = (
            "Install the wheel of botocache-dynamodb here: an editable install, an "
            f"archive and a build --without-startup have no such file. Or {_RUN}."
        )
    return found, advice


def start_file() -> str:
    """Return the name of the file that this Python reads at start."""
    reads_pth = sys.version_info[:2] <= _PTH_IS_READ_UNTIL
    return "botocache.pth" if reads_pth else "botocache.start"


def judge_package(theirs: str | None, ours: Path) -> Iterator[Finding]:
    """Judge which package an application imports.

    theirs: the directory of the child's, if it has one.
    ours: the directory of the doctor's own.
    """
    if theirs is None:
        yield bad(
            "package",
            "a Python that was started here cannot import botocache; the doctor's own "
            f"is {ours}",
            "Install botocache-dynamodb into the application's environment.",
        )
    # By their real paths: virtual environments are full of links.
    elif os.path.realpath(theirs) != os.path.realpath(ours):
        yield warning(
            "package",
            f"an application imports {theirs}, and the doctor is {ours}",
            "Run the doctor of the application's environment, and remove the other "
            "copy if it is not meant.",
        )


def check_files(answer: ChildAnswer) -> Iterator[Finding]:
    """Compare the start-up files that are there with those of this release."""
    # Beside those that were run, also those in other directories that Python reads: an
    # older release may have left them there.
    directories = dict.fromkeys(answer.site_directories)
    files = [Path(place, name) for place in directories for name in DIGESTS]
    if answer.startup is not None and Path(answer.startup) not in files:
        files.append(Path(answer.startup))
    altered = []
    count = 0
    for path in files:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            altered.append(f"{path}: {error.strerror}")
            continue
        count += 1
        if digest_of(content) != DIGESTS[path.name]:
            altered.append(f"{path} is not the file of this release")
    if altered:
        yield bad(
            "start-up files",
            "; ".join(altered),
            "Find out what changed them, then install botocache-dynamodb again. "
            "docs/explanation/start-up.md shows what they contain.",
        )
    elif count:
        yield good("start-up files", f"{count} files, as this release has them")


_HIDING = (
    *("botocache", "botocache_startup", "botocore", "boto3", "msgspec", "diskcache"),
    *("redis", "zstandard", "cryptography"),
)
"""Modules that a file of the same name could hide."""


def check_packages(path: Sequence[str]) -> Iterator[Finding]:
    """Find modules that are there twice. path: where Python looks, in order."""
    doubled = []
    for name in _HIDING:
        places = list(dict.fromkeys(_places_of(name, path)))
        # Two installed copies are usual: in a layer and the runtime of Lambda, in a
        # virtual environment and the system. Ours must be there once, for the start-up
        # file of one could start the other.
        is_fault = name.startswith("botocache") or not _is_installed(name, places)
        if len(places) > 1 and is_fault:
            doubled.append(f"{places[0]} hides {' and '.join(places[1:])}")
    if doubled:
        yield warning(
            "modules",
            "; ".join(doubled),
            "Remove the copies that are not meant: `pip uninstall`, another name for "
            "a file of the application, or a shorter PYTHONPATH.",
        )
    else:
        yield good("modules", "each package is on the path once")


def _is_installed(name: str, places: Sequence[str]) -> bool:
    """Return whether the first of some places is of an installed distribution."""
    return bool(places) and any(Path(places[0]).parent.glob(f"{name}-*.*-info"))


def _places_of(name: str, path: Sequence[str]) -> Iterator[str]:
    for entry in path:
        for place in (Path(entry, name), Path(entry, f"{name}.py")):
            file = place / "__init__.py" if place.suffix != ".py" else place
            if os.path.isfile(file):  # noqa: PTH113 - Path raises here
                yield os.path.realpath(place)
