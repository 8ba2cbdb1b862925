"""Says once that answers travel in clear. Judges by what is connected, not by a URL.

So it does not matter who named the server: a URL, the user's own client, a Sentinel, or
another server of a cluster.

At INFO on a private network: a program that has not configured logging must not write
to standard error for what its owner may have chosen. At WARNING across the Internet.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, TypeAlias

from botocache._errors import pass_on
from botocache._log import log, log_once
from botocache.stores.redis.types import Connection

Address: TypeAlias = IPv4Address | IPv6Address


def note_if_in_clear(connection: Connection, name: str, *, is_encrypted: bool) -> None:
    """Log a line if answers pass the network as anybody on it can read them.

    connection: that is connected.
    name: of the store.
    is_encrypted: whether answers are encrypted before they get to the store.
    """
    connected = connection._sock  # noqa: SLF001 - redis-py has no other name for it
    address = None if is_encrypted else address_in_clear(connected)
    if address is not None and not is_loopback(address):
        log_once(
            log.warning if address.is_global else log.info,
            "store_in_clear",
            f"answers pass the network unencrypted, to the server {name}; use TLS, as "
            "with rediss:// or valkeys://, or set `encryption_keys`",
        )


def address_in_clear(connected: Any) -> Address | None:
    """Return where a socket leads; None if it has TLS, or does not use the network.

    connected: None if the connection has ended.
    """
    has_tls = connected is None or hasattr(connected, "cipher")
    if has_tls or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        host: str = connected.getpeername()[0]
    except OSError as error:  # it has ended already
        pass_on(error)
        return None
    address = ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(address: Address) -> bool:
    """Tell whether an address belongs to this machine alone."""
    return address.is_loopback
