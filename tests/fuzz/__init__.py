"""Fuzzing of everything that reads what others wrote.

A *target* is a reader with the errors that it documents (targets.py). An *input* is a
case of the target's corpus with some edits (inputs.py). `make fuzz-inputs FOR=600` runs
them for a time; test_inputs.py runs a fixed share of them in `make test`, and inputs of
a great size. What a run has found goes into tests/fuzz/corpus, and stays there.
"""
