"""The soak: real processes on one store on disk, over HTTP, killed, stopped, cleared.

Each worker (worker.py) makes random calls (reads.py, writes.py) and writes down what
it did (journal.py). Afterwards a checker (checker.py) proves the promise on what all
of them wrote. Some seconds of it are a test; `python -m tests.soak --seconds 300` runs
it for as long as told.
"""
