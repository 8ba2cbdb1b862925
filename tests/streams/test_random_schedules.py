"""Whatever happens to followers and streams, a heartbeat never vouches for too much.

Random schedules, by the stand-in and without threads: changes and other followers step
in between any two requests; the store fails before or after it did its work; shards
split, are trimmed and vanish; iterators expire; the stream is switched off and on;
followers are killed, and paused for a minute in the middle of a step.

The law: once the ledger says F, each change that was made before F has been evicted.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from botocache._dynamodb.tags import item_tag, table_tag
from botocache._errors import StoreError
from botocache._streams import table_follower
from botocache._streams.follower import Follower
from tests.support.clock import FakeClock
from tests.support.followers import FollowedTable, item
from tests.support.stand_in_streams import StandInStream

ITEMS = 6
FOLLOWERS = 3
SCHEDULES = 24
STEPS = 100
SETTLED = 200.0
"""Seconds after which all is well again, once nothing more happens."""


class Schedule:
    """A run of some followers of one table, by a seed.

    owed: the changes that may not be evicted yet: when they were made, and what the
        tags of the item and the table were then.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = FakeClock(1_000_000.0 + self.random.random())
        stream = StandInStream(clock=self.clock, shards=self.random.choice((1, 1, 3)))
        self.table = FollowedTable(stream)
        self.stream = stream
        self.followers: list[Follower] = [
            self.table.follower() for _ in range(FOLLOWERS)
        ]
        self.owed: list[tuple[float, str, tuple[int, ...]]] = []
        self.trouble = 0.1
        self._is_stepping: list[Follower] = []
        stream.before = self._interrupt
        store: Any = self.table.store
        for verb in ("evict", "merge", "posted", "fill"):
            setattr(store, verb, self._unreliable(getattr(store, verb)))

    # --- what happens ---------------------------------------------------------------

    def change(self) -> None:
        """Change an item, as another program does."""
        name = str(self.random.randrange(ITEMS))
        self.owed.append((self.clock(), name, self._generations(name)))
        self.stream.put(item(name), item(name))

    def act(self) -> None:
        """Let something happen."""
        acts: list[tuple[int, Callable[[], object]]] = [
            (30, self.change),
            (40, self._step),
            (20, lambda: self.clock.advance(self.random.choice((0.1, 0.5, 1.0)))),
            (2, lambda: self.clock.advance(self.random.choice((5.5, 12.0)))),
            (3, self._kill),
            (4, self._harm_stream),
            (1, self._switch),
        ]
        weights = [weight for weight, _ in acts]
        self.random.choices(acts, weights)[0][1]()

    def _step(self) -> None:
        idle = [each for each in self.followers if each not in self._is_stepping]
        if not idle:
            return
        follower = self.random.choice(idle)
        self._is_stepping.append(follower)
        try:
            follower.step(self.clock())
        finally:
            self._is_stepping.remove(follower)

    def _kill(self) -> None:
        slot = self.random.randrange(FOLLOWERS)
        if self.followers[slot] in self._is_stepping:
            return
        if self.random.random() < 0.5:
            self.followers[slot].release()
        self.followers[slot] = self.table.follower()

    def _harm_stream(self) -> None:
        shards = self.stream.open_shards
        what = self.random.randrange(6)
        if not shards or what == 0:
            self.stream.expire_iterators()
        elif what == 1:
            self.stream.throttle(2)
        elif what == 2:
            self._trim()
        else:
            self.stream.split(
                self.random.choice(shards).id, self.random.choice((1, 1, 2))
            )

    def _trim(self) -> None:
        """Trim a shard that is read already.

        One that is to be read from its oldest record on loses none for a day, and after
        that it is not read: see `test_faults.py`.
        """
        try:
            places = self.table.ledger.shards
        except (KeyError, StoreError):
            return
        known = {each.id for each in places if each.after or not each.is_whole}
        for shard in self.stream.newest.shards:
            if shard.id in known:
                self.stream.trim(shard.id)
                return

    def _switch(self) -> None:
        if self.stream.newest.is_enabled:
            self.stream.disable()
        else:
            self.stream.enable()

    def _interrupt(self, _action: str, _shard: str) -> None:
        """Let something happen before a request; sometimes it takes a minute."""
        while self.random.random() < self.trouble and len(self._is_stepping) < 2:
            self.act()
        if self.random.random() < self.trouble / 20:
            self.clock.advance(60.0)

    def _unreliable(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        """Return a verb that fails sometimes, before or after it did its work."""

        def call(*arguments: Any) -> Any:
            if self.random.random() < self.trouble / 4:
                raise StoreError("before")
            done = verb(*arguments)
            if self.random.random() < self.trouble / 4:
                raise StoreError("after")
            return done

        return call

    # --- the law --------------------------------------------------------------------

    def check(self) -> None:
        """Fail if the ledger vouches for a change that is not evicted."""
        trouble, self.trouble = self.trouble, 0.0
        try:
            until = self.table.ledger.followed_until
        except KeyError:
            until = 0.0
        for made_at, name, before in self.owed:
            now = self._generations(name)
            is_evicted = any(a != b for a, b in zip(before, now, strict=True))
            assert is_evicted or made_at >= until, (made_at, until)
        self.owed = [each for each in self.owed if each[0] >= until]
        self.trouble = trouble

    def _generations(self, name: str) -> tuple[int, ...]:
        table = self.stream.table
        return self.table.generations(
            item_tag(table, {"id": {"S": name}}), table_tag(table)
        )


@pytest.mark.parametrize("part", range(4))
def test_no_heartbeat_vouches_for_a_change_that_is_not_evicted(part: int) -> None:
    for seed in range(part, SCHEDULES, 4):
        schedule = Schedule(seed)
        for _ in range(STEPS):
            schedule.act()
            schedule.check()
        if seed % 3:
            continue  # the rest takes most of the time
        schedule.trouble = 0.0
        if not schedule.stream.newest.is_enabled:
            schedule.stream.enable()
        table = schedule.table
        table.run(*schedule.followers, seconds=SETTLED)
        schedule.check()
        lag = table.clock() - table.followed_until
        assert lag < 4, (seed, lag)
        assert not any(made < table.followed_until - 4 for made, *_ in schedule.owed)


def _run_schedules(many: int) -> None:
    for seed in range(many):
        schedule = Schedule(seed)
        for _ in range(STEPS):
            schedule.act()
            schedule.check()


def test_a_follower_that_vouches_before_it_evicts_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evict = table_follower.TableFollower.evict

    def beat_first(self: Any, readers: Any) -> bool:
        for reader in readers:
            reader.conclude()  # it vouches for the page
        self.beat()
        return evict(self, readers)

    monkeypatch.setattr(table_follower.TableFollower, "evict", beat_first)
    with pytest.raises(AssertionError):
        _run_schedules(20)
