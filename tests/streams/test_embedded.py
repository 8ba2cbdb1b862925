"""A service follows streams in a thread that is there while the service makes calls."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import botocache
from botocache._counting.stats import StreamStats
from botocache._errors import ConfigError
from botocache._streams import embedded
from botocache._streams.embedded import NAME, EmbeddedFollower
from tests.support.dynamodb import DynamoDB
from tests.support.processes import eventually, forked, in_thread


class Steps:
    """A follower that counts its steps.

    pause: seconds from one step to the next.
    """

    def __init__(self, pause: float = 0.001) -> None:
        self.pause = pause
        self.steps = self.releases = 0
        self.before: Callable[[], object] = lambda: None

    def step(self, _now: float) -> float:
        self.steps += 1
        self.before()
        return self.pause

    def release(self) -> None:
        self.releases += 1

    def stream_stats(self) -> tuple[StreamStats, ...]:
        return ()


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def follower(steps: Steps) -> Iterator[EmbeddedFollower]:
    made = embedded_of(lambda: steps)
    yield made
    made.rest()


def embedded_of(make: Callable[[], Any], **options: Any) -> EmbeddedFollower:
    """Return a follower of a service, which has done nothing yet."""
    return EmbeddedFollower(make, lambda: 0.0, **options)


def threads() -> list[threading.Thread]:
    """Return the threads that follow."""
    return [each for each in threading.enumerate() if each.name == NAME]


def test_the_thread_begins_with_the_first_call(
    follower: EmbeddedFollower, steps: Steps
) -> None:
    assert threads() == []
    follower.note_call()
    eventually(lambda: steps.steps > 2)
    follower.note_call()
    (thread,) = threads()
    assert thread.daemon  # the process need not wait for it


def test_it_gives_the_shards_back_and_ends_when_the_cache_is_closed(
    follower: EmbeddedFollower, steps: Steps
) -> None:
    follower.note_call()
    eventually(lambda: steps.steps > 0)
    follower.rest()
    assert steps.releases == 1
    eventually(lambda: threads() == [])
    done = steps.steps
    follower.rest()  # which does no harm
    assert (steps.steps, steps.releases) == (done, 1)


def test_the_next_call_goes_on(follower: EmbeddedFollower, steps: Steps) -> None:
    follower.note_call()
    eventually(lambda: steps.steps > 0)
    follower.rest()
    done = steps.steps
    follower.note_call()
    eventually(lambda: steps.steps > done)


def test_the_end_does_not_wait_for_a_request_that_hangs(
    follower: EmbeddedFollower, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_PATIENCE", 0.01)
    answered = threading.Event()
    steps.before = answered.wait
    follower.note_call()
    eventually(lambda: steps.steps > 0)
    in_thread(follower.rest, timeout=5)
    assert steps.releases == 0  # its leases end by themselves
    answered.set()
    eventually(lambda: threads() == [])


def test_what_fails_after_the_end_is_not_said(
    follower: EmbeddedFollower,
    steps: Steps,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(embedded, "_PATIENCE", 0.01)
    closed = threading.Event()

    def fail() -> None:
        closed.wait()
        raise ValueError("the store is closed")

    steps.before = fail
    follower.note_call()
    eventually(lambda: steps.steps > 0)
    follower.rest()
    closed.set()
    eventually(lambda: threads() == [])
    assert not caplog.records


@pytest.mark.parametrize("fails", ["make", "step"])
def test_what_fails_is_said_once(
    steps: Steps,
    fails: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded, "RETRY", 0.001)
    attempts: list[None] = []

    def fail() -> Steps:
        attempts.append(None)
        if len(attempts) > 20:
            return steps
        raise ConfigError("no region")

    steps.before = fail if fails == "step" else steps.before
    follower = embedded_of(fail if fails == "make" else lambda: steps)
    follower.note_call()
    eventually(lambda: len(attempts) > 20)
    follower.rest()
    (said,) = [record.getMessage() for record in caplog.records]
    assert "no region" in said


def test_what_fails_again_after_a_success_is_said_again(
    follower: EmbeddedFollower,
    steps: Steps,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded, "RETRY", 0.001)

    def fail_now_and_then() -> None:
        if steps.steps % 2:
            raise ValueError("now")

    steps.before = fail_now_and_then
    follower.note_call()
    eventually(lambda: steps.steps > 6)
    follower.rest()
    assert len(caplog.records) > 1


def test_a_thread_that_cannot_be_started_is_started_by_a_later_call(
    steps: Steps,
) -> None:
    may_start = False

    def start(thread: threading.Thread) -> None:
        if not may_start:
            raise RuntimeError("no more threads")
        thread.start()

    follower = embedded_of(lambda: steps, start=start)
    follower.note_call()
    assert threads() == []
    may_start = True
    follower.note_call()
    eventually(lambda: steps.steps > 0)
    follower.rest()


def test_a_fork_happens_without_the_thread_and_the_parent_goes_on(
    follower: EmbeddedFollower, steps: Steps
) -> None:
    follower.note_call()
    eventually(lambda: steps.steps > 0)
    with forked(lambda pipe: pipe.send(len(threads()))) as child:
        assert child.recv() == 0
    done = steps.steps
    eventually(lambda: steps.steps > done)
    assert steps.releases == 0  # the parent leads what it led


def test_a_forked_child_is_another_follower() -> None:
    made: list[Steps] = []

    def make() -> Steps:
        made.append(Steps())
        return made[-1]

    follower = embedded_of(make)
    follower.note_call()
    eventually(lambda: bool(made) and made[0].steps > 0)

    def work(pipe: Any) -> None:
        before = made[0].steps
        follower.note_call()
        eventually(lambda: len(made) > 1 and made[1].steps > 0)
        follower.rest()
        pipe.send((made[0].steps - before, made[0].releases, made[1].releases))

    with forked(work) as child:
        assert child.recv() == (0, 0, 1)
    follower.rest()
    assert len(made) == 1


def test_a_parent_that_makes_no_calls_follows_nothing_and_its_child_does(
    follower: EmbeddedFollower, steps: Steps
) -> None:
    """As with gunicorn's `preload_app`: the application is loaded before the forks."""

    def work(pipe: Any) -> None:
        follower.note_call()
        eventually(lambda: steps.steps > 0)
        pipe.send(len(threads()))

    with forked(work) as child:
        assert child.recv() == 1
    assert steps.steps == 0


def test_an_uninstalled_cache_follows_nothing(
    dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    table = dynamodb.create_table(StreamSpecification=specification)
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb.url)
    session = dynamodb.session()
    botocache.install(session, url="memory:", streams=table)
    client = dynamodb.client(session)
    client.get_item(TableName=table, Key={"pk": {"S": "1"}})
    assert len(threads()) == 1
    botocache.uninstall(session)
    eventually(lambda: threads() == [])
    client.get_item(TableName=table, Key={"pk": {"S": "1"}})
    assert threads() == []
