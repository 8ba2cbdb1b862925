"""Look-ups: what the store has to say to a read, or to all reads of a batch at once.

Whether an entry may be served is decided in _coherence.py; here is asked for it, as
seldom as can be. May raise StoreError and CodecError where the caller turns whatever
happens into a miss.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from botocache._cache.entries import decode_entry
from botocache._cache.entry_keys import entry_key
from botocache._cache.modes import Mode, current_mode
from botocache._cache.parts import Parts
from botocache._cache.tickets import (
    Asked,
    Hit,
    Lookup,
    Plan,
    Question,
    ReadTicket,
    Recording,
    Request,
)
from botocache._coherence import Loaded, may_serve
from botocache._dynamodb.plans import CachingMode, Read
from botocache._dynamodb.projections import Projection, project
from botocache._dynamodb.tags import tag_digest
from botocache._errors import CodecError
from botocache._settings.tables import TablePolicy, caching_mode

TABLE_TAG = 1
"""Index of the table's tag among a Read's tags."""


class Lookups:
    """The look-ups of one cache."""

    def __init__(self, parts: Parts) -> None:
        self._store: Final = parts.store
        self._settings: Final = parts.settings
        self._evictions: Final = parts.evictions
        self._undelivered: Final = parts.evictions.pending
        self._policies: Final[dict[str, TablePolicy]] = {}

    def policy(self, table: str) -> TablePolicy:
        """Return what is done for a table."""
        policy = self._policies.get(table)
        if policy is None:
            policy = self._policies[table] = self._settings.policy(table)
        return policy

    def asked(self, request: Request) -> Asked | None:
        """Return what a call's reads have in common; None when nobody may be served."""
        scope = request.scope()
        if scope is None:
            return None
        operation, now = request.operation, self._store.now()
        return Asked(operation, request.origin, scope, current_mode(), now)

    def question(self, asked: Asked, read: Read) -> Question | None:
        """Return what the store is asked for one read; None when it is not asked.

        Because of the table's policy, or of what waits to be evicted.
        """
        # One call less, on the path of every hit.
        policy = self._policies.get(read.table) or self.policy(read.table)
        tags = self._tags(asked, policy, read)
        if tags is None or self._evictions.are_waiting(tags):
            return None
        key = entry_key(asked.scope, asked.origin, read.operation, read.question)
        whole = None
        if read.whole is not None and read.projection is not None:
            whole = _whole_key(asked, read.whole)
        return Question(read, policy, key, tags, whole)

    def ask(
        self, asked: Asked, read: Read, recording: Recording | None = None
    ) -> Lookup:
        """Look one read up, if its table's policy and what waits let us.

        recording: is told what was asked; and may know the answer, if that is no hit.
        """
        question = self.question(asked, read)
        if question is None:
            return None
        if recording is not None and _is_served(asked, read):
            recording.plan = Plan(asked, question, None)
            ticket = recording.ticket
            if ticket is not None and (
                (ticket.key, ticket.tags) == (question.key, question.tags)
            ):
                return ticket
        return self.ask_store(asked, question)

    def ask_store(self, asked: Asked, question: Question) -> Hit | ReadTicket:
        """Look up what a question names."""
        read, policy, key, tags, whole = question
        loaded = self._store.load(key, tags)
        if _is_served(asked, read):
            hit = self.hit(key, loaded, asked.now)
            if hit is not None:
                return hit
            if whole is not None and read.projection is not None:
                entire = self.hit(whole, self._store.load(whole, tags), asked.now)
                hit = _projected(entire, read.projection)
                if hit is not None:
                    return hit
        return ReadTicket(read, asked.origin, policy, key, loaded, asked.now, tags)

    def plan_ahead(self, asked: Asked, read: Read) -> Plan | None:
        """Return how the store is asked for a read that is not a call yet.

        None where a call has more to do than to ask. asked: by another call like it.
        """
        if self._undelivered or not _is_served(asked, read):
            return None
        question = self.question(asked, read)
        return None if question is None else Plan(asked, question, None)

    def ask_again(self, plan: Plan) -> Lookup:
        """Look a read up whose plan is known; None where it has to be planned anew."""
        now = self._store.now()
        if self._undelivered or not _is_good(plan, now, self._settings.ttl):
            return None
        lookup = self.ask_store(plan.asked._replace(now=now), plan.question)
        if isinstance(lookup, Hit) and not _rests_on(plan, lookup):
            return None
        return lookup

    def ask_many(self, asked: Asked, reads: Sequence[Read]) -> list[Lookup]:
        """Do the same for all reads of a batch, with one question to the store.

        With a second one where projections fall back to the whole items. Does not try
        to deliver what waits: who did that in vain does not ask.
        """
        lookups: list[Lookup] = [None] * len(reads)
        questions = self._questions(asked, reads)
        fall_backs: dict[int, Question] = {}
        for at, question, loaded in self._answers(questions):
            read, policy, key, tags, _ = question
            hit = None
            if asked.mode is Mode.NORMAL and not read.is_consistent:
                hit = self.hit(key, loaded, asked.now)
                if hit is None and read.whole is not None:
                    whole = _whole_key(asked, read.whole)
                    fall_backs[at] = question._replace(key=whole)
            lookups[at] = hit or ReadTicket(
                read, asked.origin, policy, key, loaded, asked.now, tags
            )
        for at, (read, _, key, _, _), loaded in self._answers(fall_backs):
            hit = self.hit(key, loaded, asked.now)
            if read.projection is not None:
                lookups[at] = _projected(hit, read.projection) or lookups[at]
        return lookups

    def hit(self, key: bytes, loaded: Loaded, now: float) -> Hit | None:
        """Return the hit that an entry is, if it may be served."""
        if loaded.entry is None:
            return None
        try:
            entry = decode_entry(loaded.entry)
            if may_serve(entry.snapshot, loaded.snapshot, entry.expires_at, now):
                return Hit(entry.body(), now - entry.stored_at, key, entry)
        except CodecError as error:
            self._evictions.report("load_failed", "a miss, and filled anew", error)
        return None

    def _tags(
        self, asked: Asked, policy: TablePolicy, read: Read
    ) -> tuple[bytes, ...] | None:
        """Return what a read depends on; None when it is not to be looked up."""
        caching = caching_mode(policy, asked.operation, read.kind)
        if caching is CachingMode.OFF or asked.mode is Mode.BYPASS:
            return None
        depends_on = read.depends_on(caching, self._settings.precise_index_eviction)
        return tuple(map(tag_digest, depends_on))

    def _questions(self, asked: Asked, reads: Sequence[Read]) -> dict[int, Question]:
        """Return what is asked for which of the reads."""
        questions = {}
        for at, read in enumerate(reads):
            policy = self.policy(read.table)
            tags = self._tags(asked, policy, read)
            if tags is not None and not self._undelivered.includes(tags):
                key = entry_key(
                    asked.scope, asked.origin, read.operation, read.question
                )
                questions[at] = Question(read, policy, key, tags)
        return questions

    def _answers(
        self, questions: Mapping[int, Question]
    ) -> Iterator[tuple[int, Question, Loaded]]:
        """Ask all questions at once, if there are any."""
        if questions:
            lookups = [(question.key, question.tags) for question in questions.values()]
            loaded = self._store.load_many(lookups)
            for (at, question), each in zip(questions.items(), loaded, strict=True):
                yield at, question, each


def _is_served(asked: Asked, read: Read) -> bool:
    """Tell whether the cache may answer the read, if it can."""
    return asked.mode is Mode.NORMAL and not read.is_consistent


def _is_good(plan: Plan, now: float, fresh_for: float) -> bool:
    """Tell whether a plan may still be gone by: see Schemas.is_fresh."""
    return plan.schema is None or now - plan.schema.confirmed_at < fresh_for


def _rests_on(plan: Plan, hit: Hit) -> bool:
    """Tell whether a hit is of the table that the plan's tags were made for."""
    if plan.schema is None or hit.entry is None:
        return plan.schema is None
    return hit.entry.snapshot[TABLE_TAG] == plan.schema.generation


def _whole_key(asked: Asked, question: bytes) -> bytes:
    """Return the key of the whole item's entry."""
    return entry_key(asked.scope, asked.origin, "GetItem", question)


def _projected(whole: Hit | None, projection: Projection) -> Hit | None:
    """Answer a projection from the whole item, if that is there."""
    if whole is None:
        return None
    if "Item" not in whole.answer:
        # DynamoDB may refuse a path into an attribute, whatever the item.
        return None if projection.nested else whole
    item = project(whole.answer["Item"], projection)
    return None if item is None else whole._replace(answer={"Item": item})
