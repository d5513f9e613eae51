"""Answers that are no stream, written in either dialect and read by the official SDKs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.assembly import AssembledMessage, Block
from streamgauge.core.conversation import RedactedThought, Refusal, Text, Thought, ToolUse
from streamgauge.core.dialects.anthropic.whole import write_answer as write_message
from streamgauge.core.dialects.base import Telling
from streamgauge.core.dialects.openai.whole import write_answer as write_completion
from streamgauge.core.events import Finished
from streamgauge.core.usage import TokenUsage

from .sdk import Told, told_by_anthropic, told_by_openai

TELLING = Telling("a" * 20, 'm"ü', 1_790_000_000)
USAGE = TokenUsage(12, 3, 8, 1, 2)
BLOCKS: tuple[Block, ...] = (
    Thought("r", "S"),
    RedactedThought("x="),
    Thought("s"),
    Text("a"),
    Refusal("n"),
    ToolUse("t", "f", '{"p":1.10, "n":123456789012345678901234567890}'),
    Text("b\ud800"),
    ToolUse("", "", "{}"),
    ToolUse("t", "g", '{"cut'),
)
MESSAGE = AssembledMessage(BLOCKS, (Finished("stop"), Finished("tool_calls")))


def test_a_completion_holds_all_that_a_message_says() -> None:
    told = json.loads(write_completion(MESSAGE, TELLING, USAGE, {"streamgauge": {"x": 1}}))
    kind = "anthropic-claude-v1"
    call = {"type": "function"}
    assert told == {
        "id": "chatcmpl-" + "a" * 20,
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": 'm"ü',
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ab\ufffd",
                    "refusal": "n",
                    "reasoning_content": "rs",
                    "reasoning_details": [
                        {"type": "reasoning.text", "index": 0, "text": "r", "signature": "S", "format": kind},
                        {"type": "reasoning.encrypted", "index": 1, "data": "x=", "format": kind},
                        {"type": "reasoning.text", "index": 2, "text": "s", "format": kind},
                    ],
                    "tool_calls": [
                        {"id": "t", **call, "function": {"name": "f", "arguments": '{"p":1.10, "n":123456789012345678901234567890}'}},
                        {"id": f"call_{TELLING.id}_1", **call, "function": {"name": "unnamed", "arguments": "{}"}},
                        {"id": f"call_{TELLING.id}_2", **call, "function": {"name": "g", "arguments": '{"cut'}},
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 3,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
        "streamgauge": {"x": 1},
    }  # fmt: skip


def test_a_message_holds_all_that_it_has_a_word_for() -> None:
    body = write_message(MESSAGE, TELLING, USAGE, {"streamgauge": {"x": 1}})
    assert json.loads(body, parse_float=str) == {
        "id": "msg_" + "a" * 20,
        "type": "message",
        "role": "assistant",
        "model": 'm"ü',
        "content": [
            {"type": "thinking", "thinking": "r", "signature": "S"},
            {"type": "redacted_thinking", "data": "x="},
            {"type": "thinking", "thinking": "s", "signature": ""},
            {"type": "text", "text": "an"},
            {
                "type": "tool_use",
                "id": "t",
                "name": "f",
                "input": {"p": "1.10", "n": 123456789012345678901234567890},
            },
            {"type": "text", "text": "b\ufffd"},
            {"type": "tool_use", "id": f"toolu_{TELLING.id}_1", "name": "unnamed", "input": {}},
            {
                "type": "tool_use",
                "id": f"toolu_{TELLING.id}_2",
                "name": "g",
                "input": {"_raw": '{"cut'},
            },
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 1,
            "cache_read_input_tokens": 8,
            "output_tokens": 3,
            "output_tokens_details": {"thinking_tokens": 2},
        },
        "streamgauge": {"x": 1},
    }


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ((), {"content": ""}),
        ((Thought("r"),), {"content": "", "reasoning_content": "r"}),
        ((Thought("", "S"),), {"content": ""}),
        ((Text("a"),), {"content": "a"}),
        ((Refusal("n"),), {"content": "", "refusal": "n"}),
    ],
)
def test_a_completion_without_calls_has_text(
    blocks: tuple[Block, ...], said: dict[str, Any]
) -> None:
    message = AssembledMessage(blocks, (Finished("stop"),))
    (choice,) = json.loads(write_completion(message, TELLING, USAGE))["choices"]
    details = choice["message"].pop("reasoning_details", [])
    assert choice["message"] == {"role": "assistant", "refusal": None, **said}
    assert [d["signature"] for d in details] == [
        b.signature for b in blocks if b == Thought("", "S")
    ]


def test_a_completion_of_calls_alone_has_no_text() -> None:
    message = AssembledMessage((ToolUse("t", "f", "{}"),), (Finished("tool_use"),))
    body = write_completion(message, TELLING, USAGE)
    assert json.loads(body)["choices"][0]["message"]["content"] is None
    told = Told("", "", (("t", "f", {}),), "tool_calls", (12, 3, 8))
    assert told_by_openai(body) == told
    assert told_by_anthropic(write_message(message, TELLING, USAGE)) == told


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("{}", {}),
        ("", {}),
        (" \n", {}),
        ('{"a": [1]}\n', {"a": [1]}),
        ("[1]", {"_raw": "[1]"}),
        ("null", {"_raw": "null"}),
        ('{"a":NaN}', {"_raw": '{"a":NaN}'}),
        ('{"a":"\ud800"}', {"a": "\ufffd"}),
    ],
)
def test_arguments_are_an_object_in_a_message(arguments: str, given: dict[str, Any]) -> None:
    message = AssembledMessage((ToolUse("t", "f", arguments),), (Finished("stop"),))
    body = json.loads(write_message(message, TELLING, USAGE))
    assert body["content"][0]["input"] == given


def test_each_choice_is_written_with_its_own_finish_and_ids() -> None:
    other = AssembledMessage((ToolUse("", "f", "{}"),), (Finished("stop"),), 1)
    message = AssembledMessage((Text("a"),), (Finished("length"),), 0, (other,))
    first, second = json.loads(write_completion(message, TELLING, USAGE))["choices"]
    assert (first["index"], first["finish_reason"]) == (0, "length")
    assert (second["index"], second["finish_reason"]) == (1, "tool_calls")
    assert second["message"]["tool_calls"][0]["id"] == f"call_{TELLING.id}_1_0"
    assert told_by_anthropic(write_message(message, TELLING, USAGE)).text == "a"


def test_the_text_that_stopped_it_is_told() -> None:
    message = AssembledMessage((Text("a"),), (Finished("stop", 0, "###"),))
    read = json.loads(write_message(message, TELLING, USAGE))
    assert (read["stop_reason"], read["stop_sequence"]) == ("stop_sequence", "###")
    (choice,) = json.loads(write_completion(message, TELLING, USAGE))["choices"]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "###")


def test_usage_that_is_not_known_is_left_out_or_0_where_it_must_stand() -> None:
    message = AssembledMessage((Text("a"),), (Finished("stop"),))
    assert "usage" not in json.loads(write_completion(message, TELLING, TokenUsage(None, 3)))
    told = json.loads(write_message(message, TELLING, TokenUsage(None, 3)))
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"]) == (0, 3)
