"""Counters of this process, and the plain values that show them."""
