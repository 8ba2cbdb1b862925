"""Says once that answers travel in clear. Judges by what is connected, not by a URL.

So it does not matter who named the server: a URL, the user's own client, a Sentinel, or
another server of a cluster.

At WARNING, because by default no line at INFO is shown: it would be as good as none. A
private network is no reason to say nothing. Its owner can read the line, and knows more
about it than this file.
"""

import socket
from ipaddress import ip_address
from typing import Any

from botocache._errors import pass_on
from botocache._stats import log, log_once
from botocache.stores.redis.types import Connection


def note_if_in_clear(connection: Connection, name: str, *, is_encrypted: bool) -> None:
    """Log a line if answers pass the network as anybody on it can read them.

    connection: that is connected.
    name: of the store.
    is_encrypted: whether answers are encrypted before they get to the store.
    """
    connected = connection._sock  # noqa: SLF001 - redis-py has no other name for it
    if is_encrypted or not is_readable_by_others(connected):
        return
    log_once(
        log.warning,
        "store_in_clear",
        f"answers pass the network unencrypted, to the server {name}; use TLS, as with "
        "rediss:// or valkeys://",
    )


def is_readable_by_others(connected: Any) -> bool:
    """Tell whether a socket leads to another machine, and without TLS."""
    if hasattr(connected, "cipher"):  # TLS around a socket
        return False
    if connected.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        host = connected.getpeername()[0]
    except OSError as error:  # it has ended already
        pass_on(error)
        return False
    return not is_loopback(host)


def is_loopback(host: str) -> bool:
    """Tell whether an address belongs to this machine alone."""
    address = ip_address(host.partition("%")[0])
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
