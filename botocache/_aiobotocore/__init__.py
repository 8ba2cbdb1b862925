"""The async adapter: the same course of each call, for aiobotocore's clients."""
