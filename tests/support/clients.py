"""Whose clients the tests use."""

import os

AIOBOTOCORE = os.environ.get("CLIENTS") == "aiobotocore"
"""Those of aiobotocore, behind stand-ins: see tests/support/aio.py. Else boto3's."""
