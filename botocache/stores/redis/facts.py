"""What an inspection of a server finds: values alone, without an import of redis-py."""

from collections.abc import Mapping
from typing import NamedTuple


class ServerFacts(NamedTuple):
    """What one server is like for its user.

    name: of the server, without a login.
    connecting: seconds that a connection took.
    round_trips: seconds of some look-ups, in their order.
    version: of the software, as `valkey 8.1.1`; empty if it does not say.
    numbers: of that version.
    role: `master` or `slave`; empty if the server does not say.
    memory: fields of INFO, by their names: the limit, the policy, the bytes in use.
    ahead: seconds by which its clock is ahead of this machine's; None if unknown.
    network: `tls`, `local` or `private`; `public` in clear across the Internet.
    refused: ACL rules that the user lacks, as `+eval`.
    unknown: commands that the server does not know, or has renamed.
    errors: other errors that commands ended with.
    is_clustered: whether it is a server of a cluster.
    """

    name: str
    connecting: float
    round_trips: tuple[float, ...]
    version: str
    numbers: tuple[int, ...]
    role: str
    memory: Mapping[str, str]
    ahead: float | None
    network: str
    refused: tuple[str, ...]
    unknown: tuple[str, ...]
    errors: tuple[str, ...]
    is_clustered: bool
