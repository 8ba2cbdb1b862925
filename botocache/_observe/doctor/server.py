"""What is found about a Redis or Valkey server, from the facts of an inspection. Pure.

Nothing here connects: `stores/redis/inspection.py` does.
"""

from collections.abc import Iterator
from itertools import groupby
from statistics import median

from botocache._observe.doctor.findings import (
    Finding,
    bad,
    good,
    size_text,
    time_text,
    warning,
)
from botocache.stores.redis.facts import ServerFacts

OLDEST = {"redis": (6, 2), "valkey": (7, 2)}
"""The oldest versions whose commands the store needs."""

_NEARLY_ALL = 0.5
"""Of `timeout`. With a median above it, some look-ups come too late."""

_CLOCK_OFF, _CLOCK_FAR_OFF = 5.0, 300.0
"""Seconds. Beyond the second, AWS and encrypted entries refuse."""

RULES = "docs/how-to/redis.md#the-acl-user"


def judge_server(
    facts: ServerFacts, *, timeout: float, is_encrypted: bool
) -> Iterator[Finding]:
    """Judge one server.

    facts: of an inspection.
    timeout: seconds that it may delay a call.
    is_encrypted: whether entries are encrypted before they get there.
    """
    yield _judge_version(facts)
    yield _judge_latency(facts, timeout)
    yield _judge_role(facts)
    yield from _judge_permissions(facts)
    yield _judge_clock(facts)
    yield _judge_memory(facts)
    yield _judge_network(facts, is_encrypted=is_encrypted)


def _judge_version(facts: ServerFacts) -> Finding:
    subject = "server version"
    if not facts.version:
        return warning(
            subject,
            f"{facts.name} does not say its version",
            "Make sure that it is Redis 6.2 or Valkey 7.2, or later; the permission "
            "+info lets the doctor see it.",
        )
    # Each by its own numbers: Valkey 7.2 is what came after Redis 7.0.
    product = facts.version.partition(" ")[0]
    oldest = OLDEST[product]
    if facts.numbers < oldest:
        needed = ".".join(map(str, oldest))
        return bad(
            subject,
            f"{facts.name} is {facts.version}, older than {needed}",
            "Use Redis 6.2 or Valkey 7.2, or later.",
        )
    kind = ", in a cluster" if facts.is_clustered else ""
    return good(subject, f"{facts.name} is {facts.version}{kind}")


def _judge_latency(facts: ServerFacts, timeout: float) -> Finding:
    subject = "server latency"
    # Not the mean: on a busy machine, a few of them wait for a processor.
    middle = median(facts.round_trips)
    found = (
        f"a look-up takes {time_text(middle)} (median of {len(facts.round_trips)}), "
        f"connecting {time_text(facts.connecting)}; timeout is {time_text(timeout)}"
    )
    advice = (
        "Use a server in the same zone, or raise BOTOCACHE_TIMEOUT: what takes longer "
        "than it is a miss, and an eviction that is owed."
    )
    if middle >= timeout:
        return bad(subject, found, advice)
    if middle > timeout * _NEARLY_ALL:
        return warning(subject, found, advice)
    return good(subject, found)


def _judge_role(facts: ServerFacts) -> Finding:
    if facts.role in ("slave", "replica"):
        return bad(
            "server role",
            f"{facts.name} is a replica: it lags behind, and refuses evictions",
            "Let BOTOCACHE_URL name the primary, never a reader endpoint.",
        )
    # Without +info the role is unknown. That is a finding about permissions already.
    role = {"master": "a primary"}.get(facts.role, "not known")
    return good("server role", f"the role of {facts.name} is {role}")


def _judge_permissions(facts: ServerFacts) -> Iterator[Finding]:
    subject = "server permissions"
    # Apart: without some rules the cache works, and says less of itself.
    vital = [rule for rule in facts.refused if rule not in _DISPENSABLE]
    dispensable = [rule for rule in facts.refused if rule in _DISPENSABLE]
    if vital:
        scripts = " (scripts)" if {"+eval", "+evalsha"} & {*vital} else ""
        yield bad(
            subject,
            f"the user of {facts.name} lacks {' '.join(vital)}{scripts}",
            f"ACL SETUSER <user> {' '.join(vital)}; see {RULES}.",
        )
    if dispensable:
        lost = "; ".join(
            f"{' '.join(rules)}: {loss}"
            for loss, rules in groupby(dispensable, _DISPENSABLE.__getitem__)
        )
        yield warning(
            subject,
            f"the user of {facts.name} lacks {lost}",
            f"ACL SETUSER <user> {' '.join(dispensable)}; see {RULES}.",
        )
    # Managed servers rename or switch off commands; no ACL rule brings them back.
    if facts.unknown:
        yield bad(
            subject,
            f"{facts.name} does not know {', '.join(facts.unknown)}",
            "Use Redis 6.2 or Valkey 7.2, or later, whose commands are not renamed or "
            "switched off.",
        )
    if facts.errors:
        yield bad(
            subject,
            f"{facts.name} refuses commands: {'; '.join(facts.errors)}",
            _advice_of_error(facts.errors[0]),
        )
    if not (facts.refused or facts.unknown or facts.errors):
        yield good(subject, "each command of the store is allowed, scripts too")


_DISPENSABLE = {
    "+info": "a primary that changed is not noticed",
    "+scan": "cache.clear() leaves entries to their TTL",
    **dict.fromkeys(("+client|id", "+client|tracking"), "client_tracking stays off"),
    **dict.fromkeys(
        ("+hset", "+hget", "+hmget", "+hlen", "+hstrlen", "+hkeys", "+hdel"),
        "processes leave no counts for `botocache stats` and `report`",
    ),
}
"""Permissions without which the cache works, and what is lost."""


def _advice_of_error(error: str) -> str:
    if "OOM" in error or "maxmemory" in error:
        return "Raise maxmemory, or set maxmemory-policy to allkeys-lru."
    if "READONLY" in error or "read only" in error:
        return "Let BOTOCACHE_URL name the primary."
    if "LOADING" in error or "MISCONF" in error:
        return "Wait until the server has started, or see its log."
    return "See the server's log, and its configuration."


def _judge_clock(facts: ServerFacts) -> Finding:
    subject = "server clock"
    # The store goes by the server's clock alone, so a difference does it no harm. But
    # one of the two clocks is wrong, and what compares them elsewhere will fail.
    if facts.ahead is None:
        return good(subject, "not known: the server does not tell its time")
    off = abs(facts.ahead)
    direction = "ahead of" if facts.ahead > 0 else "behind"
    found = f"{facts.name} is {time_text(off)} {direction} this machine"
    advice = (
        "Synchronize both clocks, by NTP for example. AWS refuses requests, and "
        "encrypted entries are refused, where clocks differ by five minutes."
    )
    if off > _CLOCK_FAR_OFF:
        return bad(subject, found, advice)
    if off > _CLOCK_OFF:
        return warning(subject, found, advice)
    return good(subject, f"{facts.name} and this machine agree")


def _judge_memory(facts: ServerFacts) -> Finding:
    subject = "server memory"
    policy = facts.memory.get("maxmemory_policy", "")
    most, used = (_number(facts, name) for name in ("maxmemory", "used_memory"))
    # Managed servers leave fields out, so a missing one is no complaint.
    if not most:
        held = f"; it uses {size_text(used)}" if used else ""
        return good(subject, f"no maxmemory is set, or the server does not say{held}")
    found = f"it uses {size_text(used)} of {size_text(most)}, policy {policy}"
    if policy == "noeviction" and used >= 0.9 * most:
        return warning(
            subject,
            f"{found}: a full server keeps no new answers",
            "Set maxmemory-policy to allkeys-lru, or raise maxmemory.",
        )
    return good(subject, found)


def _number(facts: ServerFacts, name: str) -> int:
    text = facts.memory.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _judge_network(facts: ServerFacts, *, is_encrypted: bool) -> Finding:
    subject = "server network"
    if facts.network == "tls":
        return good(subject, "TLS")
    if facts.network == "local":
        return good(subject, "on this machine")
    # The login crosses the network as well, and no key of ours protects that.
    if is_encrypted:
        return good(subject, "without TLS; entries are encrypted, the login is not")
    advice = "Use TLS: rediss:// or valkeys://, or set BOTOCACHE_ENCRYPTION_KEYS."
    if facts.network == "public":
        return bad(subject, "answers cross the Internet in clear, without TLS", advice)
    return warning(
        subject, "answers and the login cross a private network in clear", advice
    )


_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("No master found", "MasterNotFound"),
        "Correct the service's name in BOTOCACHE_URL, or start the Sentinels.",
    ),
    (
        ("WRONGPASS", "AuthenticationError", "NOAUTH", "invalid username-password"),
        (
            "Correct user and password in BOTOCACHE_URL; percent-encode what is "
            "not a letter or a digit."
        ),
    ),
    (
        ("NOPERM", "NoPermissionError"),
        f"Give the ACL user the rules of {RULES}.",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "certificate"),
        (
            "Name the certificate's authority: ?ssl_ca_certs=/path in the "
            "URL. The host must be the one in the certificate."
        ),
    ),
    (
        ("WRONG_VERSION_NUMBER", "record layer", "SSL", "EOF occurred"),
        ("This port has no TLS: use redis:// or valkey://, or the TLS port."),
    ),
    (
        ("name or service", "Name or service", "resolution", "getaddrinfo", "nodename"),
        "Correct the host in BOTOCACHE_URL, or the machine's DNS.",
    ),
    (
        ("refused",),
        "Start the server, or correct the host and port in BOTOCACHE_URL.",
    ),
    (
        ("Timeout", "timed out", "deadline"),
        (
            "Let firewall and security group pass the port. See whether the server "
            "is stopped or overloaded, and whether both sides use TLS."
        ),
    ),
    (
        ("closed by server", "reset by peer", "No such file"),
        (
            "See whether the port is right, and whether it wants TLS: rediss:// or "
            "valkeys://."
        ),
    ),
)
"""What to do about an error of connecting, by words in it. The first match counts."""


def judge_connecting(name: str, error: str) -> Finding:
    """Return what is found where a server cannot be used.

    name: of the server, without a login.
    error: of connecting to it.
    """
    matching = (
        advice for words, advice in _ADVICE if any(word in error for word in words)
    )
    return bad(
        "server",
        f"{name} cannot be used: {error}",
        next(matching, "See the server's log, and docs/how-to/redis.md.")
        + " Until then calls go to DynamoDB.",
    )
