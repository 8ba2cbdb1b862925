"""Cached equals uncached: random programs, run with the cache and without.

Each call of a program is made twice on one server: with the cache on a table, and
without it on the table's twin. Answers and errors must be equal, save for what
docs/explanation/coherence.md and the README except.

    tables     shapes of tables, and the small pools that keys and items come from
    calls      one call: in which spelling, through which door of boto3
    questions  strategies for calls that read
    changes    strategies for calls that write
    pairs      the two sides, and the comparison
    machine    the programs, as a Hypothesis state machine
    runs       servers, stores and settings that programs run on
"""
