"""Decimal text to nano-units and back."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.nano import nano_from_decimal, nano_rounded, nano_text


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0", 0),
        ("1", 1_000_000_000),
        ("0.15", 150_000_000),
        ("3.75", 3_750_000_000),
        ("0.000000001", 1),
        ("1e-9", 1),
        ("1.50", 1_500_000_000),
        ("-0.5", -500_000_000),
        ("1E+2", 100_000_000_000),
    ],
)
def test_decimal_text_becomes_exactly_its_nano_units(text: str, nano: int) -> None:
    assert nano_from_decimal(text) == nano
    assert nano_from_decimal(Decimal(text)) == nano


def test_a_tenth_decimal_is_refused_where_exactness_is_asked() -> None:
    with pytest.raises(ValueError, match="9 decimals"):
        nano_from_decimal("0.1234567891")


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0.0000000005", 1),
        ("0.00000000049999", 0),
        ("0.020000000000000004", 20_000_000),
        ("1.4e-05", 14_000),
        ("1e-400", 0),
        ("-1e-400", 0),
        ("-0.0000000015", -1),
    ],
)
def test_rounding_is_half_up(text: str, nano: int) -> None:
    assert nano_rounded(text) == nano


@pytest.mark.parametrize("text", ["", "x", "NaN", "inf", "-Infinity", "1e999999999", "1" * 5000])
def test_what_is_no_possible_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kinds of text differ, the type is the rule
        nano_rounded(text)


@given(st.integers(-(10**24), 10**24))
@settings(deadline=None)
def test_text_and_back_is_identity(nano: int) -> None:
    assert nano_from_decimal(nano_text(nano)) == nano


@given(st.decimals(-(10**12), 10**12, allow_nan=False, places=14))
@settings(deadline=None)
def test_rounding_is_never_off_by_more_than_half(amount: Decimal) -> None:
    difference = Fraction(amount) * 10**9 - nano_rounded(amount)
    assert Fraction(-1, 2) <= difference < Fraction(1, 2)


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0"), (1, "0.000000001"), (-1, "-0.000000001"), (10**9, "1"), (-(10**10), "-10"),
     (1_500_000_000, "1.5"), (100 * 10**9, "100"), (-1_250_000_000, "-1.25")],
)  # fmt: skip
def test_nano_units_become_the_shortest_text(nano: int, text: str) -> None:
    assert nano_text(nano) == text


@pytest.mark.parametrize("amount", [0, "-0", "0e-400", "0.00"])
def test_nought_is_nought_in_any_form(amount: str | int) -> None:
    assert nano_from_decimal(amount) == nano_rounded(amount) == 0


@pytest.mark.parametrize("text", ["1e-400", "-1e-400", "0.00000000049" + "9" * 60])
def test_an_amount_too_small_is_refused_where_exactness_is_asked(text: str) -> None:
    with pytest.raises(ValueError, match="9 decimals"):
        nano_from_decimal(text)
    assert nano_rounded(text) == 0


def test_an_amount_of_every_size_that_is_possible() -> None:
    assert nano_from_decimal("9" * 19) == int("9" * 19) * 10**9
    assert nano_rounded("1e18") == 10**27
    with pytest.raises(ValueError, match="not a possible amount"):
        nano_from_decimal("1" + "0" * 19)
