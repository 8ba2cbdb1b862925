"""CDK: a function that evicts by the stream of a table.

Before `cdk deploy`, put the code where the function takes it from:

    pip install --target build/function "botocache-dynamodb[redis]"
"""

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from constructs import Construct


def follow_stream(
    scope: Construct, table: dynamodb.ITable, vpc: ec2.IVpc, settings: dict[str, str]
) -> lambda_.Function:
    """Add the function to a stack; return it, so that the server lets it in.

    scope: the stack.
    table: with a stream.
    vpc: of the server that the readers share.
    settings: of the readers: BOTOCACHE_URL, BOTOCACHE_NAMESPACE and the like.
    """
    function = lambda_.Function(
        scope,
        f"Follow-{table.node.id}",
        code=lambda_.Code.from_asset("build/function"),
        handler="botocache.streams.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
        memory_size=256,
        timeout=Duration.seconds(60),
        environment=settings,
        vpc=vpc,
    )
    function.add_event_source(
        event_sources.DynamoEventSource(
            table,
            # From the oldest record on: so no change is missed during a deployment.
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=1000,
            report_batch_item_failures=True,
        )
    )
    return function
