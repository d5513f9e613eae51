"""Events put together into the message they tell of."""

from __future__ import annotations

import pytest

from streamgauge.core.assembly import AssembledMessage, Assembly, Block
from streamgauge.core.conversation import RedactedThought, Refusal, Text, Thought, ToolUse
from streamgauge.core.events import (
    Ended,
    Event,
    Failed,
    Finished,
    ModelNamed,
    Noted,
    ReasoningDelta,
    Started,
    TextDelta,
    ThoughtRedacted,
    ThoughtSigned,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from streamgauge.core.usage import TokenUsage


def assembled(*events: Event) -> AssembledMessage:
    assembly = Assembly()
    assembly.add(events)
    return assembly.message


CASES: dict[str, tuple[list[Event], list[Block]]] = {
    "nothing": ([], []),
    "events that are no content": (
        [Started(), ModelNamed("m"), Noted("x"), UsageReported(TokenUsage(1, 1)), Failed("x"), Ended()],
        [],
    ),
    "text in pieces": ([TextDelta("a"), TextDelta(""), TextDelta("b")], [Text("ab")]),
    "a refusal is no text": (
        [TextDelta("a"), TextDelta("n", refusal=True), TextDelta("o", refusal=True)],
        [Text("a"), Refusal("no")],
    ),
    "blocks in the order they began": (
        [ReasoningDelta("r"), TextDelta("a"), ReasoningDelta("s"), ReasoningDelta("t"), TextDelta("b")],
        [Thought("r"), Text("a"), Thought("st"), Text("b")],
    ),
    "a signature ends its thought": (
        [ReasoningDelta("r"), ThoughtSigned("S"), ReasoningDelta("s"), ThoughtSigned("T")],
        [Thought("r", "S"), Thought("s", "T")],
    ),
    "a signature of nothing told, and again": (
        [TextDelta("a"), ThoughtSigned("S"), ThoughtSigned("S"), ThoughtSigned("T")],
        [Text("a"), Thought("", "S"), Thought("", "T")],
    ),
    "thoughts that nobody may read stay apart": (
        [ThoughtRedacted("x"), ThoughtRedacted("y")],
        [RedactedThought("x"), RedactedThought("y")],
    ),
    "a call in pieces": (
        [
            ToolCallStarted(0, None, "get_"),
            ToolCallStarted(0, "t", "it"),
            ToolCallDelta(0, '{"a"'),
            ToolCallDelta(0, ":1}"),
        ],
        [ToolUse("t", "get_it", '{"a":1}')],
    ),
    "interleaved calls": (
        [
            ToolCallStarted(0, "t", "f"),
            ToolCallStarted(1, "u", "g"),
            ToolCallDelta(1, "["),
            ToolCallDelta(0, "{"),
            ToolCallDelta(1, "]"),
            ToolCallDelta(0, "}"),
        ],
        [ToolUse("t", "f", "{}"), ToolUse("u", "g", "[]")],
    ),
    "a call between texts": (
        [TextDelta("a"), ToolCallStarted(0, "t", "f"), TextDelta("b"), ToolCallDelta(0, "{}")],
        [Text("a"), ToolUse("t", "f", "{}"), Text("b")],
    ),
    "a call without id, name or arguments": (
        [ToolCallStarted(0, None, None), TextDelta("a")],
        [Text("a"), ToolUse("", "", "{}")],
    ),
    "arguments before the name, and a call nobody named": (
        [ToolCallDelta(1, "[]"), ToolCallDelta(0, "{}"), ToolCallStarted(0, "t", "f"), TextDelta("a")],
        [ToolUse("t", "f", "{}"), Text("a"), ToolUse("", "", "[]")],
    ),
    "a call that the upstream runs itself": (
        [TextDelta("a"), ToolCallStarted(0, "t", "f", served=True), ToolCallDelta(0, "{}"), TextDelta("b")],
        [Text("ab")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_events_make_blocks(case: str) -> None:
    events, blocks = CASES[case]
    message = assembled(*events)
    assert list(message.blocks) == blocks
    one_by_one = Assembly()
    for event in events:
        one_by_one.add([event])
    assert one_by_one.message == message


def test_the_message_so_far_can_be_asked_for() -> None:
    assembly = Assembly()
    assert assembly.message == AssembledMessage(())
    assembly.add([TextDelta("a")])
    assert assembly.message.blocks == (Text("a"),)
    assembly.add([TextDelta("b")])
    assert assembly.message.blocks == (Text("ab"),)


def test_each_choice_is_a_message_the_first_with_the_others_behind_it() -> None:
    first, last = Finished("stop", 0, "###"), Finished("length", 2)
    message = assembled(TextDelta("c", 2), TextDelta("b", 1), TextDelta("a"), last, first)
    assert message == AssembledMessage(
        (Text("a"),),
        (first,),
        0,
        (AssembledMessage((Text("b"),), (), 1), AssembledMessage((Text("c"),), (last,), 2)),
    )
    assert (message.finish, message.stop_sequence, message.refusal) == ("stop", "###", False)


def test_finish_and_refusal_are_unknown_until_told() -> None:
    message = assembled(TextDelta("a", refusal=True))
    assert (message.finish, message.stop_sequence, message.refusal) == (None, None, True)


def test_every_finish_is_kept_in_order() -> None:
    message = assembled(Finished("stop"), Finished("tool_calls"))
    assert [finish.reason for finish in message.finishes] == ["stop", "tool_calls"]
    assert message.finish == "stop"
