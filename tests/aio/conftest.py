"""Tests with aiobotocore. Its environments are those of `make test-aio`.

The environment of the other tests has no aiobotocore: they are not collected there.
"""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("aiobotocore") else ["test_*.py"]
