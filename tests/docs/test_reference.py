"""The reference says what the code has: settings, errors, log lines, public names."""

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

import botocache
from botocache._settings.load import Settings, load_settings
from tests.docs.pages import DOCS, ROOT, Block, blocks_of, table_after, text_of

REFERENCE = DOCS / "reference"
SETTINGS = REFERENCE / "settings.md"

FIRST = ("url", "ttl", "negative_ttl", "tables", "scope", "timeout")
ADVANCED = (
    "stale_if_throttled",
    "namespace",
    "settle",
    "write_hold_off",
    "reads_after_write",
    "on_eviction_failure",
    "client_tracking",
    "precise_index_eviction",
    "streams",
    "ttl_unfollowed",
    "miss_leases",
    "near",
    "fast_parsing",
    "coalesce",
    "encryption_keys",
    "shadow",
    "audit",
    "metrics",
    "stats_interval",
    "prices",
)


def rows(heading: str) -> list[list[str]]:
    return [
        [cell.strip("`") for cell in row[:3]] for row in table_after(SETTINGS, heading)
    ]


def test_six_settings_come_first() -> None:
    assert [row[0] for row in rows("# Settings")] == list(FIRST)
    first_screen = text_of(SETTINGS).splitlines()[:20]
    assert all(any(f"| `{name}` |" in line for line in first_screen) for name in FIRST)


def test_the_others_are_advanced() -> None:
    assert [row[0] for row in rows("## Advanced")] == list(ADVANCED)


def test_the_tables_have_every_setting_and_no_other() -> None:
    assert {*FIRST, *ADVANCED} == {field.name for field in fields(Settings)}


@pytest.mark.parametrize(
    ("name", "variable", "default"), [*rows("# Settings"), *rows("## Advanced")]
)
def test_each_setting_has_its_variable_and_its_default(
    name: str, variable: str, default: str
) -> None:
    assert variable == f"BOTOCACHE_{name.upper()}"
    given = {variable: default} if default else {}
    assert load_settings({}, given, "disk:") == load_settings({}, {}, "disk:")


def test_install_takes_each_setting_by_name() -> None:
    parameters = set(inspect.signature(botocache.install).parameters)
    assert parameters == {"target", *FIRST, *ADVANCED}


def settings_of(block: Block, directory: Path) -> Settings:
    """Return what a block in one of the three forms configures."""
    if block.language == "python":
        calls = [node for node in ast.walk(ast.parse(block.text)) if is_install(node)]
        (call,) = [node for node in calls if isinstance(node, ast.Call)]
        arguments = {
            each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg
        }
        return load_settings(arguments, {}, "disk:")
    if block.language == "toml":
        path = directory / "botocache.toml"
        path.write_text(block.text, encoding="utf-8")
        return load_settings({}, {"BOTOCACHE_CONFIG": str(path)}, "disk:")
    variables = dict(line.split("=", 1) for line in block.text.splitlines())
    return load_settings({}, variables, "disk:")


def is_install(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "botocache.install"


@pytest.mark.parametrize(("first", "count"), [(0, 3), (3, 2)])
def test_the_forms_side_by_side_say_the_same(
    first: int, count: int, tmp_path: Path
) -> None:
    blocks = blocks_of(SETTINGS)[first : first + count]
    forms = [settings_of(block, tmp_path) for block in blocks]
    assert forms == [forms[0]] * count
    assert forms[0].tables


# --- log lines ---------------------------------------------------------------------

_EVENT = re.compile(
    r"(answered_stale|stream_followed|[a-z]+(?:_[a-z]+)*_"
    r"(?:around|behind|conflict|damaged|failed|in_clear|refused|lost|not_cached|"
    r"not_exported|not_known|"
    r"not_posted|not_shared|not_supported|too_large))(?::|$)"
)


def logged_events() -> set[str]:
    """Return the event names among the strings of the package."""
    return {
        match[1]
        for path in Path(botocache.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if (match := _EVENT.match(node.value))
    }


def test_the_page_of_log_lines_has_each_event_once() -> None:
    documented = [
        row[0].strip("`") for row in table_after(REFERENCE / "log-lines.md", "# Log")
    ]
    assert sorted(documented) == sorted(logged_events())


def test_each_log_line_says_what_happened_what_botocache_does_and_what_you_can() -> (
    None
):
    for row in table_after(REFERENCE / "log-lines.md", "# Log"):
        assert len(row) == 4
        assert all(row)


# --- errors and the Python API -----------------------------------------------------


def test_the_page_of_errors_has_each_public_error() -> None:
    errors = {
        name
        for name in botocache.__all__
        if isinstance(getattr(botocache, name), type)
        and issubclass(getattr(botocache, name), Exception)
    }
    assert errors == set(
        re.findall(r"`botocache\.(\w+Error)`", text_of(REFERENCE / "errors.md"))
    )


def test_the_page_of_the_api_has_each_public_name_and_no_other() -> None:
    named = re.findall(
        r"^::: botocache\.(\w+)", text_of(REFERENCE / "api.md"), re.MULTILINE
    )
    assert sorted(named) == sorted(botocache.__all__)


# --- the architecture --------------------------------------------------------------

_ROW = re.compile(r"\| `([\w/]+\.py)` \| `([\w.]+)` \|$", re.MULTILINE)
ARCHITECTURE = DOCS / "explanation" / "architecture.md"


@pytest.mark.parametrize(
    ("path", "name"), sorted(set(_ROW.findall(text_of(ARCHITECTURE))))
)
def test_each_step_of_the_architecture_names_a_function_that_is_there(
    path: str, name: str
) -> None:
    source = (ROOT / "botocache" / path).read_text(encoding="utf-8")
    assert name in defined_in(ast.parse(source))


def defined_in(module: ast.Module) -> set[str]:
    """Return the functions and classes of a module, and `Class.method`."""
    found = set()
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef)
            }
    return found


@pytest.mark.parametrize(
    "entry", re.findall(r"^  ([\w/. ]+?)   ", text_of(ARCHITECTURE), re.MULTILINE)
)
def test_each_room_of_the_architecture_is_there(entry: str) -> None:
    for name in entry.split():
        assert (ROOT / "botocache" / name).exists()
