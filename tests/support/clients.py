"""Whose clients the tests use."""

import os
from typing import Any

AIOBOTOCORE = os.environ.get("CLIENTS") == "aiobotocore"
"""Those of aiobotocore, behind stand-ins: see tests/support/aio.py. Else boto3's."""


def credentials_for_clients(credentials: Any) -> Any:
    """Return credentials of botocore's own kinds as the clients have them."""
    if not AIOBOTOCORE:
        return credentials
    from tests.support import aio

    return aio.credentials_of(credentials)


def real_client(client: Any) -> Any:
    """Return the client that a stand-in stands for; or the client itself."""
    if not AIOBOTOCORE:
        return client
    from tests.support import aio

    return aio.real(client)
