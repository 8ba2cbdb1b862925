"""Known code: what botocore, boto3, botocache and known tracers define.

aiobotocore and aioboto3 count as botocore and boto3. Handlers, methods and classes of
all these change nothing that botocache rests on. All else is not known, and counts as
changing it.
"""

import inspect
from functools import partial
from types import FunctionType, MethodType
from typing import Any

_BOTOCORE = frozenset(
    {
        *("boto3", "botocache", "botocore", "s3transfer"),
        *("aioboto3", "aiobotocore"),
    }
)

_TRACERS = frozenset(
    {
        "appoptics_apm",
        "autodynatrace",
        "aws_lambda_powertools",
        "aws_xray_sdk",
        "datadog_lambda",
        "ddtrace",
        "elasticapm",
        "epsagon",
        "helios",
        "instana",
        "logfire",
        "lumigo_tracer",
        "newrelic",
        "opentelemetry",
        "scout_apm",
        "sentry_sdk",
        "skywalking",
        "solarwinds_apm",
        "splunk_otel",
        "thundra",
    }
)
"""Packages whose handlers read requests, and add headers of tracers at most."""

_KNOWN = _BOTOCORE | _TRACERS


def is_known(handler: object) -> bool:
    """Return whether botocore, boto3, botocache or a known tracer defines a handler.

    A wrapper is known if what it wraps is known as well.
    """
    layer: Any = handler
    for _ in range(_MOST_LAYERS):
        kind = type(layer)
        if kind is FunctionType:
            # By its globals: functools.wraps copies `__module__` to wrappers.
            if package_of(layer.__globals__.get("__name__", "")) not in _KNOWN:
                return False
            layer = vars(layer).get("__wrapped__")
            if layer is None:
                return True
        elif kind is partial:
            layer = layer.func
        elif inspect.getattr_static(layer, "_self_wrapper", None) is not None:
            # A wrapper of wrapt, which looks like what it wraps in all other ways.
            if not is_known(layer._self_wrapper):  # noqa: SLF001 - wrapt has no other name for it
                return False
            layer = layer.__wrapped__
        else:
            owner = layer.__self__ if kind is MethodType else layer
            if not is_known_class(owner if isinstance(owner, type) else type(owner)):
                return False
            # An object is a handler by its class's `__call__`.
            layer = (
                layer.__func__
                if kind is MethodType
                else getattr(kind, "__call__", None)  # noqa: B004 - the function itself
            )
    return False


_MOST_LAYERS = 20
"""Wrappers around wrappers that are looked through."""


def is_known_class(kind: type) -> bool:
    """Return whether known code defines a class."""
    return package_of(kind.__module__) in _KNOWN


def package_of(module: str) -> str:
    """Return the package that a module is in, by their names."""
    return module.partition(".")[0]


def name_of(handler: object) -> str:
    """Return the module and the name of a handler, `module:qualified.name`."""
    while isinstance(handler, partial):
        handler = handler.func
    function = getattr(handler, "__func__", handler)
    if not isinstance(function, (FunctionType, type)):
        function = type(handler)
    globals_ = getattr(function, "__globals__", {})
    module = globals_.get("__name__") or function.__module__
    return f"{module}:{function.__qualname__}"
