"""Keys come in every form that the documentation names, and are never shown."""

import base64
import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import botocache
from botocache._errors import ConfigError
from botocache._settings.encryption_keys import (
    EncryptionKeys,
    parse_encryption_keys,
    parse_keys,
)
from botocache._settings.load import Settings, load_settings
from tests.support.keys import key, key_text

URL_SAFE = base64.urlsafe_b64encode(key(1)).decode()


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        (key_text(1), (key(1),)),
        (URL_SAFE, (key(1),)),
        (f"{key_text(1)},{key_text(2)}", (key(1), key(2))),
        (f" {key_text(1)} ,\n{key_text(2)}\n", (key(1), key(2))),
        (f"{key_text(1)} {key_text(1)}", (key(1),)),
        (f"plain,{key_text(1)}", (None, key(1))),
        (f"{key_text(1)} PLAIN", (key(1), None)),
        (key(1), (key(1),)),
        (bytearray(key(1)), (key(1),)),
        ([key(1), key_text(2), "plain"], (key(1), key(2), None)),
        ((f"{key_text(1)},{key_text(2)}", key(3)), (key(1), key(2), key(3))),
        ("plain", (None,)),
    ],
)
def test_keys_are_read_in_each_form(value: object, keys: tuple[Any, ...]) -> None:
    assert key_text(1) != URL_SAFE
    assert parse_keys(value) == keys
    assert parse_encryption_keys(value) == (
        None if keys == (None,) else EncryptionKeys(keys)
    )


SHOWN = "marked+secret"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "not nothing"),
        (" , ", "not nothing"),
        ([], "not nothing"),
        (SHOWN + "!", "a word is not base64"),
        ("schlüssel", "a word is not base64"),
        (base64.b64encode(SHOWN.encode()).decode(), "a key has 13 bytes"),
        (key_text(1)[:-4], "a key has 30 bytes"),
        (key_text(1) + key_text(2), "not base64"),
        (SHOWN.encode(), "not 13 bytes"),
        (key_text(1).encode(), "not 44 bytes"),
        (5, "not a int"),
        (None, "not a NoneType"),
        ([key(1), None], "not a NoneType"),
        ({SHOWN: 1}, "not a dict"),
        ("file:relative/path", "not an absolute path"),
        ("file:", "not an absolute path"),
    ],
)
def test_what_is_no_key_is_an_error_that_does_not_show_it(
    value: object, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse_encryption_keys(value)
    assert SHOWN not in str(caught.value)
    assert key_text(1)[:8] not in str(caught.value)


@pytest.mark.parametrize("value", ["", " \n"])
def test_an_empty_variable_is_an_error_and_not_a_store_in_clear(value: str) -> None:
    """A secret that a deployment failed to fill in."""
    environ = {"BOTOCACHE_ENCRYPTION_KEYS": value}
    with pytest.raises(ConfigError, match="BOTOCACHE_ENCRYPTION_KEYS: .* not nothing"):
        load_settings({}, environ, "memory:")


def test_keys_are_shown_by_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    secret = key_text(1)
    settings = load_settings({}, {"BOTOCACHE_ENCRYPTION_KEYS": secret}, "memory:")
    assert repr(settings.encryption_keys) == "<key>"
    assert "encryption_keys=<key>" in repr(settings)
    with pytest.raises(TypeError):
        pickle.dumps(settings.encryption_keys)
    for shown in (repr(settings), str(settings), f"{settings.encryption_keys}"):
        assert secret not in shown
        assert repr(key(1))[2:-1] not in shown
    with pytest.raises(ConfigError) as caught:
        load_settings({}, {"BOTOCACHE_ENCRYPTION_KEYS": secret[:-1]}, "memory:")
    assert str(caught.value).startswith("BOTOCACHE_ENCRYPTION_KEYS: expected keys of")
    assert secret[:-1] not in str(caught.value)
    assert repr(EncryptionKeys((key(1), None))) == "<key, plain>"
    assert repr(EncryptionKeys(source=lambda: key(1))) == "<keys of a function>"
    assert copy.copy(settings) == settings


def test_other_keys_are_another_installation_whose_error_shows_none() -> None:
    botocache.install(url="memory:", encryption_keys=key_text(1))
    botocache.install(url="memory:", encryption_keys=[key(1)])  # the same
    with pytest.raises(ConfigError, match="encryption_keys=<key> there") as caught:
        botocache.install(url="memory:", encryption_keys=key_text(2))
    assert "another <key>" in str(caught.value)
    with pytest.raises(ConfigError, match="and None here"):
        botocache.install(url="memory:")


def test_a_function_is_not_called_by_the_settings() -> None:
    def source() -> object:
        raise AssertionError("called")

    settings = load_settings({"encryption_keys": source}, {}, "memory:")
    assert settings.encryption_keys == EncryptionKeys(source=source)
    assert settings == Settings(
        url="memory:", encryption_keys=EncryptionKeys(source=source)
    )
    hash(settings)


@pytest.mark.parametrize(
    ("keys", "is_encrypted"),
    [
        (None, False),
        ("plain", False),
        (f"plain,{key_text(1)}", False),
        (f"{key_text(1)},plain", True),
        (lambda: key(1), True),
    ],
    ids=["none", "plain", "plain first", "a key first", "a function"],
)
def test_the_store_is_opened_as_one_whose_entries_are_encrypted(
    keys: object, is_encrypted: bool
) -> None:
    settings = load_settings({"encryption_keys": keys}, {}, "redis://host")
    assert settings.store_options({}).is_encrypted is is_encrypted


# --- a file ------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{key_text(1)}\n{key_text(2)}\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o444, 0o644])
def test_keys_are_read_from_a_file_one_per_line(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert parse_keys(f"file:{file}") == (key(1), key(2))
    assert parse_keys(f" file://{file}\n") == (key(1), key(2))
    assert parse_keys([f"file:{file}", "plain"]) == (key(1), key(2), None)
    link = file.with_name("link")  # as Kubernetes mounts secrets
    link.symlink_to(file)
    assert parse_keys(f"file:{link}") == (key(1), key(2))


def _of_another_user(_file: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "geteuid", lambda: 12345)
    real = os.fstat

    def fstat(number: int) -> os.stat_result:
        return os.stat_result((*real(number)[:4], 54321, *real(number)[5:]))

    patch.setattr(os, "fstat", fstat)


def _is_directory(file: Path, _: pytest.MonkeyPatch) -> None:
    file.unlink()
    file.mkdir()


def _is_pipe(file: Path, _: pytest.MonkeyPatch) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


HARMS: dict[str, tuple[str, Callable[[Path, pytest.MonkeyPatch], object]]] = {
    "its group can write": ("can be written by", lambda f, _: f.chmod(0o620)),
    "others can write": ("can be written by others", lambda f, _: f.chmod(0o602)),
    "it belongs to another user": ("another user", _of_another_user),
    "it is missing": ("No such file", lambda f, _: f.unlink()),
    "it is a directory": ("is not a file", _is_directory),
    "it is a pipe": ("is not a file", _is_pipe),
    "it is empty": ("not nothing", lambda f, _: f.write_bytes(b"")),
    "it is too large": (
        "too large",
        lambda f, _: f.write_text(f"{key_text(1)}\n" + " " * 65_536 + key_text(2)),
    ),
    "it is binary": ("is not text", lambda f, _: f.write_bytes(b"\xff" * 32)),
    "it is no key": ("not base64", lambda f, _: f.write_text("root:x:0:0")),
}


@pytest.mark.parametrize(("said", "harm"), HARMS.values(), ids=HARMS)
def test_a_file_that_is_not_safe_or_holds_no_keys_is_refused(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    harm: Callable[[Path, pytest.MonkeyPatch], object],
) -> None:
    harm(file, monkeypatch)
    with pytest.raises(ValueError, match=said) as caught:
        parse_keys(f"file:{file}")
    assert "root:x" not in str(caught.value)
