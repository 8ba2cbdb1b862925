"""Software that was written without a thought of a cache, run with the cache on."""
