"""Answers that are no streams keep what needs no change, and everything odd."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.core.dialects.anthropic.whole_repair import changed_content
from streamgauge.core.dialects.openai.whole_repair import changed_choices
from streamgauge.core.transform.chain import Chain

BOTH = Chain(think_tags=True, tool_call_repair=True)
THINK, REPAIR = Chain(think_tags=True), Chain(tool_call_repair=True)


@pytest.mark.parametrize("content", [None, "<think>a</think>b", 7])
def test_content_that_is_no_list_of_blocks_is_left_alone(content: Any) -> None:
    assert changed_content({"content": content}, THINK) == {}


@pytest.mark.parametrize("choices", [None, 7, 1.5, True, "<think>", {"message": {}}, [7, {}]])
def test_choices_that_are_no_list_of_messages_are_left_alone(choices: Any) -> None:
    assert changed_choices({"choices": choices}, BOTH) == {}


def test_blocks_without_tags_stay_beside_one_that_has_some() -> None:
    plain = [{"type": "text", "text": "a"}, {"type": "tool_use", "input": {}}, "odd"]
    assert changed_content({"content": plain}, THINK) == {}
    tagged = {"type": "text", "text": "<think>b</think>c"}
    assert changed_content({"content": [tagged, *plain]}, REPAIR) == {}
    assert changed_content({"content": [tagged, *plain]}, THINK)["content"][2:] == plain


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<think></think>a", [("text", "a")]),
        ("<think></think>", []),
        ("<think>a</think><think>b</think>c\n<", [("thinking", "ab"), ("text", "c\n<")]),
        ("a\n<think>b", [("text", "a\n"), ("thinking", "b")]),
    ],
)
def test_a_message_has_the_blocks_that_its_stream_would_have(
    text: str, told: list[tuple[str, str]]
) -> None:
    changed = changed_content({"content": [{"type": "text", "text": text}]}, THINK)["content"]
    assert [(block["type"], block[block["type"]]) for block in changed] == told


@pytest.mark.parametrize("text", ["a\n<thin", "", "a </think>"])
def test_a_text_without_tags_stays_one_block(text: str) -> None:
    assert changed_content({"content": [{"type": "text", "text": text}]}, THINK) == {}


def answer(content: str, arguments: str) -> dict[str, Any]:
    calls = [{"function": {"arguments": arguments}}]
    return {"choices": [{"message": {"content": content, "tool_calls": calls}}]}


def test_a_chat_answer_is_changed_only_as_its_chain_says() -> None:
    tagged, faulty = "<think>b</think>c", "{a: 1}"
    assert changed_choices(answer("c", '{"a": 1}'), BOTH) == {}
    assert changed_choices(answer(tagged, '{"a": 1}'), REPAIR) == {}
    assert changed_choices(answer("c", faulty), THINK) == {}
    (told,) = changed_choices(answer(tagged, faulty), REPAIR)["choices"]
    assert told["message"]["content"] == tagged
    assert told["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
