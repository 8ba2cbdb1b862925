"""Numbers as people read them."""

import math
from collections.abc import Callable

import pytest

from botocache._observe import numbers
from botocache._observe.numbers import UNKNOWN

THIN = "\N{NARROW NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("function", "number", "text"),
    [
        (numbers.count, 0, "0"),
        (numbers.count, 1234567, "1,234,567"),
        (numbers.count, math.inf, UNKNOWN),
        (numbers.short, 9999, "9,999"),
        (numbers.short, 9999.9, "10k"),
        (numbers.short, 12_345, "12.3k"),
        (numbers.short, 999_999, "1M"),
        (numbers.short, 1_234_567_890, "1.23B"),
        (numbers.short, 5e12, "5T"),
        (numbers.short, math.nan, UNKNOWN),
        (numbers.units, 0, "0"),
        (numbers.units, 0.5, "0.5"),
        (numbers.units, 0.001, "< 0.01"),
        (numbers.units, 1300.5, "1,300"),
        (numbers.units, -math.inf, UNKNOWN),
        (numbers.exact, 1234.5, "1,234.5"),
        (numbers.exact, 7, "7"),
        (numbers.latency, 4.2e-6, f"4.2{THIN}µs"),
        (numbers.latency, 0.0123, f"12.3{THIN}ms"),
        (numbers.latency, 0.99999, f"1{THIN}s"),
        (numbers.latency, 5e-8, f"50{THIN}ns"),
        (numbers.latency, math.inf, f">{THIN}10{THIN}s"),
        (numbers.latency, 0, UNKNOWN),
        (numbers.duration, 0, "0 seconds"),
        (numbers.duration, 1, "1 second"),
        (numbers.duration, 20, "20 seconds"),
        (numbers.duration, 60, "1 minute"),
        (numbers.duration, 90, "90 seconds"),
        (numbers.duration, 3596, "1 hour"),
        (numbers.duration, 5400, "90 minutes"),
        (numbers.duration, 86400, "1 day"),
        (numbers.duration, 14 * 86400, "14 days"),
        (numbers.duration, 2.5 * 86400, "2.5 days"),
        (numbers.duration, 0.02, f"20{THIN}ms"),
        (numbers.duration, math.nan, UNKNOWN),
        (numbers.size, 0, "0 bytes"),
        (numbers.size, 310 * 1024**2, f"310{THIN}MiB"),
        (numbers.size, 1.5 * 1024**3, f"1.5{THIN}GiB"),
    ],
)
def test_a_number_is_short_and_has_its_unit(
    function: Callable[[float], str], number: float, text: str
) -> None:
    assert function(number) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 5, f"0{THIN}%"),
        (5, 5, f"100{THIN}%"),
        (1, 1_000_000, f"<{THIN}0.1{THIN}%"),
        (999_999, 1_000_000, f">{THIN}99.9{THIN}%"),
        (1, 3, f"33.3{THIN}%"),
        (1, 0, UNKNOWN),
        (math.nan, 1, UNKNOWN),
    ],
)
def test_a_share_is_none_or_all_only_if_it_is(
    part: float, whole: float, text: str
) -> None:
    assert numbers.percent(part, whole) == text


@pytest.mark.parametrize(
    ("number", "currency", "text"),
    [
        (0, "USD", "$0.00"),
        (28.094, "USD", "$28.09"),
        (12_345.6, "USD", "$12,346"),
        (0.004, "USD", f"<{THIN}$0.01"),
        (-7.5, "USD", "\N{MINUS SIGN}$7.50"),
        (7.5, "EUR", f"7.50{THIN}EUR"),
        (math.inf, "USD", UNKNOWN),
    ],
)
def test_money_has_cents_if_it_is_little(
    number: float, currency: str, text: str
) -> None:
    assert numbers.amount(number, currency) == text
