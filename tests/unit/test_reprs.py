"""What an object of ours shows of itself: no item, no key and no credential."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import msgspec
import pytest

import botocache

HARMLESS = frozenset(
    {
        # Times, sizes, counts and choices.
        *("age", "began", "body_at", "capacity", "evicted", "expires_at", "failures"),
        *("blocks", "consistent", "cost", "is_estimated"),
        *("ended", "fills", "held", "held_until", "hits", "misses", "bypassed"),
        *("hold_off", "is_alone", "is_complete", "is_consistent", "is_delivered"),
        "is_encrypted",
        *("is_on_index", "is_plain", "is_precise", "is_read", "is_settling", "kind"),
        *("is_table_known", "mode", "near_hits", "negative_ttl", "number", "policy"),
        *("remembered", "scan_size_limit", "scans", "index_queries", "size", "ttl"),
        *("asked_at", "trusted_until", "ttl_unfollowed", "heartbeats"),
        *("settle", "size_limit", "stored_at", "timeout", "undelivered", "writes"),
        *("has_put", "left"),  # what is left hides what is in it
        *("was_alone", "confirmed_at", "operations", "longest_ttl", "is_quiet"),
        *(
            "client_tracking",
            "near",
            "rounds",
            "last",
            "on_eviction_failure",
            "precise_index_eviction",
            "miss_leases",
            "fast_parsing",
            "coalesce",
            "is_parsed_by_others",
        ),
        *("reads_after_write", "write_hold_off", "index", "indexes"),
        # Names of tables and attributes, of operations and of places.
        *("assumed", "attributes", "cached", "depends_on", "described", "evicts"),
        *("elements", "members", "named", "namespace", "nested", "operation", "origin"),
        *("paths", "place", "table", "tables", "whole", "why", "where", "name", "path"),
        *("scheme", "server", "seeds", "connection_class", "remap", "device", "inode"),
        *("schemas", "text", "stubbers", "extra_headers", "parser_defaults"),
        # Digests, generations, and objects that show nothing more than these.
        *("batch", "cache", "call", "counters", "evictions", "first_eviction"),
        *("generation", "key_schemas", "previous_generation", "restore", "scope"),
        *(
            "services",
            "settings",
            "sha",
            "account",
            "principal",
            "snapshot",
            "source",
            "store",
            "tag",
            "tags",
        ),
        *("watch", "watched", "node", "plan", "hiding", "changes_answers"),
        *("codec", "expiry", "setting", "valid_until"),
        # Counts and names that statistics show.
        *("store_hits", "unfilled", "throttled", "units_saved", "units_consumed"),
        *("answered_stale", "stale_if_throttled", "brakes", "retries"),
        *("units_estimated", "near_latency", "store_latency", "miss_latency"),
        *("compared", "differing", "stale_seconds", "digest", "counts", "seconds"),
        *("process", "host", "pid", "version", "started", "updated", "stats"),
        *("has_ended", "shadow", "entries", "minute", "saved", "consumed", "stale"),
        *("processes", "past", "past_processes", "points", "read_at", "hot_keys"),
        *("audit", "metrics", "stats_interval"),
        # What the command line looks at, and the rates that it computes.
        *("at", "is_known", "measured", "record", "running", "seen_at", "total"),
        *("interval", "overview", "read", "shows_keys", "usage"),
        *("records", "unreadable", "temporary", "parts"),
        # What the doctor finds out about machine, server and settings.
        *("subject", "state", "found", "advice", "free", "inodes", "sources"),
        *("troubles", "unknown", "connecting", "round_trips", "numbers", "role"),
        *("memory", "ahead", "network", "refused", "errors", "is_clustered"),
        *("startup", "package", "is_loaded", "is_installed", "words", "complaint"),
        *("options", "mark", "has_board"),  # options show no URL
        # What a record of a stream says, but for the item; and how far it was read.
        *("sequence_number", "created_at", "after", "arn", "view", "epoch", "leader"),
        *("is_whole", "is_enabled", "is_closed", "followed_until", "leased_until"),
        *("seen_until", "children", "shards", "followers", "evicted", "gaps"),
        *("ledger", "has_heartbeat", "requests", "counted_since", "followed", "now"),
        *("last_change", "heartbeats", "asked_at", "trusted_until"),
        *("ttl_unfollowed", "streams", "next_iterator", "answered_at"),
        *("site_directories", "is_site_on", "wrap", "names_of"),
        # What a report computes of them.
        *("consistent", "expired", "outdated", "index_outdated", "prices"),
        *("coalesced", "leased"),
        *("is_fresh", "lag", "is_followed", "follow_ups", "stream_reads", "requests"),
        *("on_demand", "provisioned", "utilization", "dax_node", "dax_nodes"),
        *("dax_type", "currency", "region", "as_of", "without", "with_cache"),
        *("with_dax", "capacity_without", "capacity_with", "dax"),
        *("audits", "seen_at", "logged_at", "times"),
        *("help", "join", "labels", "read", "unit"),
    }
)
"""Names of attributes that may be shown, in any class."""

OF_A_CLASS = {
    "DescribeTicket": {"body"},  # it has none
    "Digests": {"key"},  # a digest, as in the next three
    "Fill": {"key"},
    "Hit": {"key"},
    "StaleHit": {"key"},
    "InUse": {"names", "older"},  # they have a repr of their own, and a function
    "Invalidation": {"key"},  # its names alone
    "PreparedRead": {"key"},
    "Shard": {"id", "parent"},  # DynamoDB's names of parts of streams
    "ShardPlace": {"id"},
    "Settings": {"encryption_keys"},  # they say how many there are
}
"""Names that may be shown in one class, and hold secrets in others."""

MARK = "m4rk3d"

AIO = "botocache._aiobotocore."


def classes() -> Iterator[type]:
    """Yield the classes of values: named tuples, dataclasses and structs."""
    for module in pkgutil.walk_packages(botocache.__path__, "botocache."):
        if module.name.endswith(("sitecustomize", "__main__")):
            continue  # they begin something
        if module.name.startswith(AIO) and find_spec("aiobotocore") is None:
            continue  # the environments of tests/aio have it
        made = importlib.import_module(module.name)
        for kind in vars(made).values():
            if (
                isinstance(kind, type)
                and kind.__module__ == module.name
                and fields_of(kind)
            ):
                yield kind


def fields_of(kind: type) -> list[str]:
    if issubclass(kind, msgspec.Struct):
        return [*kind.__struct_fields__]
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    fields = getattr(kind, "_fields", ())  # of a class of another kind, a method
    return [*fields] if isinstance(fields, tuple) else []


def marked(kind: Any) -> object:
    """Return an instance whose attributes are marks with their names."""
    names = fields_of(kind)
    marks = {name: f"{MARK}-{name}-" for name in names}
    if issubclass(kind, tuple):
        return kind(**marks)
    made = object.__new__(kind) if not issubclass(kind, msgspec.Struct) else None
    if made is None:
        return kind(**marks)
    for name, mark in marks.items():
        object.__setattr__(made, name, mark)
    return made


@pytest.mark.parametrize("kind", [*classes()], ids=lambda kind: kind.__qualname__)
def test_a_value_shows_only_what_is_harmless(kind: type) -> None:
    shown = repr(marked(kind))
    seen = {name for name in fields_of(kind) if f"{MARK}-{name}-" in shown}
    allowed = HARMLESS | OF_A_CLASS.get(kind.__qualname__, set())
    assert seen <= allowed, "hide it by `shows`, or say above that it is harmless"


def test_the_classes_that_hold_items_are_found() -> None:
    names = {kind.__qualname__ for kind in classes()}
    assert {"Hit", "Entry", "Loaded", "Fill", "NearEntry", "StoreOptions"} <= names


def test_a_value_that_holds_an_item_shows_the_rest() -> None:
    from botocache._cache.tickets import Hit

    hit = Hit({"Item": {"id": {"S": MARK}}}, 1.5, b"k")
    assert repr(hit) == "<Hit age=1.5 key=b'k'>"
