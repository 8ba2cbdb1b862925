"""Async adapters with a fault in them, each of which must be caught."""

from typing import Any

import pytest

from botocache._aiobotocore import cancellation, course, offload
from botocache._aiobotocore.offload import Offload
from botocache._cache.fills import Fills
from tests.explorer.mutations import Mutation, Patch, _snapshot_afterwards
from tests.explorer.programs import Program


def _replace(owner: Any, name: str, by: Any) -> Patch:
    return lambda patch: patch.setattr(owner, name, by)


_end = cancellation._end


def _takes_it_for_certain(cache: Any, ticket: Any, **_: bool) -> None:
    """End a write that was cut as one that was answered."""
    _end(cache, ticket, was_sent=False)


def _leaves_what_came(work: "offload._Work[Any]") -> None:
    """Forget a result that came in the moment of the cancellation."""
    offload._is_first(work._unmet)


def _on_the_loop(patch: pytest.MonkeyPatch) -> None:
    async def run(_: Offload, function: Any, *arguments: Any, **__: Any) -> Any:
        return function(*arguments)

    patch.setattr(Offload, "run", run)


BEGUN = (
    "client 1 async update: begins",
    "client 1 async update: thread 1: evict",
    "client 1 async update: goes on",
)
READ = (
    "client 0 get: load",
    "client 0 get: the server reads version 1",
    "client 0 get: fill",
)
WRITTEN = Program(("get", "async update"), (0, 1), 0, 0, cuts=1)
LATE = Program(("get", "async update"), (0, 1), 0, 1, cuts=1)

TASK_MUTATIONS = [
    Mutation(
        "a cut write that is not ended",
        _replace(cancellation, "end_cut_call", lambda *_, **__: None),
        WRITTEN,
    ),
    Mutation(
        "a cut write that is taken for certain",
        _replace(cancellation, "_end", _takes_it_for_certain),
        LATE,
        schedule=(
            *BEGUN,
            "client 1 async update: is cancelled",
            "client 1 async update: thread 2: evict",
            "1.1 s pass",
            *READ,
            "client 1 async update: is carried out late",
        ),
    ),
    Mutation(
        "a write that was cut while it began, without a second eviction",
        _replace(course, "end_abandoned", lambda *_: None),
        WRITTEN,
    ),
    Mutation(
        "a write that has begun as it was cut, without a second eviction",
        _replace(offload._Work, "abandon", _leaves_what_came),
        WRITTEN,
    ),
    Mutation(
        "a cut write that is forgotten where no thread is free",
        _replace(cancellation, "_skipping", lambda *_: lambda: None),
        Program(("get", "async update"), (0, 1), 1, 1, cuts=1),
        schedule=(
            "client 1 async update: begins",
            "client 1 async update: a thread is free",
            *BEGUN[1:],
            "5.1 s pass",
            *READ,
            "client 1 async update: the server commits, and it is cancelled",
            "client 1 async update: no thread is free",
        ),
    ),
    Mutation(
        "an awaited read that takes its snapshot after the answer",
        _replace(Fills, "finish", _snapshot_afterwards),
        Program(("async get", "update"), (0, 1), faults=0, warm=False),
        schedule=(
            "client 0 async get: begins",
            "client 0 async get: thread 1: load",
            "client 0 async get: goes on",
            "client 1 update: evict",
            "client 1 update: evict",
            "client 0 async get: the server reads version 1",
            "client 1 update: the server commits",
            "client 1 update: evict",
            "1.1 s pass",
            "client 0 async get: thread 2: fill",
            "client 0 async get: thread 2: load",
            "client 0 async get: thread 2: fill",
            "client 0 async get: thread 2: fill",
        ),
    ),
    Mutation(
        "a task that is not told of its thread's end",
        _replace(offload, "_settle", lambda _: None),
        Program(("async get",), (0,), 0, 0),
    ),
    Mutation("a store that is asked on the loop", _on_the_loop, WRITTEN),
    Mutation(
        "a store that is asked on the loop where no thread is free",
        _replace(offload._Work, "run_instead", offload._Work.run),
        Program(("async get",), (0,), moves=0),
    ),
]
