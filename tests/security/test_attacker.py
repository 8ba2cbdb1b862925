"""What an attacker of the store gets of a live service: nothing but misses."""

import pytest

from tests.security.attacker import (
    FORGED,
    KEY,
    Campaign,
    Result,
    opened,
    problems,
    table_of,
)
from tests.support.dynamodb import DynamoDB

SHARE = [
    "pickles",
    "other bytes",
    "entries moved to other items",
    "an announced list",
    "values of another type",
    "a poisoned table of generations",
]


@pytest.mark.parametrize("store", ["disk", "redis"])
def test_some_attacks_get_nothing_but_misses(store: str, dynamodb: DynamoDB) -> None:
    with opened(store) as hands:
        results = Campaign(dynamodb, hands).run(SHARE)
    print(table_of(results))
    assert [each.attack for each in results] == [*SHARE, "entries from before a write"]
    assert problems(results, is_encrypted=False) == []
    assert not any(each.hits for each in results)


@pytest.mark.long("six of them, on stores in clear")
@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize("store", ["disk", "redis"])
def test_an_attacker_gets_nothing_but_misses(
    store: str, is_encrypted: bool, dynamodb: DynamoDB
) -> None:
    with opened(store) as hands:
        results = Campaign(dynamodb, hands, KEY if is_encrypted else "").run()
    print(table_of(results))
    assert problems(results, is_encrypted=is_encrypted) == []
    (forged,) = (each for each in results if each.attack == FORGED)
    # Honestly: in clear, a writer of the store that knows the scope is believed.
    assert bool(forged.wrong) is not is_encrypted


def test_a_false_answer_and_a_failure_are_problems() -> None:
    fine = Result("other bytes", 0, 0, 0, 6, 0.1)
    assert problems([fine], is_encrypted=True) == []
    for changed in (
        fine._replace(wrong=1),
        fine._replace(failures=1),
        fine._replace(slowest=9.0),
        fine._replace(attack=FORGED, wrong=1),
    ):
        assert len(problems([changed], is_encrypted=True)) == 1
    assert problems([fine._replace(attack=FORGED, wrong=1)], is_encrypted=False) == []
