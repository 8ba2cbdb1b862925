"""The cache: prepare -> load -> hit or ticket -> fill or evict.

Nothing here knows botocore. All waiting is for the store.
"""
