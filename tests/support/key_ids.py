"""Access key ids as AWS makes them."""

from base64 import b32encode


def key_id(prefix: str, account: int, number: int) -> str:
    """Return an access key id of an account. prefix: `AKIA` or `ASIA`."""
    return prefix + b32encode(
        ((account << 7) | 1 << 47).to_bytes(6, "big") + number.to_bytes(4, "big")
    ).decode().rstrip("=")
