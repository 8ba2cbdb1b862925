"""Marks on what the near cache remembers: this process has filled its entry anew."""


class RefillMarker:
    """Marks remembered answers as outdated when this process refills their entry.

    `refresh()` and strongly consistent reads may fill a newer item (written around
    botocache) without changing any generation.
    """

    __slots__ = ("__weakref__", "is_outdated")

    def __init__(self) -> None:
        self.is_outdated = False
