"""What DynamoDB refuses by its documented limits, as far as questions need it. Pure.

A question is a normal form: it forgets how a request was spelled. DynamoDB's limits are
about the spelling. The functions here raise RefusedError for a request beyond one of
them, so that it never finds the answer to its like within the limit. reads.py says
which other requests keep their exact text.

Sources: "Quotas in Amazon DynamoDB" and "Expression attribute names" in the Amazon
DynamoDB Developer Guide.
"""

import re
from base64 import b64decode, b64encode

EXPRESSION_BYTES = 4096
"""The longest expression, as it is sent."""

STATEMENT_LENGTH = 8192
"""Characters of the longest statement in PartiQL."""

NAME_BYTES = 255
"""The longest placeholder, and the longest name of a key attribute."""

BATCH_KEYS = 100
"""Keys of one BatchGetItem."""

DIGITS = 38
"""Digits of a number."""

VALUES_BYTES = 2 * 1024 * 1024
"""All names and values that the placeholders of an expression stand for."""


class RefusedError(ValueError):
    """DynamoDB refuses the request, or may refuse it. The message is a sentence."""


def check_expression(parameter: str, expression: str) -> None:
    """Raise RefusedError for an expression that is too long."""
    size = len(expression.encode())
    if size > EXPRESSION_BYTES:
        raise RefusedError(
            f"The {parameter} has {size:,} bytes; DynamoDB allows {EXPRESSION_BYTES:,}."
        )


def check_number(text: str) -> None:
    """Raise RefusedError for a number that DynamoDB may refuse.

    A canonical number has lost its zeros. DynamoDB's documentation does not say whether
    it counts them as digits, so they count here.
    """
    match = _NUMBER(text)
    # The common case. Sign and point are no digits, but most numbers are short.
    if match is not None and len(text) <= DIGITS:
        return
    if match is None:
        raise RefusedError("A key attribute is no number that DynamoDB takes.")
    digits = sum(map(str.isdigit, match["digits"]))
    if digits > DIGITS:
        raise RefusedError(
            f"A key attribute has {digits} digits; DynamoDB allows {DIGITS}."
        )


# `Decimal` also takes `1_0`, `+1`, `.1` and digits of other scripts. The exponents are
# those of DynamoDB's range: 1E-130 to 9.9E+125.
_NUMBER = re.compile(
    r"(?P<digits>-?[0-9]+(?:\.[0-9]+)?)"
    r"(?:[eE](?:\+?(?:12[0-5]|1[01][0-9]|[0-9]{1,2})|-(?:130|1[0-2][0-9]|[0-9]{1,2})))?"
).fullmatch


def check_binary(text: str) -> None:
    """Raise RefusedError for base64 text that is not the usual one for its bytes."""
    # `YQ==` and `YR==` are one byte to Python. A Base64Error is a ValueError.
    if b64encode(b64decode(text, validate=True)).decode() != text:
        raise RefusedError("A key attribute is no base64 text that DynamoDB takes.")
