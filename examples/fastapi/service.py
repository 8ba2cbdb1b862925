"""The limits of tenants: a service of FastAPI and aioboto3. It knows of no cache.

GET /tenants/{tenant}          a tenant                        GetItem
GET /tenants/{tenant}/rules    its rules                       Query
GET /tenants?id=a&id=b         several tenants                 BatchGetItem
PUT /tenants/{tenant}/limit    change its limit, a number      UpdateItem
GET /usage                     see Usage

uvicorn --app-dir examples/fastapi service:app
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import aioboto3
from boto3.dynamodb.conditions import Key
from botocore.config import Config
from botocore.exceptions import ClientError
from fastapi import Body, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel

MOST_CONNECTIONS = 64
NAP_SECONDS = 0.005
SCHEDULED = Path("/proc/thread-self/schedstat")
"""What Linux says of a thread: its second number is the nanoseconds that it waited for
a processor."""


class Tenant(BaseModel):
    """A tenant. version: how often its limit was changed."""

    tenant: str
    limit: int
    version: int
    contact: str


class Rule(BaseModel):
    """A rule of a tenant."""

    tenant: str
    rule: str
    kind: str
    note: str


class Usage(BaseModel):
    """What the process took.

    cpu_seconds: since it started.
    longest_stop_ms: of the event loop, since this was last asked.
    longest_own_stop_ms: the same, less what the loop waited for a processor.
    """

    cpu_seconds: float
    longest_stop_ms: float
    longest_own_stop_ms: float


class LoopWatch:
    """Sleeps again and again, and notes how late it wakes: so long the loop stood."""

    def __init__(self) -> None:
        self._longest = self._longest_own = 0.0

    async def watch(self) -> None:
        """Watch the loop until it ends."""
        waited = _waited_for_processor()
        while True:
            began = time.perf_counter()
            await asyncio.sleep(NAP_SECONDS)
            late = time.perf_counter() - began - NAP_SECONDS
            before, waited = waited, _waited_for_processor()
            self._longest = max(self._longest, late)
            self._longest_own = max(self._longest_own, late - (waited - before))

    def take(self) -> tuple[float, float]:
        """Return the longest stop, and the longest own one, in ms; begin anew."""
        longest, own = 1000 * self._longest, 1000 * self._longest_own
        self._longest = self._longest_own = 0.0
        return longest, own


def _waited_for_processor() -> float:
    """Return how many seconds this thread has waited for a processor so far."""
    return int(SCHEDULED.read_text().split()[1]) / 1e9 if SCHEDULED.exists() else 0.0


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Yield what the handlers find in `request.state`."""
    config = Config(max_pool_connections=MOST_CONNECTIONS)
    async with aioboto3.Session().resource("dynamodb", config=config) as dynamodb:
        loop_watch = LoopWatch()
        watching = asyncio.create_task(loop_watch.watch())
        yield {
            "dynamodb": dynamodb,
            "tenants": await dynamodb.Table("tenants"),
            "rules": await dynamodb.Table("rules"),
            "loop_watch": loop_watch,
        }
        watching.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/tenants/{tenant}")
async def tenant_of(tenant: str, request: Request) -> Tenant:
    """Return a tenant."""
    answer = await request.state.tenants.get_item(Key={"tenant": tenant})
    if "Item" not in answer:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return Tenant(**answer["Item"])


@app.get("/tenants/{tenant}/rules")
async def rules_of(tenant: str, request: Request) -> list[Rule]:
    """Return the rules of a tenant."""
    condition = Key("tenant").eq(tenant)
    answer = await request.state.rules.query(KeyConditionExpression=condition)
    return [Rule(**item) for item in answer["Items"]]


@app.get("/tenants")
async def several(
    ids: Annotated[list[str], Query(alias="id", max_length=100)], request: Request
) -> list[Tenant]:
    """Return those tenants that there are."""
    keys = [{"tenant": tenant} for tenant in dict.fromkeys(ids)]
    answer = await request.state.dynamodb.batch_get_item(
        RequestItems={"tenants": {"Keys": keys}}
    )
    if answer["UnprocessedKeys"]:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE)
    return [Tenant(**item) for item in answer["Responses"]["tenants"]]


@app.put("/tenants/{tenant}/limit")
async def change_limit(
    tenant: str, limit: Annotated[int, Body()], request: Request
) -> Tenant:
    """Change the limit of a tenant that there is."""
    try:
        answer = await request.state.tenants.update_item(
            Key={"tenant": tenant},
            UpdateExpression="SET #limit = :limit ADD version :one",
            ConditionExpression="attribute_exists(tenant)",
            ExpressionAttributeNames={"#limit": "limit"},
            ExpressionAttributeValues={":limit": limit, ":one": 1},
            ReturnValues="ALL_NEW",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        raise HTTPException(HTTPStatus.NOT_FOUND) from error
    return Tenant(**answer["Attributes"])


@app.get("/usage")
async def usage(request: Request) -> Usage:
    """Return what the process took."""
    longest, own = request.state.loop_watch.take()
    return Usage(
        cpu_seconds=time.process_time(),
        longest_stop_ms=longest,
        longest_own_stop_ms=own,
    )
