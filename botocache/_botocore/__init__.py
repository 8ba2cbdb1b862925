"""The adapter to botocore: its events, its credentials, its private attributes."""
