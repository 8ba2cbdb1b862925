"""The soak: real processes on one store, over HTTP, killed and stopped.

On disk, where the directory is removed under them; or on Redis, where the server is
killed, stopped, paused, emptied, crowded and full.

Each worker (worker.py) makes random calls (reads.py, writes.py) and writes down what
it did (journal.py). Afterwards a checker (checker.py) proves the promise on what all
of them wrote. Some seconds of it are a test; `python -m tests.soak --seconds 300` runs
it for the given number of seconds.
"""
