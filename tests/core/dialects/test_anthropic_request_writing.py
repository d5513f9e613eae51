"""Conversations written as Anthropic requests: turns, thinking, settings, tools."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.core.conversation import (
    Conversation,
    Document,
    Image,
    Message,
    Reasoning,
    RedactedThought,
    Refusal,
    Sampling,
    Text,
    Thought,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from streamgauge.core.dialects.anthropic.write_request import write_request
from streamgauge.core.dialects.base import Wish
from streamgauge.core.errors import RequestError

from .anthropic_requests import MARK, PNG, lost, saying, turn, written


def test_turns_alternate_and_results_come_first() -> None:
    body = written(
        Conversation(
            messages=(
                Message("assistant", (ToolUse("a:1", "ls", ""),)),
                Message("user", (Text("and"), ToolResult("a:1", (Text("out"),), is_error=True))),
                Message("user", (Text("more"),)),
            )
        )
    )
    assert body["messages"] == [
        turn({"type": "text", "text": "."}),
        turn({"type": "tool_use", "id": "a_1", "name": "ls", "input": {}}, role="assistant"),
        turn(
            {"type": "tool_result", "tool_use_id": "a_1", "content": "out", "is_error": True},
            {"type": "text", "text": "and"},
            {"type": "text", "text": "more"},
        ),
    ]


def test_behind_a_system_prompt_alone_the_user_has_a_turn() -> None:
    body = written(Conversation(messages=(), system=(Text("Tell a joke."),)))
    assert body["system"] == [{"type": "text", "text": "Tell a joke."}]
    assert body["messages"] == [turn({"type": "text", "text": "."})]


def test_a_turn_that_says_nothing_is_left_out_and_the_turns_around_it_join() -> None:
    said = (
        Message("user", (Text("a"),)),
        Message("assistant", (Text(" "),)),
        Message("user", (Text("b"),)),
    )
    (only,) = written(Conversation(messages=said))["messages"]
    assert [block["text"] for block in only["content"]] == ["a", "b"]


def test_equal_ids_of_several_turns_become_different_ones() -> None:
    once = (
        Message("assistant", (ToolUse("call_0", "ls", "{}"),)),
        Message("user", (ToolResult("call_0", ()),)),
    )
    messages = written(Conversation(messages=once + once))["messages"]
    ids = [m["content"][0].get("id") or m["content"][0].get("tool_use_id") for m in messages[1:]]
    assert ids == ["call_0", "call_0", "call_0_2", "call_0_2"]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"a": 1.50, "b":"\\u00fc"}', b'{"a": 1.50, "b":"\\u00fc"}'),
        ("", b"{}"),
        (" ", b"{}"),
        ("[1]", b'{"_raw":"[1]"}'),
        ('{"a":', b'{"_raw":"{\\"a\\":"}'),
        ('{"a":NaN}', b'{"_raw":"{\\"a\\":NaN}"}'),
        ('{"a":"\\ud83d"}', '{"a":"\ufffd"}'.encode()),
        ("[" * 100_000, b'{"_raw":"' + b"[" * 100_000 + b'"}'),
    ],
    ids=range(8),
)
def test_arguments_are_sent_to_the_byte_where_they_are_an_object(
    arguments: str, sent: bytes
) -> None:
    said = saying(ToolUse("t", "ls", arguments), role="assistant")
    assert b'"input":' + sent + b"}" in write_request(said, Wish("anthropic", "m", True)).body
    assert lost(said) == (("tool_arguments",) if b"_raw" in sent else ())


def test_signed_and_redacted_reasoning_goes_back_and_unsigned_only_to_who_takes_it() -> None:
    said = saying(Thought("a", "S"), RedactedThought("R"), Thought("b"), role="assistant")
    signed = {"type": "thinking", "thinking": "a", "signature": "S"}
    redacted = {"type": "redacted_thinking", "data": "R"}
    assert written(said)["messages"][1]["content"] == [signed, redacted]
    assert lost(said) == ("thinking",)
    unsigned = {"type": "thinking", "thinking": "b", "signature": ""}
    assert written(said, "llamacpp")["messages"][1]["content"] == [signed, redacted, unsigned]


def test_marks_images_documents_and_refusals_are_written() -> None:
    said = saying(
        Text("t", MARK),
        Image("image/png", "QUJD", detail="high", cache=MARK),
        Image(url="http://x/y"),
        Document("application/pdf", "QUJD", title="T"),
        Document("text/plain", text="a"),
        Document(url="http://x/z"),
        Refusal("no"),
        system=(Text("S", MARK), Text(" ")),
    )
    body = written(said)
    assert body["system"] == [{"type": "text", "text": "S", "cache_control": MARK}]
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "t", "cache_control": MARK},
        {"type": "image", "source": PNG, "cache_control": MARK},
        {"type": "image", "source": {"type": "url", "url": "http://x/y"}},
        {"type": "document", "source": PNG | {"media_type": "application/pdf"}, "title": "T"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}},
        {"type": "document", "source": {"type": "url", "url": "http://x/z"}},
        {"type": "text", "text": "no"},
    ]
    assert lost(said) == ("image:detail",)


def test_a_system_message_in_the_middle_becomes_the_users() -> None:
    said = Conversation(
        messages=(Message("user", (Text("hi"),)), Message("system", (Text("mid"),)))
    )
    texts = [block["text"] for block in written(said)["messages"][0]["content"]]
    assert texts == ["hi", "<system-reminder>\nmid\n</system-reminder>"]
    assert lost(said) == ("mid_system",)


THINKING: list[tuple[str, Reasoning, Sampling, dict[str, Any], tuple[str, ...]]] = [
    ("nothing said", Reasoning(), Sampling(), {"max_tokens": 4096}, ()),
    (
        "effort",
        Reasoning(effort="high"),
        Sampling(9000),
        {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 4096}},
        (),
    ),
    (
        "effort without a limit",
        Reasoning(effort="max"),
        Sampling(),
        {"max_tokens": 20480, "thinking": {"type": "enabled", "budget_tokens": 16384}},
        (),
    ),
    (
        "a budget beyond the limit",
        Reasoning(effort="max"),
        Sampling(8000),
        {"max_tokens": 8000, "thinking": {"type": "enabled", "budget_tokens": 4000}},
        (),
    ),
    (
        "least budget",
        Reasoning(effort="minimal"),
        Sampling(2000),
        {"max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}},
        (),
    ),
    ("no room", Reasoning(effort="low"), Sampling(1024), {"max_tokens": 1024}, ("reasoning",)),
    (
        "budget",
        Reasoning(True, 3000),
        Sampling(9000),
        {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 3000}},
        (),
    ),
    (
        "adaptive",
        Reasoning(True, None, "high"),
        Sampling(9),
        {"max_tokens": 9, "output_config": {"effort": "high"}, "thinking": {"type": "adaptive"}},
        (),
    ),
    (
        "adaptive and as little as may be",
        Reasoning(True, None, "minimal"),
        Sampling(9),
        {"max_tokens": 9, "output_config": {"effort": "low"}, "thinking": {"type": "adaptive"}},
        (),
    ),
    ("off", Reasoning(False), Sampling(9), {"max_tokens": 9, "thinking": {"type": "disabled"}}, ()),
    (
        "hot while thinking",
        Reasoning(effort="low"),
        Sampling(3000, 0.2, 0.5, 7),
        {"max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 1024}},
        ("temperature", "top_k", "top_p"),
    ),
]


@pytest.mark.parametrize(
    ("reasoning", "sampling", "fields", "names"),
    [row[1:] for row in THINKING],
    ids=[row[0] for row in THINKING],
)
def test_thinking_is_asked_for_as_anthropic_takes_it(
    reasoning: Reasoning, sampling: Sampling, fields: dict[str, Any], names: tuple[str, ...]
) -> None:
    said = saying(Text("hi"), reasoning=reasoning, sampling=sampling)
    body = written(said)
    rest = {k: v for k, v in body.items() if k not in ("model", "messages", "stream")}
    assert (rest, lost(said)) == (fields, names)


@pytest.mark.parametrize("choice", [ToolChoice("any"), ToolChoice("tool", "ls")])
def test_no_thinking_is_asked_for_where_a_call_is_forced(choice: ToolChoice) -> None:
    forced = saying(
        Text("hi"),
        tools=(Tool("ls"),),
        tool_choice=choice,
        reasoning=Reasoning(effort="low"),
        sampling=Sampling(4000),
    )
    assert ("thinking" in written(forced), lost(forced)) == (False, ("reasoning",))


def test_half_of_an_odd_room_is_a_whole_number_of_tokens() -> None:
    tight = saying(
        Text("hi"), reasoning=Reasoning(effort="max"), sampling=Sampling(max_tokens=4001)
    )
    budget = written(tight)["thinking"]["budget_tokens"]
    assert (budget, type(budget)) == (2000, int)


def test_no_thinking_is_asked_for_in_a_loop_that_has_none() -> None:
    loop = (
        Message("user", (Text("hi"),)),
        Message("assistant", (Thought("hm"), ToolUse("t", "ls", "{}"))),
        Message("user", (ToolResult("t", ()),)),
    )
    bare = Conversation(messages=loop, tools=(Tool("ls"),), reasoning=Reasoning(effort="low"))
    assert ("thinking" in written(bare), lost(bare)) == (False, ("thinking", "reasoning"))


@pytest.mark.parametrize(
    ("temperature", "top_p", "told", "names"),
    [
        (0.2, None, {"temperature": 0.2}, ()),
        (None, 0.9, {"top_p": 0.9}, ()),
        (0, 0.9, {"temperature": 0}, ("top_p",)),
        (0.2, 1, {"temperature": 0.2}, ()),
        (1, 0.9, {"top_p": 0.9}, ()),
        (1.0, 1.0, {}, ()),
        (1.5, 0.9, {"top_p": 0.9}, ("temperature",)),
    ],
)
def test_temperature_and_top_p_never_stand_together_nor_where_they_say_nothing(
    temperature: float | None,
    top_p: float | None,
    told: dict[str, float],
    names: tuple[str, ...],
) -> None:
    said = saying(Text("hi"), sampling=Sampling(9, temperature=temperature, top_p=top_p))
    body = written(said)
    assert {key: body[key] for key in ("temperature", "top_p") if key in body} == told
    assert lost(said) == names


def test_while_thinking_a_high_top_p_stands_for_the_temperature_is_gone() -> None:
    drawn = Sampling(9000, temperature=0.2, top_p=0.97)
    said = saying(Text("hi"), sampling=drawn, reasoning=Reasoning(effort="low"))
    assert (written(said)["top_p"], lost(said)) == (0.97, ("temperature",))


def test_settings_that_anthropic_has_not_are_named_and_its_bounds_kept() -> None:
    sampling = Sampling(
        temperature=1.7, seed=0, presence_penalty=0.1, frequency_penalty=0, stop=("a", "\n")
    )
    said = saying(Text("hi"), sampling=sampling, schema={}, user="u" * 300)
    body = written(said)
    assert "temperature" not in body  # 1, its highest, is the usual one
    assert (body["stop_sequences"], len(body["metadata"]["user_id"])) == (["a"], 256)
    assert lost(said) == ("temperature", "stop", "seed", "presence_penalty", "response_format")
    with pytest.raises(RequestError, match="n must be 1"):
        write_request(saying(Text("hi"), sampling=Sampling(n=2)), Wish("anthropic", "m", True))


@pytest.mark.parametrize(("top_k", "told"), [(-1, {}), (0, {}), (1, {"top_k": 1})])
def test_a_top_k_of_all_is_left_out(top_k: int, told: dict[str, int]) -> None:
    said = saying(Text("hi"), sampling=Sampling(9, top_k=top_k))
    assert ({k: v for k, v in written(said).items() if k == "top_k"}, lost(said)) == (told, ())


def test_a_history_with_calls_has_tools_even_where_none_are_offered() -> None:
    body = written(saying(ToolUse("t", "ls", "{}"), role="assistant"))
    assert body["tools"] == [{"name": "ls", "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "none"}


def test_tools_and_choices_are_written() -> None:
    tools = (Tool("ls", "lists", {"properties": {}}, True, MARK), Tool("rm"))
    body = written(
        saying(Text("hi"), tools=tools, tool_choice=ToolChoice("tool", "rm", parallel=False))
    )
    assert body["tools"] == [
        {
            "name": "ls",
            "description": "lists",
            "input_schema": {"type": "object", "properties": {}},
            "strict": True,
            "cache_control": MARK,
        },
        {"name": "rm", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert body["tool_choice"] == {"type": "tool", "name": "rm", "disable_parallel_tool_use": True}
    none = written(saying(Text("hi"), tools=tools, tool_choice=ToolChoice("none", parallel=False)))
    assert none["tool_choice"] == {"type": "none"}


def test_lone_surrogates_become_replacement_signs_and_nothing_else_does() -> None:
    body = written(saying(Text("a\ud83dü\u2028")))
    assert body["messages"][0]["content"][0]["text"] == "a\ufffdü\u2028"
