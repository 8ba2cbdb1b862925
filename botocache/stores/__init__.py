"""Stores: where entries and generations live.

`protocol` says what a store does, `opening` makes one from a URL.
"""
