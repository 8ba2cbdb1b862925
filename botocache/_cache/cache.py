"""The cache: plan -> load -> hit | ticket -> fill or evict.

It knows neither botocore nor any URL. Whoever sits between an application and
DynamoDB asks `begin` before a call is sent and says `finish` or `fail` after it. None
of the three raises, save `begin` the EvictionError that the user asked for: whatever
else goes wrong in here, the call proceeds as without a cache. What is done for a read
stands in _cache/reads.py, for a write in _cache/writes.py.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from botocache._cache.evictions import BEGIN_FAILED
from botocache._cache.parts import assemble
from botocache._cache.reads import Reads
from botocache._cache.schema_learning import Recalls
from botocache._cache.tickets import (
    BatchTicket,
    DescribeTicket,
    Hit,
    ReadTicket,
    Recording,
    Request,
    Ticket,
    WriteTicket,
)
from botocache._cache.writes import Writes
from botocache._digests import EVERYTHING_DIGEST
from botocache._dynamodb.operations import may_write, plan
from botocache._dynamodb.plans import BatchRead, Bypass, Describe, Read, Write
from botocache._dynamodb.tags import table_tag, tag_digest
from botocache._dynamodb.values import table_name, wire_key
from botocache._dynamodb.writes import item_tags
from botocache._errors import EvictionError, assert_never
from botocache._near.answers import NearAnswers
from botocache._settings.load import Settings
from botocache._stats import Stats
from botocache.stores.protocol import Store


class Cache:
    """The cache of one installation. Made by `botocache.install`; safe for threads.

    store: where entries and generations live, shared with whoever uses the same. near:
    what is remembered in front of it, if anything is to be.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._parts: Final = assemble(store, settings)
        self._reads: Final = Reads(self._parts)
        self._writes: Final = Writes(self._parts, self._reads)
        self.near: Final = (
            None if settings.near == "off" else NearAnswers(self._parts, self._reads)
        )

    def __repr__(self) -> str:
        return f"<Cache {self._parts.store!r}, {self.stats()!r}>"

    # --- for the application -------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings that it was installed with."""
        return self._parts.settings

    def stats(self) -> Stats:
        """Return the counts since it was installed, for this process alone."""
        return self._parts.counters.read(undelivered=len(self._parts.evictions.pending))

    def invalidate(self, table: str, key: Mapping[str, Any] | None = None) -> None:
        """Evict a table, or one item of it, in all processes that share the store.

        For whoever wrote around botocache, after the write. When the store cannot do
        it now it is retried, and this process serves nothing of it until then.

        table: its name or ARN. key: when given, every key attribute of the item, as a
        client (`{"id": {"S": "7"}}`) or a resource (`{"id": "7"}`) takes it.
        Raises ValueError when a value is none that a key attribute can have.
        """
        name = table_name(table)
        tags = [table_tag(name)] if key is None else item_tags(name, wire_key(key))
        self._parts.evictions.evict_now(tuple(map(tag_digest, tags)))

    def clear(self) -> None:
        """Evict everything, in all processes that share the store, and drop it."""
        self.forget()
        if not self._parts.evictions.evict_now((EVERYTHING_DIGEST,)):
            return  # and do not wait for it again: entries age out
        try:
            self._parts.store.clear()
        except Exception as error:  # noqa: BLE001 - as ever
            self._parts.evictions.report(
                "clear_failed", "entries age out instead", error
            )

    def close(self) -> None:
        """Give back what the store holds open. The next call opens it again.

        Evictions that wait for the store to work again go on with that call. To stop
        caching, use `botocache.uninstall`.
        """
        self._parts.evictions.pending.stop()
        self.forget()
        try:
            self._parts.store.close()
        except Exception as error:  # noqa: BLE001 - as ever
            self._parts.evictions.report(
                "close_failed", "left to the process's end", error
            )

    def forget(self) -> None:
        """Drop what this process remembers by itself; the store is left alone."""
        if self.near is not None:
            self.near.clear()

    # --- for the hooks -------------------------------------------------------------

    def report_near(self, error: Exception) -> None:
        """Say that the near cache failed; the call takes the ordinary way."""
        self._parts.evictions.report("near_failed", "the hooks answer instead", error)

    def begin(
        self, request: Request, recording: Recording | None = None
    ) -> Hit | Ticket | None:
        """Say what is to be done before a call is sent.

        recording: is told, if the call is a read, how it can be asked again.

        Returns a hit, which is the answer; or a ticket for `finish` or `fail` after
        the call; or None, when the call is none of the cache's business. Raises
        EvictionError when the call is a write that is to be refused, and nothing else.
        """
        try:
            return self._begin(request, recording)
        except EvictionError:
            raise
        except Exception as error:  # noqa: BLE001 - a failure in here is never the application's
            return self.begin_blindly(request.operation, error)

    def begin_blindly(self, operation: str, error: Exception) -> WriteTicket | None:
        """Say that a call is sent of which nothing could be found out, and why.

        Nobody knows what a write would have evicted, so it evicts everything, at its
        end too: hence the ticket. Raises EvictionError when it cannot, and the write is
        to be refused.
        """
        self._parts.evictions.report(*BEGIN_FAILED, error)
        if not may_write(operation):
            return None
        return self._writes.begin_blindly(operation, error)

    def finish(
        self, ticket: Ticket, answer: dict[str, Any], *, succeeded: bool, certain: bool
    ) -> None:
        """Say that DynamoDB answered. Never raises.

        answer: parsed, as botocore has it. If the call was sent with the ticket's body
        it becomes what the application's own request would have been answered; else
        it is left alone. succeeded: it is not an error. certain: no earlier attempt of
        the same call may still land.
        """
        try:
            self._finish(ticket, answer, succeeded=succeeded, certain=certain)
        except Exception as error:  # noqa: BLE001 - a failure in here is never the application's
            if isinstance(ticket, WriteTicket):
                self._parts.evictions.remember((EVERYTHING_DIGEST,), error)
            self._parts.evictions.report(
                "finish_failed", "the call goes on uncached", error
            )

    def fail(self, ticket: Ticket) -> None:
        """Say that no answer came: nobody knows what happened. Never raises."""
        self.finish(ticket, {}, succeeded=False, certain=False)

    def sent_as_it_was(self, ticket: ReadTicket | WriteTicket) -> Ticket:
        """Return the ticket of a call that is sent again, with its own body this time.

        DynamoDB refused what was asked for beside what the application did.
        """
        if isinstance(ticket, WriteTicket):
            return self._writes.without_images(ticket)
        return self._reads.as_asked(ticket)

    # --- planning ------------------------------------------------------------------

    def _begin(
        self, request: Request, recording: Recording | None
    ) -> Hit | Ticket | None:
        if recording is not None and recording.has_failed:
            return None
        parameters = _decode_body(request.body)
        if recording is not None and recording.parameters == parameters:
            ticket = self._reads.go_on(request, parameters, recording)
            if ticket is not None:
                return ticket
        return self._plan(request, parameters, recording)

    def _plan(
        self,
        request: Request,
        parameters: dict[str, Any],
        recording: Recording | None,
    ) -> Hit | Ticket | None:
        is_read = not may_write(request.operation)
        recalls = Recalls(self._parts.learning, request.origin, is_read=is_read)
        planned = plan(request.operation, parameters, recalls.keys_of)
        match planned:
            case Read():
                return self._reads.begin(
                    request, parameters, planned, recalls, recording
                )
            case BatchRead():
                return self._reads.begin_batch(request, parameters, planned)
            case Write():
                return self._writes.begin(request, parameters, planned, recalls)
            case Describe():
                table = planned.table
                generation = self._parts.learning.generation(request.origin, table)
                return DescribeTicket(request.origin, table, generation)
            case Bypass():
                return None
            case _:
                return assert_never(planned)

    def _finish(
        self, ticket: Ticket, answer: dict[str, Any], *, succeeded: bool, certain: bool
    ) -> None:
        match ticket:
            case ReadTicket():
                if succeeded:
                    self._reads.finish(ticket, answer)
            case BatchTicket():
                if "Error" not in answer:
                    self._reads.complete(ticket, answer, is_kept=succeeded)
            case WriteTicket():
                self._writes.finish(
                    ticket, answer, succeeded=succeeded, certain=certain
                )
            case DescribeTicket():
                if succeeded:
                    self._parts.learning.learn_described(
                        ticket.origin, ticket.table, ticket.generation, answer
                    )
            case _:
                assert_never(ticket)


def _decode_body(body: bytes) -> dict[str, Any]:
    try:
        decoded: dict[str, Any] = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        decoded = json.loads(body)  # knows lone surrogates
    return decoded
