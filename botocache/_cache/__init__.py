"""The cache: prepare -> load -> hit or ticket -> fill or evict.

Independent of botocore. It waits for nothing but the store.
"""
