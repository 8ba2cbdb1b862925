"""Sessions and clients that behave as those of aiobotocore."""

from typing import Any

from botocore.client import BaseClient
from botocore.hooks import HierarchicalEmitter
from botocore.session import Session

from tests.support.dynamodb import REGION


class AsyncEmitter(HierarchicalEmitter):
    """An emitter whose events are awaited."""

    async def _emit(self, *arguments: Any, **settings: Any) -> Any:
        return super()._emit(*arguments, **settings)  # type: ignore[misc]  # the stubs lack it


class AsyncSession(Session):
    """A session whose events are awaited. It registers handlers as any other."""

    def __init__(self) -> None:
        super().__init__(event_hooks=AsyncEmitter())


class AsyncClient(BaseClient):
    """A DynamoDB client whose events are awaited."""

    def __init__(self) -> None:
        made = Session().create_client(
            "dynamodb",
            region_name=REGION,
            aws_access_key_id="AKIAASYNC",
            aws_secret_access_key="secret",
        )
        vars(self).update(vars(made))
        self.meta.events = AsyncSession().get_component("event_emitter")


class Wrapped:
    """A session around another one, as boto3's and aioboto3's."""

    def __init__(self, session: Session) -> None:
        self._session = session


class Resource:
    """A resource or Table of a client."""

    def __init__(self, client: BaseClient) -> None:
        self.meta = Meta(client)


class Meta:
    """What resources know of themselves."""

    def __init__(self, client: BaseClient) -> None:
        self.client = client
