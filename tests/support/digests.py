"""Keys and tags as a store knows them: digests of 16 bytes."""

import hashlib


def key(name: str) -> bytes:
    """Return the key of that name."""
    return hashlib.blake2b(name.encode(), digest_size=16, person=b"key").digest()


def tag(name: str) -> bytes:
    """Return the tag of that name. Those that the tests name do not share a slot."""
    return hashlib.blake2b(name.encode(), digest_size=16, person=b"tag").digest()


def tags(count: int, name: str = "tag") -> list[bytes]:
    """Return that many tags."""
    return [tag(f"{name} {number}") for number in range(count)]
