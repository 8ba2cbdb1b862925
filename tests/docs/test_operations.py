"""docs/reference/operations.md says what the table of operations says."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from botocache._dynamodb.operations import OPERATIONS
from tests.unit.dynamodb.test_operations import MODEL

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference" / "operations.md"


def test_the_file_is_what_the_table_makes() -> None:
    spec = spec_from_file_location("make_operations", DOCS / "make_operations.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert PAGE.read_text(encoding="utf-8") == module.text()


def test_every_operation_of_the_model_is_in_it_once() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert sorted(rows) == sorted(OPERATIONS)
    assert set(MODEL.operation_names) <= set(rows)
