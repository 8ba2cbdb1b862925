"""No schedule breaks a promise on a real server, and it would be seen if one did.

Other clients come between the commands of the store on Redis; the server loses what
it holds, is replaced and is full, and commands and connections are lost.
"""

import logging
from collections.abc import Iterator

import pytest

from botocache.stores.redis.commands import pack
from tests.explorer.explore import endings, explore
from tests.explorer.mutations import Mutation
from tests.explorer.programs import Program
from tests.explorer.remote import commands_in
from tests.explorer.remote_mutations import MUTATIONS
from tests.explorer.samples import sample_on_redis
from tests.explorer.shown import require_caught

SEED = 20_261_126


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # failures are meant
    yield
    logging.disable(logging.NOTSET)


# --- that no promise is broken -------------------------------------------------------

THROUGH, IMAGES = ("through", "consistent"), ("images",)

PROGRAMS = [
    Program(("get", "update"), (0, 1), faults=0, shards=1),
    Program(("get", "put"), (0, 1), 0, 0, warm=False, shards=2),
    Program(("query", "delete"), (0, 1), 0, 0, warm=False, shards=256),
    Program(("batch", "update all new"), (0, 1), 0, 0, features=THROUGH, shards=1),
    Program(("put", "put"), (0, 1), 0, 0, features=THROUGH, shards=1),
    Program(("put", "statement"), (0, 1), 0, 0, features=THROUGH, shards=1),
    Program(("index 1", "move"), (0, 1), 0, 0, features=IMAGES, shards=1),
    Program(
        ("move in old form", "put elsewhere"), (0, 1), 0, 0, True, IMAGES, shards=1
    ),
    Program(("update",), (0,), moves=0, shards=1),
    Program(("unanswered update",), (0,), moves=0, shards=2),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_no_schedule_on_a_server_breaks_a_promise(program: Program) -> None:
    total = explore(program)
    print(total)
    assert total.schedules >= 10  # a second eviction is one command


def test_no_sampled_schedule_on_a_server_that_is_harmed_breaks_a_promise() -> None:
    for seed in range(SEED, SEED + 150):
        sample_on_redis(seed)


# --- that it would be seen -----------------------------------------------------------


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_store_with_a_fault_is_caught(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_caught(mutation, monkeypatch)


# --- that nothing is left out --------------------------------------------------------


def test_every_schedule_on_a_server_is_counted_once() -> None:
    program = Program(
        ("batch", "update all new"), (0, 1), 0, 0, features=THROUGH, shards=1
    )
    last, number = endings(program, most=10_000)
    assert explore(program).schedules == number > 15
    assert len(last) < number


def test_a_pipeline_is_split_into_its_commands() -> None:
    commands = [pack((b"SET", b"key", b"*1\r\n$4\r\nPING\r\n")), pack((b"PING",))]
    assert commands_in(b"".join(commands)) == commands
