"""The examples of followers: what they start, set and allow is what there is."""

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from botocache._cli.commands import Parser, load_command
from botocache._cli.console import Console
from botocache._settings.load import load_settings, variable_names

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "streams"


LOADER: Any = type("CloudFormationLoader", (yaml.SafeLoader,), {})
"""Reads `!Ref name` and the like as `{"Ref": "name"}`."""


def _function(loader: Any, name: str, node: Any) -> Any:
    return {name: loader.construct_scalar(node)}


LOADER.add_multi_constructor("!", _function)


def read(name: str) -> Any:
    return yaml.load((EXAMPLE / name).read_text(), LOADER)


COMPOSE = read("compose.yaml")["services"]
SIDECAR, ALONE = read("sidecar.yaml"), read("follower.yaml")
SERVICE, BESIDE = SIDECAR["spec"]["template"]["spec"]["containers"]
(BY_ITSELF,) = ALONE["spec"]["template"]["spec"]["containers"]
FUNCTION = read("template.yaml")["Resources"]["Follower"]["Properties"]
CDK = ast.parse((EXAMPLE / "cdk_function.py").read_text())
POLICY = json.loads((EXAMPLE / "policy.json").read_text())


def tables_of(command: list[str]) -> list[str]:
    """Return the tables that a command follows, as the program reads them."""
    assert command[:2] == ["botocache", "follow-streams"]
    parser = Parser("botocache follow-streams", Console())
    load_command("follow-streams").add_arguments(parser)
    tables: list[str] = parser.parse_args(command[2:]).table
    return tables


def variables_of(container: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of a container: texts, or references to a secret."""
    return {
        each["name"]: each.get("value", each.get("valueFrom"))
        for each in container["env"]
    }


# --- Compose and Kubernetes --------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "tables"),
    [
        (COMPOSE["follower"]["command"], ["users"]),
        (BESIDE["command"], ["users"]),
        (BY_ITSELF["command"], ["users", "orders"]),
    ],
)
def test_each_follower_is_a_command_that_there_is(
    command: list[str], tables: list[str]
) -> None:
    assert tables_of(command) == tables
    assert "\nbotocache = " in (ROOT / "pyproject.toml").read_text()


def test_a_follower_has_the_settings_of_the_service_beside_it() -> None:
    app, follower = COMPOSE["app"]["environment"], COMPOSE["follower"]["environment"]
    assert app == follower
    assert variables_of(SERVICE) == variables_of(BESIDE)
    assert COMPOSE["app"]["build"] == COMPOSE["follower"]["build"] == "../container"
    assert (EXAMPLE / COMPOSE["app"]["build"] / "Dockerfile").is_file()


@pytest.mark.parametrize(
    "variables",
    [COMPOSE["app"]["environment"], variables_of(SERVICE), variables_of(BY_ITSELF)],
)
def test_the_variables_are_settings(variables: dict[str, Any]) -> None:
    texts = {name: v for name, v in variables.items() if isinstance(v, str)}
    settings = load_settings({}, texts, "valkey://of-a-secret:6379/0")
    assert settings.namespace == "users"
    assert str(settings.url).startswith("valkey://")
    assert "AWS_DEFAULT_REGION" in variables
    known = {*variable_names(), "BOTOCACHE"}
    assert {name for name in variables if name.startswith("BOTOCACHE")} <= known
    if "BOTOCACHE" in variables:  # readers
        policy = settings.policy("users")
        assert (policy.ttl, policy.ttl_unfollowed) == (3600, 60)


@pytest.mark.parametrize("deployment", [SIDECAR, ALONE])
def test_a_deployment_selects_its_own_pods(deployment: dict[str, Any]) -> None:
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    spec = deployment["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels
    assert spec["replicas"] >= 2
    assert spec["template"]["spec"]["serviceAccountName"]
    for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
        assert spread["labelSelector"]["matchLabels"] == labels


@pytest.mark.parametrize("container", [BESIDE, BY_ITSELF])
def test_a_follower_runs_without_privileges_and_takes_its_url_from_a_secret(
    container: dict[str, Any],
) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "capabilities": {"drop": ["ALL"]},
    }
    url = variables_of(container)["BOTOCACHE_URL"]
    assert url == {"secretKeyRef": {"name": "botocache", "key": "url"}}


# --- Lambda ------------------------------------------------------------------------


def keywords_of(name: str) -> dict[str, str]:
    """Return the keyword arguments of a call in the program for CDK, as source."""
    (call,) = [
        node
        for node in ast.walk(CDK)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    ]
    return {each.arg: ast.unparse(each.value) for each in call.keywords if each.arg}


@pytest.mark.parametrize(
    "name",
    [
        FUNCTION["Handler"],
        ast.literal_eval(keywords_of("lambda_.Function")["handler"]),
    ],
)
def test_the_handler_of_a_function_is_the_one_that_there_is(name: str) -> None:
    module, _, function = name.rpartition(".")
    assert callable(getattr(import_module(module), function))


def test_the_mapping_of_the_template_reports_partial_batches_and_misses_nothing() -> (
    None
):
    (event,) = FUNCTION["Events"].values()
    assert event == {
        "Type": "DynamoDB",
        "Properties": {
            "Stream": {"Ref": "StreamArn"},
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": 1000,
            "MaximumBatchingWindowInSeconds": 0,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
    }


def test_the_mapping_for_cdk_is_the_same() -> None:
    assert keywords_of("event_sources.DynamoEventSource") == {
        "starting_position": "lambda_.StartingPosition.TRIM_HORIZON",
        "batch_size": "1000",
        "report_batch_item_failures": "True",
    }


def test_the_function_has_settings_and_the_code_that_its_server_needs() -> None:
    variables = FUNCTION["Environment"]["Variables"]
    assert {*variables} <= {*variable_names()}
    requirements = EXAMPLE / FUNCTION["CodeUri"] / "requirements.txt"
    assert requirements.read_text() == "botocache-dynamodb[redis]\n"
    assert "\nredis = [" in (ROOT / "pyproject.toml").read_text()


LINT = "import sys; from cfnlint.runner import main; sys.exit(main())"


@pytest.mark.long("cfn-lint renders the template; it takes some seconds")
def test_cfn_lint_finds_nothing_in_the_template() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LINT, str(EXAMPLE / "template.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


# --- permissions -------------------------------------------------------------------

ACTIONS = {
    "dynamodb:ListStreams",
    "dynamodb:DescribeStream",
    "dynamodb:GetShardIterator",
    "dynamodb:GetRecords",
}


def test_the_policy_allows_four_reads_of_one_stream_and_no_more() -> None:
    allowed = {}
    for statement in POLICY["Statement"]:
        assert statement["Effect"] == "Allow"
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            allowed[action] = statement["Resource"]
    assert {*allowed} == ACTIONS
    # It has no resource that could be narrowed.
    assert allowed.pop("dynamodb:ListStreams") == "*"
    (resource,) = {*allowed.values()}
    assert re.fullmatch(
        r"arn:aws:dynamodb:[\w-]+:\d{12}:table/users/stream/\*", resource
    )


def test_the_page_shows_the_policy_of_the_example() -> None:
    page = (ROOT / "docs" / "how-to" / "streams.md").read_text(encoding="utf-8")
    assert (EXAMPLE / "policy.json").read_text() in page


def test_the_readme_names_each_file_of_the_example() -> None:
    readme = (EXAMPLE / "README.md").read_text()
    files = {path.name for path in EXAMPLE.iterdir()} - {"README.md"}
    assert {name for name in files if f"`{name}" not in readme} == set()
