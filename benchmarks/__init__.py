"""The benchmarks: one suite, in which no time stands alone. See __main__.py."""
