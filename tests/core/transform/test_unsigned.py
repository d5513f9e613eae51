"""Thinking without a signature leaves a request that Anthropic refused for it; all else stays."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.core.transform.body import REMOVED, Form
from streamgauge.core.transform.unsigned import UNSIGNED, has_unsigned

FORM = Form("anthropic", "anthropic", "messages")
ASK = {"role": "user", "content": "go"}
SIGNED = {"type": "thinking", "thinking": "a", "signature": "S"}
BARE = {"type": "thinking", "thinking": "b", "signature": ""}
HIDDEN = {"type": "redacted_thinking", "data": "x="}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}
ENABLED = {"type": "enabled", "budget_tokens": 2000}
CLEARS = {"type": "clear_thinking_20251015", "keep": "all"}
TRIMS = {"type": "clear_tool_uses_20250919"}


def said(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def change(*turns: Any, **body: Any) -> dict[str, Any]:
    return UNSIGNED.change({"messages": [ASK, *turns], **body}, FORM)


def test_it_goes_and_what_is_signed_stays() -> None:
    told = change(said(SIGNED, CALL), RESULT, said(BARE, HIDDEN, CALL), RESULT, thinking=ENABLED)
    assert told == {"messages": [ASK, said(SIGNED, CALL), RESULT, said(HIDDEN, CALL), RESULT]}


def test_a_turn_that_was_nothing_else_goes_with_it() -> None:
    assert change(said(BARE), ASK) == {"messages": [ASK, ASK]}


@pytest.mark.parametrize("block", [{k: v for k, v in BARE.items() if k != "signature"}, BARE])
def test_a_loop_that_lacks_its_thinking_is_not_to_think(block: dict[str, Any]) -> None:
    asked = {"thinking": ENABLED, "context_management": {"edits": [CLEARS, TRIMS]}}
    told = change(said(block, CALL), RESULT, **asked)
    assert told["messages"] == [ASK, said(CALL), RESULT]
    assert told["thinking"] == {"type": "disabled"}
    assert told["context_management"] == {"edits": [TRIMS]}


def test_an_edit_of_thinking_alone_takes_its_list_along() -> None:
    told = change(said(BARE, CALL), thinking=ENABLED, context_management={"edits": [CLEARS]})
    assert told["context_management"] is REMOVED


@pytest.mark.parametrize("management", [None, 7, {}, {"edits": None}, {"edits": {"type": "x"}}])
def test_what_is_no_list_of_edits_stays_for_the_upstream_to_judge(management: Any) -> None:
    told = change(said(BARE, CALL), thinking=ENABLED, context_management=management)
    assert set(told) == {"messages", "thinking"}


@pytest.mark.parametrize("thinking", [{"type": "adaptive"}, {"type": "disabled"}, None])
def test_other_ways_to_think_need_no_beginning(thinking: Any) -> None:
    told = change(said(BARE, CALL), thinking=thinking, context_management={"edits": [CLEARS]})
    assert set(told) == {"messages"}


@pytest.mark.parametrize(
    "messages",
    [None, 7, [7], [ASK], [said(SIGNED)], [{"role": "assistant", "content": [7, "x", None]}]],
)
def test_where_there_is_none_nothing_is_changed(messages: Any) -> None:
    body = {"messages": messages, "thinking": ENABLED}
    assert not has_unsigned(body)
    assert UNSIGNED.change(body, FORM) == {}


@pytest.mark.parametrize(
    "block",
    [
        SIGNED | {"signature": "streamgauge:google-gemini-v1:S"},
        HIDDEN | {"data": "streamgauge:google-gemini-v1:x="},
    ],
)
def test_what_says_that_another_maker_sealed_it_goes_as_well(block: dict[str, Any]) -> None:
    assert change(said(SIGNED, HIDDEN), ASK, said(block, CALL), RESULT) == {
        "messages": [ASK, said(SIGNED, HIDDEN), ASK, said(CALL), RESULT]
    }
