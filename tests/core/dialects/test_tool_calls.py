"""When a tool call begins: with its name whole, in the order of the names, and once."""

from __future__ import annotations

from streamgauge.core.dialects.tool_calls import ToolCalls
from streamgauge.core.events import ToolCallDelta, ToolCallStarted


def test_a_name_in_pieces_is_whole_when_the_arguments_begin() -> None:
    calls = ToolCalls()
    assert not calls.name(ToolCallStarted(0, "a", "get_"))
    assert not calls.name(ToolCallStarted(0, None, "weather"))
    (begun,) = calls.hold(ToolCallDelta(0, "{"))
    assert (begun.id, begun.name, begun.held) == ("a", "get_weather", ["{"])


def test_a_call_that_has_begun_takes_no_other_name() -> None:
    calls = ToolCalls()
    calls.name(ToolCallStarted(0, "a", "f"))
    (begun,) = calls.begin()
    assert not calls.name(ToolCallStarted(0, "b", "g"))
    assert (begun.id, begun.name, calls.begin()) == ("a", "f", [])


def test_calls_begin_in_the_order_of_their_names() -> None:
    calls = ToolCalls()
    calls.name(ToolCallStarted(1, "b", "g"))
    calls.name(ToolCallStarted(0, "a", "f"))
    assert [call.name for call in calls.hold(ToolCallDelta(0, "{}"))] == ["g", "f"]
    assert [call.name for call in calls.without_arguments()] == ["g", "f"], "held, and not told"


def test_a_call_that_turns_out_to_be_the_upstreams_own_is_not_told() -> None:
    calls = ToolCalls()
    assert not calls.hold(ToolCallDelta(0, "{}"))
    assert not calls.name(ToolCallStarted(1, "b", "g"))
    assert not calls.name(ToolCallStarted(0, "a", "web_search", served=True))
    assert not calls.name(ToolCallStarted(1, None, "h", served=True))
    assert not calls.hold(ToolCallDelta(0, "{}"))
    assert (calls.begin(), calls.begin_nameless(), calls.called) == ([], [], False)
