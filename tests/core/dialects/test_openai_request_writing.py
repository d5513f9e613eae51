"""OpenAI chat requests: what each kind of upstream is sent, before and after by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from streamgauge.core.conversation import (
    Conversation,
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    RedactedThought,
    Refusal,
    Sampling,
    Text,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
)
from streamgauge.core.dialects.base import Wish
from streamgauge.core.dialects.openai.kinds import nearest_effort
from streamgauge.core.dialects.openai.write_request import write_request
from streamgauge.core.errors import RequestError
from streamgauge.core.transform.mid_system import mid_system
from streamgauge.core.transform.strip_attribution import strip_attribution

from .openai_requests import HI, IMAGE, IMAGE_PART, MARK, lost, saying, settings, written

USERS: list[tuple[tuple[Part, ...], Any]] = [
    ((), ""),
    ((HI,), "hi"),
    ((HI, Text("ü")), [{"type": "text", "text": "hi"}, {"type": "text", "text": "ü"}]),
    ((IMAGE,), [IMAGE_PART]),
    (
        (HI, Image(url="http://x/y", detail="low")),
        [
            {"type": "text", "text": "hi"},
            {"type": "image_url", "image_url": {"url": "http://x/y", "detail": "low"}},
        ],
    ),
    ((Document("text/plain", text="body"),), [{"type": "text", "text": "body"}]),
]


@pytest.mark.parametrize(("parts", "content"), USERS)
def test_what_the_user_says_is_written(parts: tuple[Part, ...], content: Any) -> None:
    assert written(saying(*parts))["messages"] == [{"role": "user", "content": content}]


CALL = {"id": "t1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
ASSISTANTS: list[tuple[tuple[Part, ...], dict[str, Any]]] = [
    ((), {"content": ""}),
    ((Text("a"), Text("b")), {"content": "ab"}),
    ((ToolUse("t1", "ls", "{}"),), {"content": None, "tool_calls": [CALL]}),
    ((Text("a"), ToolUse("t1", "ls", "{}"), Text("b")), {"content": "ab", "tool_calls": [CALL]}),
    ((Thought("a", "S"), Text("x"), Thought("b")), {"content": "x", "reasoning_content": "ab"}),
    ((Refusal("no"),), {"content": "", "refusal": "no"}),
]


@pytest.mark.parametrize(("parts", "fields"), ASSISTANTS)
def test_what_the_assistant_said_is_written(
    parts: tuple[Part, ...], fields: dict[str, Any]
) -> None:
    assert written(saying(*parts, role="assistant"))["messages"] == [{"role": "assistant"} | fields]


def test_system_blocks_are_one_message_with_an_empty_line_between() -> None:
    said = saying(HI, system=(Text("a"), Text("b")))
    assert written(said)["messages"][0] == {"role": "system", "content": "a\n\nb"}
    assert written(said, "openai", "gpt-5.1-mini")["messages"][0]["role"] == "developer"


def test_the_billing_line_stays_unless_it_is_not_wanted() -> None:
    said = saying(HI, system=(Text("x-anthropic-billing-header: v"),))
    assert len(written(said)["messages"]) == 2
    assert written(strip_attribution(said))["messages"] == [{"role": "user", "content": "hi"}]


def test_results_are_messages_before_what_the_user_says_and_their_images_go_behind() -> None:
    results = (
        ToolResult("t2", (Text("bad"),), is_error=True),
        ToolResult("t1", (Text("a"), IMAGE, Text("b"), Document("text/plain", text="c"))),
    )
    calls = (ToolUse("t1", "ls", "{}"), ToolUse("t2", "ls", "{}"))
    said = Conversation(messages=(Message("assistant", calls), Message("user", (HI, *results))))
    assert written(said)["messages"][1:] == [
        {"role": "tool", "tool_call_id": "t2", "content": "Error: bad"},
        {"role": "tool", "tool_call_id": "t1", "content": "a\n[image 1]\nb\nc"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "[image 1]"},
                IMAGE_PART,
                {"type": "text", "text": "hi"},
            ],
        },
    ]


def test_images_of_results_are_numbered_over_the_whole_request() -> None:
    turn = (
        Message("assistant", (ToolUse("t", "ls", "{}"),)),
        Message("user", (ToolResult("t", (IMAGE,)),)),
    )
    tools = [
        m["content"]
        for m in written(Conversation(messages=turn + turn))["messages"]
        if m["role"] == "tool"
    ]
    assert tools == ["[image 1]", "[image 2]"]


def test_a_system_message_never_stands_between_a_call_and_its_result() -> None:
    said = Conversation(
        messages=(
            Message("user", (HI,)),
            Message("assistant", (ToolUse("t", "ls", "{}"),)),
            Message("system", (Text("mid"),)),
            Message("user", (ToolResult("t", (Text("out"),)), Text("go"))),
        )
    )
    kept = [(m["role"], m["content"]) for m in written(said, "openai")["messages"][2:]]
    assert kept == [("tool", "out"), ("system", "mid"), ("user", "go")]
    marked = written(mid_system(said))["messages"][2:]
    assert [m["role"] for m in marked] == ["tool", "user"]
    assert [p["text"] for p in marked[1]["content"]] == [
        "<system-reminder>\nmid\n</system-reminder>",
        "go",
    ]


def test_reasoning_goes_back_as_each_kind_reads_it() -> None:
    said = saying(Thought("a", "S"), RedactedThought("R"), Text("x"), role="assistant")
    both = {
        "reasoning": "a",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "a", "signature": "S"},
            {"type": "reasoning.encrypted", "data": "R"},
        ],
    }
    for kind, fields, names in (
        ("llamacpp", {"reasoning_content": "a"}, ("thinking:signature", "redacted_thinking")),
        ("sim", {"reasoning_content": "a"}, ("thinking:signature", "redacted_thinking")),
        ("vllm", {"reasoning": "a"}, ("thinking:signature", "redacted_thinking")),
        ("ollama", {"reasoning": "a"}, ("thinking:signature", "redacted_thinking")),
        ("openrouter", both, ()),
        ("openai", {}, ("thinking", "redacted_thinking")),
    ):
        assert written(said, kind)["messages"] == [
            {"role": "assistant", "content": "x"} | fields
        ], kind
        assert lost(said, kind) == names, kind


def test_cache_marks_go_to_openrouter_only() -> None:
    said = saying(Text("hi", MARK), system=(Text("a", MARK), Text("b")))
    body = written(said, "openrouter")
    marked = {"type": "text", "text": "a", "cache_control": MARK}
    assert body["messages"][0]["content"] == [marked, {"type": "text", "text": "b"}]
    assert body["messages"][1]["content"] == [marked | {"text": "hi"}]
    assert lost(said, "openrouter") == ()
    assert lost(said, "openai") == ("cache_control",)


MARKED: list[Conversation] = [
    saying(Text("a", MARK)),
    saying(HI, Image("image/png", "QUJD", cache=MARK)),
    saying(Text("a", MARK), Image("image/png", "QUJD")),
    saying(Document("text/plain", text="a", cache=MARK)),
    saying(ToolUse("t", "ls", "{}", MARK), role="assistant"),
    saying(ToolResult("t", (), cache=MARK)),
    saying(ToolResult("t", (Text("a", MARK),))),
    saying(HI, system=(Text("s", MARK),)),
    saying(HI, tools=(Tool("ls", cache=MARK),)),
]


@pytest.mark.parametrize("conversation", MARKED, ids=range(len(MARKED)))
def test_a_lost_cache_mark_is_named_wherever_it_stood(conversation: Conversation) -> None:
    assert lost(conversation) == ("cache_control",)


def test_documents_go_to_who_reads_them_and_are_refused_for_others() -> None:
    pdf = saying(Document("application/pdf", "QUJD", title="T.pdf"))
    for kind in ("openai", "openrouter", "sim"):
        file = {"filename": "T.pdf", "file_data": "data:application/pdf;base64,QUJD"}
        assert written(pdf, kind)["messages"][0]["content"] == [{"type": "file", "file": file}]
    for kind in ("llamacpp", "vllm", "ollama"):
        with pytest.raises(RequestError, match="document"):
            written(pdf, kind)
    with pytest.raises(RequestError, match="by its URL"):
        written(saying(Document(url="http://x/y")), "openai")
    assert lost(saying(Document("text/plain", text="a", title="T"))) == ("document:title",)


BUDGET = "reasoning:budget"
REASONING: list[tuple[str, str, Reasoning, dict[str, Any], tuple[str, ...]]] = [
    ("llamacpp", "m", Reasoning(), {}, ()),
    ("llamacpp", "m", Reasoning(True), {"chat_template_kwargs": {"enable_thinking": True}}, ()),
    (
        "llamacpp",
        "m",
        Reasoning(False, effort="high"),
        {"chat_template_kwargs": {"enable_thinking": False}},
        (),
    ),
    (
        "llamacpp",
        "m",
        Reasoning(True, 5000),
        {"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "high"}},
        ("reasoning:budget",),
    ),
    (
        "llamacpp",
        "m",
        Reasoning(effort="minimal"),
        {"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "low"}},
        (),
    ),
    (
        "vllm",
        "m",
        Reasoning(effort="max"),
        {"reasoning_effort": "high", "chat_template_kwargs": {"enable_thinking": True}},
        (),
    ),
    ("vllm", "m", Reasoning(False), {"chat_template_kwargs": {"enable_thinking": False}}, ()),
    ("openrouter", "m", Reasoning(True, 5000), {"reasoning": {"max_tokens": 5000}}, ()),
    ("openrouter", "m", Reasoning(effort="low"), {"reasoning": {"effort": "low"}}, ()),
    ("openrouter", "m", Reasoning(False), {"reasoning": {"effort": "none"}}, ()),
    ("openrouter", "m", Reasoning(True), {"reasoning": {"enabled": True}}, ()),
    ("openai", "gpt-5", Reasoning(True, None, "xhigh"), {"reasoning_effort": "high"}, ()),
    ("openai", "gpt-5.5", Reasoning(True, None, "max"), {"reasoning_effort": "xhigh"}, ()),
    ("openai", "o3", Reasoning(True, 2048), {"reasoning_effort": "medium"}, ("reasoning:budget",)),
    ("openai", "gpt-5", Reasoning(False), {"reasoning_effort": "minimal"}, ("reasoning",)),
    ("openai", "gpt-5.1", Reasoning(False), {"reasoning_effort": "none"}, ()),
    ("openai", "gpt-4o", Reasoning(effort="low"), {}, ("reasoning",)),
    ("openai", "gpt-4o", Reasoning(False), {}, ()),
    ("ollama", "m", Reasoning(True, 1024), {"reasoning_effort": "low"}, ("reasoning:budget",)),
    ("ollama", "m", Reasoning(True, 200), {"reasoning_effort": "minimal"}, ("reasoning:budget",)),
]


@pytest.mark.parametrize(("kind", "model", "reasoning", "fields", "names"), REASONING)
def test_the_wish_to_think_is_told_as_each_kind_takes_it(
    kind: str, model: str, reasoning: Reasoning, fields: dict[str, Any], names: tuple[str, ...]
) -> None:
    said = saying(HI, reasoning=reasoning)
    assert settings(written(said, kind, model)) == fields
    assert lost(said, kind, model) == names


@pytest.mark.parametrize(
    ("model", "reasoning", "told", "names"),
    [
        ("gpt-5.4", Reasoning(True, effort="high"), "none", ("reasoning",)),
        ("openai/gpt-5.5-2026-04-23", Reasoning(True, 2048), "none", ("reasoning", BUDGET)),
        ("gpt-5.6-terra", Reasoning(), "none", ()),
        ("gpt-5.10", Reasoning(False), "none", ()),
        ("gpt-5.2", Reasoning(True, effort="high"), "high", ()),
        ("gpt-5.4-pro", Reasoning(True, effort="high"), "high", ()),
        ("gpt-5-mini", Reasoning(), None, ()),
    ],
)
def test_no_thinking_is_asked_for_beside_tools_where_openai_refuses_both(
    model: str, reasoning: Reasoning, told: str | None, names: tuple[str, ...]
) -> None:
    said = saying(HI, reasoning=reasoning, tools=(Tool("ls"),))
    assert written(said, "openai", model).get("reasoning_effort") == told
    assert lost(said, "openai", model) == names
    without = replace(said, tools=())
    efforts = {"reasoning_effort"} if reasoning != Reasoning() else set()
    assert settings(written(without, "openai", model)).keys() == efforts


FULL = Sampling(9, 0.2, 0.5, 3, 0, 1, 1, ("a", "b", "c", "d", "e"), 2)
PLAIN = {
    "max_tokens": 9,
    "n": 2,
    "seed": 0,
    "temperature": 0.2,
    "top_p": 0.5,
    "presence_penalty": 1,
    "frequency_penalty": 1,
}


@pytest.mark.parametrize(
    ("kind", "model", "fields", "names"),
    [
        ("llamacpp", "m", PLAIN | {"stop": ["a", "b", "c", "d", "e"], "top_k": 3}, ()),
        ("ollama", "m", PLAIN | {"stop": ["a", "b", "c", "d", "e"]}, ("top_k",)),
        ("openai", "gpt-4o", PLAIN | {"stop": ["a", "b", "c", "d"]}, ("stop", "top_k")),
        (
            "openai",
            "o4-mini",
            {"max_completion_tokens": 9, "n": 2, "seed": 0},
            ("temperature", "top_p", "presence_penalty", "frequency_penalty", "stop", "top_k"),
        ),
    ],
)
def test_sampling_is_written_as_each_kind_takes_it(
    kind: str, model: str, fields: dict[str, Any], names: tuple[str, ...]
) -> None:
    said = saying(HI, sampling=FULL)
    assert settings(written(said, kind, model)) == fields
    assert lost(said, kind, model) == names


def test_a_thinking_models_only_values_are_no_loss() -> None:
    said = saying(
        HI, sampling=Sampling(temperature=1, top_p=1, presence_penalty=0, frequency_penalty=0)
    )
    assert lost(said, "openai", "gpt-5") == ()


def test_a_users_name_goes_on_and_what_is_private_or_long_is_hashed() -> None:
    def sent(user: str) -> str:
        return str(written(saying(HI, user=user))["user"])

    def claude(session: str, device: str = "d") -> str:
        return json.dumps({"device_id": device, "account_uuid": "", "session_id": session})

    assert sent("ann") == "ann"
    assert len(sent("a" * 65)) == 64
    assert sent(claude("1")) == sent(claude("2")) != sent(claude("1", "e"))
    assert (
        sent("user_a_account__session_1")
        == sent("user_a_account__session_2")
        != "user_a_account__session_1"
    )
    assert len(sent("{broken")) == len(sent("{}")) == len(sent("[1]" * 30)) == 64


@pytest.mark.parametrize(
    ("wish", "fields"),
    [
        (Wish("llamacpp", "m", False, running_usage=True), {"model": "m", "stream": False}),
        (Wish("llamacpp", None, True), {"stream": True, "stream_options": {"include_usage": True}}),
        (
            Wish("llamacpp", "m", True, include_usage=False, running_usage=True),
            {"model": "m", "stream": True, "timings_per_token": True},
        ),
        (
            Wish("vllm", "m", True, running_usage=True),
            {
                "model": "m",
                "stream": True,
                "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            },
        ),
        (
            Wish("openai", "m", True, include_usage=False, running_usage=True),
            {"model": "m", "stream": True},
        ),
    ],
)
def test_the_stream_is_asked_for_with_its_numbers(wish: Wish, fields: dict[str, Any]) -> None:
    body = json.loads(write_request(saying(HI), wish).body)
    del body["messages"]
    assert body == fields


def test_openai_gets_no_id_longer_than_it_takes() -> None:
    long = "toolu_" + "x" * 60
    turn = (
        Message("assistant", (ToolUse(long, "ls", "{}"),)),
        Message("user", (ToolResult(long, ()),)),
    )
    messages = written(Conversation(messages=turn), "openai")["messages"]
    assert messages[0]["tool_calls"][0]["id"] == messages[1]["tool_call_id"] != long
    assert len(messages[1]["tool_call_id"]) <= 40
    assert written(Conversation(messages=turn), "vllm")["messages"][1]["tool_call_id"] == long


@pytest.mark.parametrize(
    ("model", "newer"),
    [
        ("o1", True),
        ("o3-mini", True),
        ("gpt-5", True),
        ("gpt-5.1-codex", True),
        ("openai/gpt-5-nano", True),
        ("gpt-4o", False),
        ("gpt-4.1", False),
        ("gpt-5-chat-latest", False),
        ("gpt-5.2-chat-latest", True),
        ("olmo-3", False),
        ("oss", False),
        ("gpt-oss-20b", False),
    ],
)
def test_openais_thinking_models_are_known_by_name(model: str, newer: bool) -> None:
    body = written(saying(HI, sampling=Sampling(9)), "openai", model)
    assert ("max_completion_tokens" in body, "max_tokens" in body) == (newer, not newer)


def test_the_readers_losses_come_first_and_none_comes_twice() -> None:
    said = saying(Text("a", MARK), Text("b", MARK), lost=("speed", "cache_control"))
    assert lost(said) == ("speed", "cache_control")


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("o3-mini", "low low low medium high high high"),
        ("codex-mini-latest", "low low low medium high high high"),
        ("gpt-5", "minimal minimal low medium high high high"),
        ("gpt-5-mini-2025-08-07", "minimal minimal low medium high high high"),
        ("gpt-5-codex", "low low low medium high high high"),
        ("gpt-5-pro", "high high high high high high high"),
        ("openai/gpt-5.1", "none low low medium high high high"),
        ("gpt-5.1-codex-mini", "low low low medium high high high"),
        ("gpt-5.1-codex-max", "low low low medium high xhigh xhigh"),
        ("gpt-5.2", "none low low medium high xhigh xhigh"),
        ("gpt-5.2-pro", "medium medium medium medium high xhigh xhigh"),
        ("gpt-5.3-chat-latest", "medium medium medium medium medium medium medium"),
        ("gpt-5.3-codex", "low low low medium high xhigh xhigh"),
        ("gpt-6", "none minimal low medium high xhigh max"),
    ],
)
def test_each_model_of_openai_is_told_an_effort_that_it_takes(model: str, told: str) -> None:
    efforts = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    assert [nearest_effort("openai", model, each) for each in efforts] == told.split()
    assert [nearest_effort("vllm", model, each) for each in efforts] == list(efforts)
