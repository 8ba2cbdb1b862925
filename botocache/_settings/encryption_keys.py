"""The setting `encryption_keys`: secrets of 32 bytes, or a function that returns them.

As text, keys are in base64, separated by commas or white space; `plain` stands in the
place of a key for "no key", and `file:/path` for the keys in a file. No error, `repr`
or log line shows a key.
"""

import base64
import binascii
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Key: TypeAlias = bytes | None
"""A secret; or None for `plain`: entries in clear, under names without a key."""

KeysArgument: TypeAlias = (
    str | bytes | list[str | bytes] | tuple[str | bytes, ...] | Callable[[], object]
)
"""The setting as an argument. A function returns any of the other forms."""

KEY_SIZE = 32
"""Bytes of a key."""

PLAIN = "plain"
"""Stands for "no key", so that encryption can be introduced without a stop."""

_FILE = "file:"
_LARGEST_FILE = 64 * 1024
_SEPARATORS = re.compile(r"[\s,]+")
_EXPECTED = (
    f"expected keys of {KEY_SIZE} bytes in base64, separated by commas or white space, "
    f"'{PLAIN}', '{_FILE}/path' or a function"
)


@dataclass(frozen=True, slots=True, repr=False)
class EncryptionKeys:
    """The keys of an installation.

    keys: the first one encrypts and names; the others only evict. Empty if there is a
        source.
    source: returns keys; called when the store is first used.
    """

    keys: tuple[Key, ...] = ()
    source: Callable[[], object] | None = None

    def __repr__(self) -> str:
        if self.source is not None:
            return "<keys of a function>"
        return f"<{', '.join('key' if key else PLAIN for key in self.keys)}>"

    def __reduce__(self) -> str:
        raise TypeError("encryption keys are not pickled")

    @property
    def may_encrypt(self) -> bool:
        """Whether entries are encrypted, as far as that is known."""
        return self.source is not None or self.keys[0] is not None

    def obtain(self) -> tuple[Key, ...]:
        """Return the keys. Raises ValueError, and what the source raises."""
        return self.keys if self.source is None else parse_keys(self.source())


def parse_encryption_keys(value: object) -> EncryptionKeys | None:
    """Parse the setting; None if it is `plain` alone. Raises ValueError."""
    if callable(value):
        return EncryptionKeys(source=value)
    keys = parse_keys(value)
    return None if keys == (None,) else EncryptionKeys(keys)


def parse_keys(value: object) -> tuple[Key, ...]:
    """Return the keys in a value. Raises ValueError, whose message shows no key."""
    keys: list[Key] = []
    for part in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(part, (bytes, bytearray)) and len(part) == KEY_SIZE:
            keys.append(bytes(part))
        elif isinstance(part, str):
            keys += _keys_of_text(part)
        elif isinstance(part, (bytes, bytearray)):
            raise ValueError(f"{_EXPECTED}, not {len(part)} bytes")
        else:
            raise ValueError(f"{_EXPECTED}, not a {type(part).__name__}")
    if not keys:
        raise ValueError(f"{_EXPECTED}, not nothing")
    return tuple(dict.fromkeys(keys))


def _keys_of_text(text: str) -> list[Key]:
    if text.strip().startswith(_FILE):
        return _keys_of_words(_read(text.strip().removeprefix(_FILE)))
    return _keys_of_words(text)


def _keys_of_words(text: str) -> list[Key]:
    return [_key(word) for word in _SEPARATORS.split(text) if word]


def _key(word: str) -> Key:
    if word.lower() == PLAIN:
        return None
    try:
        # Both alphabets: `openssl rand -base64` and Fernet.generate_key().
        standard = word.encode("ascii").translate(bytes.maketrans(b"-_", b"+/"))
        key = base64.b64decode(standard, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError(f"{_EXPECTED}; a word is not base64") from None
    if len(key) != KEY_SIZE:
        raise ValueError(f"{_EXPECTED}; a key has {len(key)} bytes")
    return key


def _read(path: str) -> str:
    """Return the text of a file of keys. Raises ValueError."""
    if not path.startswith("/"):
        raise ValueError(f"{_EXPECTED}; {_FILE}{path} is not an absolute path")
    try:
        # Not blocking: it may be a pipe. The look goes at what is open, not at a path.
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _require_safe(os.fstat(number), path)
            content = os.read(number, _LARGEST_FILE)
            if len(content) == _LARGEST_FILE:  # the keys that follow would be lost
                raise ValueError(f"{path} is too large for a file of keys")
            return content.decode("ascii")
        finally:
            os.close(number)
    except UnicodeDecodeError:
        raise ValueError(f"{_EXPECTED}; {path} is not text") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _require_safe(status: os.stat_result, path: str) -> None:
    """Raise ValueError if another user could have put the keys there."""
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is not a file")
    if status.st_uid not in (0, os.geteuid()):
        raise ValueError(f"{path} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError(f"{path} can be written by others; chmod go-w it")
