"""`botocache report`: one HTML page that says what the cache saves."""
