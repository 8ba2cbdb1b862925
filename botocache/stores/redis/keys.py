"""The names of keys on a server; scripts.py says what they hold."""

from collections.abc import Callable  # noqa: TC003 - as cheap as the rest
from functools import lru_cache

from botocache.stores.redis.commands import bulk
from botocache.stores.redis.scripts import VERSION


class Keys:
    """The names of the keys of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.prefix = f"botocache:{namespace}:{VERSION}:".encode()
        self.entries = self.prefix + b"e:"
        self.generations = self.prefix + b"g:"
        self.runs = self.prefix + b"runs"
        self.board = self.prefix + b"board"
        self.generation: Callable[[bytes], bytes] = lru_cache(8192)(self._generation)
        self.packed: Callable[[bytes], bytes] = lru_cache(8192)(self._packed)
        self.pair: Callable[[bytes], tuple[bytes, bytes]] = lru_cache(8192)(self._pair)

    def entry(self, key: bytes) -> bytes:
        """Return the name of an entry's key."""
        return self.entries + key.hex().encode()

    def lease(self, key: bytes) -> bytes:
        """Return the name of the lease of an entry's key, in the slot of the entry."""
        return b"%bl:{%b}" % (self.prefix, self.entry(key))

    def held(self, tag: bytes) -> bytes:
        """Return the name of the hold-offs of the tag's shard."""
        return b"%bh:{%b}" % (self.prefix, tag[:1].hex().encode())

    def tag(self, generation: bytes) -> bytes:
        """Return the tag of a generation's key; for any other key, no tag's digest."""
        try:
            name = generation[len(self.generations) :].decode()
            return bytes.fromhex(name.replace("{", "").replace("}", ""))
        except ValueError:
            return b"no tag"

    def _generation(self, tag: bytes) -> bytes:
        name = tag.hex().encode()
        return b"%b{%b}%b" % (self.generations, name[:2], name[2:])

    def _pair(self, tag: bytes) -> tuple[bytes, bytes]:
        """Return the keys of a tag's generation and hold-offs, as scripts get them."""
        return self.generation(tag), self.held(tag)

    def _packed(self, tag: bytes) -> bytes:
        """Return the name of a generation's key as it is on the wire."""
        return bulk(self._generation(tag))
