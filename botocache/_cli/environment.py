"""What commands read from the environment: the settings, and the store they name."""

import os
from dataclasses import replace

from botocache._errors import ConfigError
from botocache._settings.load import Settings, load_settings
from botocache.stores.options import default_url
from botocache.stores.protocol import Store
from botocache.stores.urls import local_place, without_secrets


def read_settings() -> Settings:
    """Return the settings as an application in this environment has them.

    Raises ConfigError.
    """
    return load_settings({}, os.environ, default_url())


def check_shared(settings: Settings) -> None:
    """Raise ConfigError if no other process can have the store of the settings."""
    url = settings.url
    place = local_place(url) if isinstance(url, str) else None
    if place is not None and place.scheme == "memory":
        raise ConfigError(
            "url 'memory:' is the memory of one process, which no other can look into; "
            "set BOTOCACHE_URL as the application has it"
        )


def is_absent(store: Store) -> bool:
    """Return whether a store on disk was not made yet: nothing can be in it."""
    directory = getattr(store, "directory", None)
    return directory is not None and not os.path.lexists(directory)


def shown_store(settings: Settings, store: Store) -> str:
    """Return the name of a store, without secrets; of a local one its directory."""
    directory = getattr(store, "directory", None)
    return without_secrets(settings.url) if directory is None else f"disk:{directory}"


_PATIENCE = 5.0


def patient(settings: Settings) -> Settings:
    """Return settings with which a server may take longer than in a call.

    A command makes its connection first, which can take longer than the few
    milliseconds that the cache may add to a call.
    """
    return replace(settings, timeout=max(settings.timeout, _PATIENCE))
