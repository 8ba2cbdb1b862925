"""Stores: they keep entries and generations.

`protocol` defines what a store does, and `opening` makes one from a URL.
"""
