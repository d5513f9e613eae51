"""Bars and lines of a few characters: to scale, never wider than they may be, in ASCII where need be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.cli.plots import bar, span, sparkline, split_bar


@pytest.mark.parametrize(
    ("share", "drawn", "plain"),
    [
        (0.0, "    ", "...."),
        (0.5, "██  ", "##.."),
        (0.28, "█▏  ", "#..."),
        (1.0, "████", "####"),
        (7.0, "████", "####"),
        (-1.0, "    ", "...."),
    ],
)
def test_a_bar_is_filled_by_its_share(share: float, drawn: str, plain: str) -> None:
    assert bar(share, 4, ascii_only=False) == drawn
    assert bar(share, 4, ascii_only=True) == plain


@pytest.mark.parametrize(
    ("begin", "end", "drawn"),
    [(0, 10, "##########"), (2, 5, "  ###     "), (0, 0.01, "#         "), (10, 10, "         #")],
)
def test_a_span_is_where_it_was_and_never_nothing(begin: float, end: float, drawn: str) -> None:
    assert span(begin, end, 10, 10, ascii_only=True) == drawn


def test_a_line_goes_from_nothing_to_the_largest_and_unknown_is_a_blank() -> None:
    assert sparkline([0, 4, None, 8], ascii_only=False) == "▁▅ █"
    assert sparkline([0, 4, None, 8], ascii_only=True).isascii()
    assert sparkline([0, 0], ascii_only=False) == "▁▁"
    assert sparkline([], ascii_only=False) == ""


moments = st.floats(0, 1e9)


@given(moments, moments, moments, st.integers(1, 40), st.booleans())
def test_everything_keeps_its_width(
    one: float, other: float, whole: float, width: int, ascii_only: bool
) -> None:
    begin, end = sorted((one, other))
    assert len(span(begin, end, whole, width, ascii_only=ascii_only)) == width
    assert len(bar(one, width, ascii_only=ascii_only)) == width
    cells = split_bar((begin, end - begin), max(end, whole), width)
    assert min(cells) >= 0
    assert sum(cells) <= width


def test_a_part_that_is_not_nothing_is_seen() -> None:
    assert split_bar((1, 999), 1000, 10) == [1, 9]
    assert split_bar((0, 500), 1000, 10) == [0, 5]
