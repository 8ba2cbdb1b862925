"""Encryption keys, the same in each run."""

import base64


def key(number: int) -> bytes:
    """Return the key with that number."""
    return b"\xff" * 3 + bytes([number]) * 29  # the alphabets differ in its signs


def key_text(number: int) -> str:
    """Return the same in base64."""
    return base64.b64encode(key(number)).decode()
