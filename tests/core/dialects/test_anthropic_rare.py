"""Rare Anthropic events and usage, and which counts are believed, one rule a test."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from streamgauge.core.dialects.anthropic.decode import MessagesDecoder
from streamgauge.core.dialects.counts import StatedCounts, checked, decimal_text, is_count
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
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from streamgauge.core.usage import MAX_COUNT, TokenUsage

MISMATCH = Noted("type_mismatch")
REFUSED = Noted("usage_refused")


def decode(*frames: dict[str, Any], event: bytes = b"") -> list[Event]:
    decoder = MessagesDecoder()
    return [e for frame in frames for e in decoder.decode(json.dumps(frame).encode(), event)]


# --- deltas that typed decoding refuses ----------------------------------------------------------


@pytest.mark.parametrize(
    ("delta", "told"),
    [
        ({"text": "a"}, [TextDelta("a")]),
        ({"thinking": "r"}, [ReasoningDelta("r")]),
        ({"partial_json": "{"}, [ToolCallDelta(0, "{")]),
        ({"text": "", "thinking": "r"}, [ReasoningDelta("r")]),
        ({}, []),
    ],
)
def test_a_delta_with_an_odd_member_is_read_as_one_without(
    delta: dict[str, Any], told: list[Event]
) -> None:
    frame = {"type": "content_block_delta", "index": 4, "delta": delta}
    assert decode(frame) == told
    assert decode({**frame, "delta": {**delta, "type": 7}}) == [*told, MISMATCH]


def test_the_block_of_an_odd_delta_still_has_its_number() -> None:
    def piece(index: int, said: str, **more: Any) -> dict[str, Any]:
        return {
            "type": "content_block_delta",
            "index": index,
            "delta": {"partial_json": said, **more},
        }

    told = decode(piece(1, "a"), piece(3, "b", type=7), piece(1, "c", type=7), piece(3, "d"))
    assert [e for e in told if e != MISMATCH] == [
        ToolCallDelta(0, "a"),
        ToolCallDelta(1, "b"),
        ToolCallDelta(0, "c"),
        ToolCallDelta(1, "d"),
    ]


def test_a_block_without_an_index_is_a_block() -> None:
    start = {"type": "content_block_start", "content_block": {"type": "tool_use", "id": "t"}}
    delta = {"type": "content_block_delta", "delta": {"partial_json": "{"}}
    assert decode(start, delta) == [ToolCallStarted(0, "t", None), ToolCallDelta(0, "{")]


# --- blocks and messages -------------------------------------------------------------------------


def _served(call_id: str | None) -> ToolCallStarted:
    return ToolCallStarted(0, call_id, "f", served=True)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"type": "server_tool_use", "id": "t", "name": "f"}, [_served("t")]),
        ({"type": "mcp_tool_use", "name": "f"}, [_served(None)]),
        ({"type": "tool_use_not"}, []),
        (
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
            [ToolCallStarted(0, "t", "f"), ToolCallDelta(0, '{"a":1}')],
        ),
        ({"type": "text", "text": "a"}, [TextDelta("a")]),
        ({"type": "text", "thinking": "a"}, []),
        ({"type": "thinking", "thinking": "r"}, [ReasoningDelta("r")]),
        ({"type": "thinking", "text": "r"}, []),
        ({"text": "a", "thinking": "r"}, []),
        ({}, []),
        ({"type": 7}, [MISMATCH]),
        ({"type": "text", "text": 7}, [MISMATCH]),
        ({"type": "tool_use", "id": 7, "name": "f"}, [ToolCallStarted(0, None, "f"), MISMATCH]),
    ],
)
def test_a_block_says_what_its_type_holds(block: dict[str, Any], told: list[Event]) -> None:
    assert decode({"type": "content_block_start", "index": 2, "content_block": block}) == told
    answer = MessagesDecoder().read_answer(json.dumps({"content": [block]}).encode())
    assert answer == (*told, Ended())


def test_the_model_is_named_when_it_changes() -> None:
    def start(model: object) -> dict[str, Any]:
        return {"type": "message_start", "message": {"model": model}}

    named = decode(*map(start, ("a", "a", "", "\0", "b", "a\0")))
    assert [e for e in named if not isinstance(e, Started)] == [
        ModelNamed("a"),
        ModelNamed("b"),
        ModelNamed("a"),
    ]


def test_an_odd_model_is_noted() -> None:
    assert decode({"type": "message_start", "message": {"model": 7}}) == [Started(), MISMATCH]


@pytest.mark.parametrize(
    ("reason", "told"), [("stop", [Finished("stop")]), ("", []), (None, []), (7, [MISMATCH])]
)
def test_a_stop_reason_is_told_as_sent(reason: object, told: list[Event]) -> None:
    inner = {"stop_reason": reason}
    assert decode({"type": "message_delta", "delta": inner}) == told
    answer = MessagesDecoder().read_answer(json.dumps(inner).encode())
    assert answer == (*told, Ended())


@pytest.mark.parametrize(
    ("members", "event", "told"),
    [
        ({"type": "error", "error": {"message": "a"}}, b"", [Failed("a")]),
        ({"type": "error", "message": "a"}, b"", [Failed("a")]),
        ({"type": "error", "error": None, "message": "a"}, b"", [Failed("a")]),
        ({"type": "error", "error": "a"}, b"", [Failed("a", "error")]),
        ({"type": "x", "message": "a"}, b"error", [Failed("a", "x")]),
        ({"type": "x", "error": {"message": "a"}}, b"", [Failed("a")]),
        ({"type": "x", "error": False}, b"", []),
        ({"type": "x"}, b"message_stop", []),
        ({}, b"\xff", []),
        ({"message": "a"}, b"error", [Failed("a")]),
        ({}, b"message_start", [Started()]),
        ({"type": "message_stop"}, b"message_stop", [Ended()]),
        ({"type": "content_block_stop"}, b"", []),
        ({"type": "content_block_start", "index": 0}, b"", []),
    ],
)
def test_what_an_event_is_by_its_type_its_name_and_its_error(
    members: dict[str, Any], event: bytes, told: list[Event]
) -> None:
    assert decode(members, event=event) == told


@pytest.mark.parametrize(
    ("payload", "event", "told"),
    [
        (b"boom\xff", b"error", (Failed("boom\ufffd"),)),
        (b" [DONE] ", b"", ()),
        (b"[DONE", b"", (Noted("bad_json"),)),
        (b"7", b"error", (Failed("the upstream reported an error without a message"), MISMATCH)),
        (b'"a\n"', b"error", (Failed("a\n"), Noted("bad_json"), MISMATCH)),
        (b'{"type":"ping","x":NaN}', b"", (Noted("bad_json"),)),
        (b'{"type":7,"x":"\n"}', b"", (Noted("bad_json"), MISMATCH)),
    ],
)
def test_what_is_no_object(payload: bytes, event: bytes, told: tuple[Event, ...]) -> None:
    assert tuple(MessagesDecoder().decode(payload, event)) == told


def test_an_oddity_is_noted_once() -> None:
    odd = {"type": "message_delta", "delta": 7}
    assert decode(odd, event=b"ping") == [MISMATCH]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"error": {"message": "a"}, "content": [{"type": "text", "text": "b"}]}, [Failed("a")]),
        ({"error": False}, []),
        ({"content": 7}, [MISMATCH]),
        ({"model": "m", "usage": None}, [ModelNamed("m")]),
        (
            {"usage": {"input_tokens": 3, "output_tokens": 2}},
            [UsageReported(TokenUsage(3, 2))],
        ),
        ({"usage": 7}, [REFUSED]),
    ],
)
def test_a_whole_answer_is_read_member_by_member(answer: dict[str, Any], told: list[Event]) -> None:
    assert MessagesDecoder().read_answer(json.dumps(answer).encode()) == (*told, Ended())


# --- which counts are believed -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, True),
        (MAX_COUNT, True),
        (MAX_COUNT + 1, False),
        (-1, False),
        (True, False),
        (3.0, False),
        ("3", False),
        (None, False),
    ],
)
def test_a_count_is_a_whole_number_that_every_reader_keeps(value: object, count: bool) -> None:
    assert MAX_COUNT == 2**53
    assert is_count(value) is count


MISMATCHED, SUSPECT = Noted("usage_mismatch"), Noted("suspect_usage")


@pytest.mark.parametrize(
    ("stated", "usage", "notes"),
    [
        (StatedCounts(), TokenUsage(), ()),
        (StatedCounts(3, 2, 1, 2, 2, 5), TokenUsage(3, 2, 1, 2, 2), ()),
        (StatedCounts(3, 2, 2, 2), None, (REFUSED,)),
        (StatedCounts(3, 2, None, 4), None, (REFUSED,)),
        (StatedCounts(None, 2, 9, 9), TokenUsage(None, 2, 9, 9), ()),
        (StatedCounts(3, 2, reasoning=3), None, (REFUSED,)),
        (StatedCounts(3, None, reasoning=3), TokenUsage(3, None, None, None, 3), ()),
        (StatedCounts(3, 2, "1"), TokenUsage(3, 2), (MISMATCHED,)),
        (StatedCounts(3, 2, -1), TokenUsage(3, 2), (MISMATCHED,)),
        (StatedCounts(None, None, MAX_COUNT + 1), TokenUsage(), (MISMATCHED,)),
        (StatedCounts(3, 2, MAX_COUNT + 1), None, (REFUSED,)),
        (StatedCounts("3", 2), None, (REFUSED,)),
        (StatedCounts(3, -2), None, (REFUSED,)),
        (StatedCounts(0, 2), TokenUsage(0, 2), (SUSPECT,)),
        (StatedCounts(0, 0), TokenUsage(0, 0), ()),
        (StatedCounts(0, None), TokenUsage(0), ()),
        (StatedCounts(0, 2, total=3), TokenUsage(0, 2), (MISMATCHED, SUSPECT)),
        (StatedCounts(3, None, total=3), TokenUsage(3), ()),
        (StatedCounts(3, None, total=4), TokenUsage(3), (MISMATCHED,)),
        (StatedCounts(3, 2, total="5"), TokenUsage(3, 2), (MISMATCHED,)),
        (StatedCounts(None, 2, total=7), TokenUsage(None, 2), ()),
    ],
)
def test_counts_are_believed_refused_or_flagged(
    stated: StatedCounts, usage: TokenUsage | None, notes: tuple[Noted, ...]
) -> None:
    reading = checked(stated)
    assert (reading.usage, reading.notes) == (usage, notes)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (0, "0"),
        ("0.0100", "0.0100"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1e-30"), "0." + "0" * 29 + "1"),
        (Decimal("1e-31"), None),
        (Decimal("1e30"), "1" + "0" * 30),
        (Decimal("1e31"), None),
        ("1." + "2" * 29, "1." + "2" * 29),
        ("1." + "2" * 30, None),
        (-1, None),
        ("-0.5", None),
        ("x", None),
        ("", None),
        ("NaN", None),
        ("Infinity", None),
        (True, None),
        (0.5, None),
        (None, None),
        ([], None),
        ("9" * 5000, None),
    ],
)
def test_an_amount_is_decimal_text_of_bounded_length(value: object, text: str | None) -> None:
    assert decimal_text(value) == text


# --- usage in parts ------------------------------------------------------------------------------


def usage_of(*parts: tuple[str, Any]) -> list[Event]:
    """Return the events of usage objects at the start (`s`) and at the end (`e`) of a message."""
    frames = [
        {"type": "message_start", "message": {"usage": usage}}
        if where == "s"
        else {"type": "message_delta", "usage": usage}
        for where, usage in parts
    ]
    return [e for e in decode(*frames) if not isinstance(e, Started)]


def test_the_tier_is_a_label_and_the_last_stated_stands() -> None:
    told = usage_of(
        ("s", {"service_tier": "a\0"}),
        ("e", {"service_tier": None}),
        ("e", {"service_tier": "b"}),
    )
    assert [e.service_tier for e in told if isinstance(e, UsageReported)] == ["a", "a", "b"]


def test_an_earlier_nought_was_no_statement() -> None:
    assert usage_of(("s", {"input_tokens": 0}), ("e", {"input_tokens": 5})) == [
        UsageReported(TokenUsage(0), final=False),
        UsageReported(TokenUsage(5)),
    ]


def test_a_refused_usage_changes_nothing_that_was_stated() -> None:
    told = usage_of(
        ("s", {"input_tokens": 5}),
        ("e", {"input_tokens": -1, "output_tokens": 9}),
        ("e", {"output_tokens": 2}),
    )
    assert told == [
        UsageReported(TokenUsage(5), final=False),
        REFUSED,
        UsageReported(TokenUsage(5, 2)),
    ]


def test_a_part_that_is_no_count_is_flagged_once_and_forgotten() -> None:
    told = usage_of(
        ("s", {"input_tokens": 5, "cache_read_input_tokens": "x"}),
        ("e", {"input_tokens": 6, "cache_read_input_tokens": "x", "output_tokens": 1}),
        ("e", {"output_tokens": 2}),
    )
    assert told == [
        UsageReported(TokenUsage(5), final=False),
        MISMATCHED,
        UsageReported(TokenUsage(6, 1)),
        MISMATCHED,
        UsageReported(TokenUsage(6, 2)),
    ]


@pytest.mark.parametrize(
    ("details", "reasoning"),
    [({"thinking_tokens": 1}, 1), ({}, None), (7, None), (None, None)],
)
def test_thinking_is_read_at_the_end_only(details: object, reasoning: int | None) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "output_tokens_details": details}
    assert usage_of(("s", usage), ("e", usage)) == [
        UsageReported(TokenUsage(5), final=False),
        UsageReported(TokenUsage(5, 2, None, None, reasoning)),
    ]
