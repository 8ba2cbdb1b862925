"""Tests that say nothing with `CLIENTS=aiobotocore`, each with its reason.

They are skipped then. The others must pass as they do with boto3's clients.
"""

from collections.abc import Mapping

_CLASS = "it is about a class of boto3's clients; tests/aio/test_near.py has the like"
_CONTENT = "it reads `http_response.content`, which has to be awaited"
_FORK = "a forked child uses its parent's client, whose loop it does not have"
_HANDLER = "its handler is no coroutine and makes a call, which has to be awaited"
_LINES = "it interrupts lines of the thread that calls, and the call runs in another"
_MOTO = "moto answers boto3 alone within a process, and is not in this environment"
_PART = "it replaces a part of boto3's clients that has to be awaited"
_PROCESSES = "its processes make clients of their own, which are boto3's"
_REAL = "tests/aio has real sessions and clients"
_STEP = (
    "it changes a step of boto3's clients; tests/aio/test_near_batches.py has the like"
)

REASONS: Mapping[str, Mapping[str, str]] = {
    "test_async_sessions": {"": _REAL},
    "test_clients": {
        "test_a_client_that_others_send_for_shares_only_by_name_and_in_its_process"
        "[replace_session": _PART,
        "test_a_method_that_makes_parsers_later": _PART,
        "test_an_asynchronous_write_evicts": _REAL,
        "test_clients_that_read_in_different_ways_never_share[reads_text": _PART,
        "test_extra_headers_of_pynamodb": "PynamoDB has no asynchronous clients",
        "test_others_that_send_later_count_from_then_on[replace_session": _PART,
        "test_what_a_patched_class_answers": _PART,
        "test_what_moto_answers": _MOTO,
    },
    "test_early_lookups": {
        "test_a_call_within_a_call": _HANDLER,
        "test_an_entry_that_is_refilled": _HANDLER,
    },
    "test_forks_from_c": {"": _FORK},
    "test_harmless": {
        "test_a_mocked_test_function": _MOTO,
        "test_mocked_clients_made_before": _MOTO,
        "test_parent_and_child_see": _FORK,
        "test_tests_that_mock_aws": _MOTO,
    },
    "test_hosts": {"": _PROCESSES},
    "test_install": {
        "test_a_half_made_object": "it makes half a client, not a stand-in"
    },
    "test_interruptions": {
        "test_a_handler_may_use": _LINES,
        "test_a_long_write_that": _HANDLER,
        "test_a_time_limit_in_the": _LINES,
        "test_no_line_of_a_hit": _LINES,
    },
    "test_long_run": {"": _PROCESSES},
    "test_near": {
        "test_a_call_under_way_while": _CLASS,
        "test_a_class_between": _CLASS,
        "test_a_client_with_an_unknown_emitter": _PART,
        "test_a_forked_child": _FORK,
        "test_a_method_that_replaces": _CLASS,
        "test_handlers_of_after_call_are_called": _CONTENT,
    },
    "test_near_batches": {
        "test_a_cache_that_is_uninstalled": _STEP,
        "test_new_keys_of_the_client": _STEP,
    },
    "test_process_ends": {"": _PROCESSES},
    "test_reads": {
        "test_a_forked_child": _FORK,
        "test_a_handler_that_reads_the_http": _CONTENT,
    },
    "test_scope": {
        "test_without_credentials": "its provider of credentials has to be awaited"
    },
    "test_shadow_processes": {"": _PROCESSES},
    "test_tracing": {"": "OpenTelemetry's instrumentation does not trace aiobotocore"},
}
"""Of the files of tests/integration, by the beginnings of the tests' names."""


def reason(nodeid: str) -> str:
    """Return why a test says nothing of aiobotocore's clients, or ""."""
    path, _, name = nodeid.partition("::")
    file = path.removeprefix("tests/integration/").removesuffix(".py")
    tests = REASONS.get(file, {})
    return next((why for part, why in tests.items() if name.startswith(part)), "")
