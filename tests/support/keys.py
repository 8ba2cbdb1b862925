"""Encryption keys, the same in each run."""

import base64


def key(number: int) -> bytes:
    """Return the key with that number."""
    return bytes([number]) * 31 + b"\xff"  # with a sign in which the alphabets differ


def key_text(number: int) -> str:
    """Return the same in base64."""
    return base64.b64encode(key(number)).decode()
