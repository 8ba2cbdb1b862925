"""What requests to DynamoDB mean: operations, plans, expressions, tags. Pure.

Nothing here performs I/O, reads a clock, or knows botocore or a store.
"""
