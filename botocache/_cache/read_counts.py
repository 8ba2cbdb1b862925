"""What reads count: why they bypass, what they consume, and what a hit saves.

Nothing here counts by itself: reads.py does for single reads, batch_reads.py for keys.
"""

from botocache._cache.entries import decode_header
from botocache._cache.prepare import Call
from botocache._cache.read_mode import Mode
from botocache._cache.tickets import AuditTicket, ReadTicket
from botocache._counting.counters import STORE_SAMPLED, Series
from botocache._counting.hot_keys import TextOf
from botocache._dynamodb.read_units import (
    ReadCost,
    cost_of_read,
    cost_of_units,
    reported_units,
)
from botocache._dynamodb.types import Answer
from botocache._errors import CodecError


def note_hot_key(
    series: Series, key: bytes, units: float, text_of: TextOf, asked: object
) -> None:
    """Take note of the key of a hit that stands for several. See HotKeys.add."""
    series.add_hot_key(key.hex(), STORE_SAMPLED, STORE_SAMPLED * units, text_of, asked)


def why_bypassed(call: Call) -> str:
    """Return why `prepare` has returned None, as it counts."""
    if call.mode is Mode.BYPASS:
        return "bypass"
    return "no_scope" if call.scope is None else "off"


def is_outdated(miss: ReadTicket) -> bool:
    """Return whether the store had an entry of this read that a write has evicted."""
    try:
        header = decode_header(miss.loaded.entry or b"")
    except CodecError:  # it was reported when it was loaded
        return False
    return header.snapshot != miss.loaded.snapshot


def consumption(
    ticket: ReadTicket | AuditTicket, answer: Answer, length: int | None
) -> tuple[float, ReadCost]:
    """Return the read units of a read, and what an entry of it saves each time."""
    prepared, is_consistent = ticket.prepared, ticket.is_consistent
    if prepared.read.capacity != "NONE":
        units = reported_units(answer)
        if units is not None:
            return units, cost_of_units(units, is_consistent=is_consistent)
    cost = cost_of_read(prepared.read, prepared.parameters, answer, length)
    return float(cost.blocks) if is_consistent else cost.blocks / 2, cost
