"""Tests of the rooms one by one: no server, no disk, no time that passes.

Properties run without a deadline, because a slow machine proves nothing about them.
"""

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=100)
settings.load_profile("unit")
