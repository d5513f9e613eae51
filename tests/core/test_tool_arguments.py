"""A call whose arguments are no JSON is noted once the answer has ended, and nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamgauge.core.events import Ended, ToolCallDelta
from streamgauge.core.meter import Meter
from streamgauge.core.tool_arguments import KEPT_CHARACTERS, ToolArguments


@pytest.mark.parametrize(
    ("pieces", "legal"),
    [
        ([], True),
        ([(0, "")], True),
        ([(0, '{"a"'), (0, ":1}")], True),
        ([(0, '{"a"'), (1, "{}"), (0, ":1}")], True),
        ([(0, '{"a"'), (1, ":1}")], False),
        ([(0, "{}"), (1, "{")], False),
        ([(0, "{}{}")], False),
        ([(0, "look here")], False),
        ([(0, "[" * 100_000)], False),
    ],
)
def test_each_call_is_judged_by_all_its_pieces(
    pieces: Sequence[tuple[int, str]], legal: bool
) -> None:
    arguments = ToolArguments()
    for index, piece in pieces:
        arguments.add(ToolCallDelta(index, piece))
    assert arguments.legal() is legal


def test_the_calls_of_two_choices_are_not_one() -> None:
    arguments = ToolArguments()
    for choice in (0, 1):
        arguments.add(ToolCallDelta(0, "{}", choice))
    assert arguments.legal()


def test_too_much_is_not_kept_and_not_judged() -> None:
    arguments = ToolArguments()
    for _ in range(3):
        arguments.add(ToolCallDelta(0, "x" * (KEPT_CHARACTERS // 2)))
    arguments.add(ToolCallDelta(1, "{"))
    assert arguments.legal()


@pytest.mark.parametrize(("ended", "noted"), [(True, ["bad_tool_json"]), (False, [])])
def test_it_is_noted_at_the_end_and_not_before(ended: bool, noted: list[str]) -> None:
    meter = Meter(0.0)
    meter.observe((ToolCallDelta(0, '{"a":'),), 1.0)
    assert not meter.anomalies
    meter.observe((Ended(),) if ended else (), 2.0)
    assert list(meter.anomalies) == noted


def test_the_input_of_a_custom_tool_is_any_text() -> None:
    meter = Meter(0.0)
    meter.observe([ToolCallDelta(0, "look here", free=True), Ended()], 1.0)
    assert (meter.content_frames, meter.anomalies) == (1, {})
