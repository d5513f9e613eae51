"""Which finish reason is told where an upstream gives several, or one that nobody knows."""

from __future__ import annotations

import pytest

from streamgauge.core.dialects.finish import kept_finish, told_finish
from streamgauge.core.events import Finished


@pytest.mark.parametrize(
    ("first", "newer", "kept"),
    [
        (None, "length", "length"),
        ("stop", "length", "stop"),
        ("stop", "tool_calls", "tool_calls"),
        ("end_turn", "tool_use", "tool_use"),
        ("tool_calls", "stop", "tool_calls"),
        ("length", "tool_calls", "length"),
        ("length", "error", "error"),
        ("error", "stop", "error"),
    ],
)
def test_of_two_reasons_the_first_stands_but_for_calls_and_errors(
    first: str | None, newer: str, kept: str
) -> None:
    before = None if first is None else Finished(first)
    assert kept_finish(before, Finished(newer)) == Finished(kept)


@pytest.mark.parametrize(
    ("reason", "plain", "called", "refused"),
    [
        ("stop", "stop", "tool_calls", "content_filter"),
        ("tool_calls", "stop", "tool_calls", "content_filter"),
        ("unheard_of", "stop", "tool_calls", "content_filter"),
        (None, "stop", "tool_calls", "content_filter"),
        ("length", "length", "length", "length"),
        ("safety", "content_filter", "content_filter", "content_filter"),
    ],
)
def test_what_is_told_goes_by_what_was_said(
    reason: str | None, plain: str, called: str, refused: str
) -> None:
    finish = None if reason is None else Finished(reason)
    assert told_finish(finish, called=False, refused=False) == plain
    assert told_finish(finish, called=True, refused=False) == called
    assert told_finish(finish, called=True, refused=True) == called
    assert told_finish(finish, called=False, refused=True) == refused
