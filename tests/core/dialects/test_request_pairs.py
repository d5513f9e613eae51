"""Requests from one dialect to another: nothing is lost but what is named, whatever comes in."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.conversation import (
    Conversation,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    Sampling,
    Text,
    Thought,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from streamgauge.core.dialects.anthropic.read_request import read_conversation as read_anthropic
from streamgauge.core.dialects.anthropic.write_request import write_request as write_anthropic
from streamgauge.core.dialects.base import Wish, Written
from streamgauge.core.dialects.losses import FIELD, Loss
from streamgauge.core.dialects.openai.read_request import read_conversation as read_openai
from streamgauge.core.dialects.openai.write_request import write_request as write_openai
from streamgauge.core.errors import RequestError

from ...timed import in_time
from .request_cases import (
    WRITERS,
    full_anthropic,
    full_openai,
    read,
    recorded,
    write,
)

RECORDED = list(recorded())
CLOSED = frozenset(map(str, Loss))


def leaves(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value; arguments that are JSON themselves are read, too."""
    if isinstance(value, str):
        yield value
        if value.startswith("{"):
            try:
                yield from leaves(json.loads(value))
            except ValueError:
                return
    elif isinstance(value, dict):
        for member in value.values():
            yield from leaves(member)
    elif isinstance(value, list):
        for member in value:
            yield from leaves(member)


def texts_of(conversation: Conversation) -> Iterator[str]:
    for block in conversation.system:
        yield block.text
    for message in conversation.messages:
        for part in message.parts:
            yield from part_texts(part)


def part_texts(part: Part) -> Iterator[str]:
    match part:
        case Text():
            yield part.text
        case ToolResult():
            for inner in part.parts:
                yield from part_texts(inner)
        case ToolUse():
            yield part.name


# -- what real agents send


@pytest.mark.parametrize("target", WRITERS)
@pytest.mark.parametrize(
    ("path", "body"), [case[1:] for case in RECORDED], ids=[case[0] for case in RECORDED]
)
def test_every_text_and_tool_of_a_recorded_request_arrives(
    path: str, body: dict[str, Any], target: str
) -> None:
    said = read(path, body)
    sent = json.loads(write(target, said).body)
    strings = list(leaves(sent))
    whole = "\x00".join(strings)
    stripped = WRITERS[target][0] in ("llamacpp", "vllm", "ollama")
    for text in texts_of(said):
        if not (stripped and text.startswith("x-anthropic-billing-header:")):
            assert text in whole
    tools = sent.get("tools", [])
    assert [tool.get("function", tool)["name"] for tool in tools] == [
        tool.name for tool in said.tools
    ]
    for tool, original in zip(tools, said.tools, strict=True):
        function = tool.get("function", tool)
        assert function.get("parameters", function.get("input_schema")) == original.schema
        assert function["description"] == original.description


def test_a_recorded_claude_code_request_becomes_what_is_expected() -> None:
    body = next(
        body
        for name, _, body in RECORDED
        if name.startswith("claude_code_tool_turn") and len(body["messages"]) == 4
    )
    sent = json.loads(write("llamacpp", read("/v1/messages", body)).body)
    shape = [(m["role"], type(m["content"]).__name__) for m in sent["messages"]]
    assert shape == [
        ("system", "str"),
        ("user", "list"),
        ("assistant", "NoneType"),
        ("tool", "str"),
    ]
    call = sent["messages"][2]["tool_calls"][0]
    assert (call["id"], json.loads(call["function"]["arguments"])) == (
        "toolu_1",
        {"command": "echo tool-ran", "description": "x"},
    )
    assert sent["messages"][3] == {"role": "tool", "tool_call_id": "toolu_1", "content": "tool-ran"}
    assert len(sent["tools"]) == 25
    rest = {k: v for k, v in sent.items() if k not in ("messages", "tools", "user")}
    assert rest == {
        "model": "m",
        "max_tokens": 32000,
        "chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "high"},
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_large_request_is_translated_in_a_moment() -> None:
    body = max(
        (body for _, path, body in RECORDED if "count" not in path),
        key=lambda b: len(json.dumps(b)),
    )
    assert len(json.dumps(body)) > 80_000
    write("llamacpp", read("/v1/messages", body))
    best = min(_seconds(body) for _ in range(20))
    in_time(best, 5 * 0.003)


def _seconds(body: dict[str, Any]) -> float:
    before = time.perf_counter()
    write("llamacpp", read("/v1/messages", body))
    return time.perf_counter() - before


# -- there and back

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SAID = WORDS.filter(lambda text: bool(text.strip()))
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
IMAGES = st.builds(
    Image, media_type=st.sampled_from(["image/png", "image/webp"]), data=st.just("QUJD")
) | st.builds(Image, url=st.just("https://x/y"))
OBJECTS = st.dictionaries(
    WORDS,
    WORDS | st.integers() | st.booleans() | st.none() | st.lists(WORDS, max_size=2),
    max_size=3,
)
NAMES = st.sampled_from(["ls", "cat", "mcp__x-y"])


@st.composite
def loops(draw: st.DrawFn, number: int) -> list[Message]:
    """Draw a user's turn, the assistant's with calls, and their results in any order."""
    asking = draw(st.lists(st.builds(Text, SAID) | IMAGES, min_size=1, max_size=3))
    ids = [f"{name}-{number}-{index}" for index, name in enumerate(draw(st.lists(IDS, max_size=3)))]
    calls = [ToolUse(name, draw(NAMES), json.dumps(draw(OBJECTS))) for name in ids]
    saying = [Text(draw(SAID))] if draw(st.booleans()) or not calls else []
    results = [
        ToolResult(name, tuple([Text(draw(SAID))][: draw(st.integers(0, 1))]))
        for name in draw(st.permutations(ids))
    ]
    more = [Text(draw(SAID))] if draw(st.booleans()) else []
    turns = [Message("user", tuple(asking)), Message("assistant", (*saying, *calls))]
    if results:
        turns.append(Message("user", (*results, *more)))
        turns.append(Message("assistant", (Text(draw(SAID)),)))
    return turns


DRAWS = st.sampled_from(["temperature", "top_p"])
"""Anthropic takes one of the two."""


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Draw what both dialects can say."""
    rounds = draw(st.integers(1, 3))
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=3))
    choice = draw(
        st.none()
        | st.builds(ToolChoice, st.sampled_from(["auto", "any", "none"]))
        | st.builds(ToolChoice, st.just("tool"), st.just(names[0]))
    )
    drawn = draw(st.dictionaries(DRAWS, st.floats(0, 1, exclude_max=True), max_size=1))
    return Conversation(
        messages=tuple(turn for number in range(rounds) for turn in draw(loops(number))),
        system=tuple([Text(draw(SAID))][: draw(st.integers(0, 1))]),
        tools=tuple(
            Tool(name, draw(st.none() | WORDS), {"type": "object", "properties": draw(OBJECTS)})
            for name in names
        ),
        tool_choice=choice,
        sampling=Sampling(
            max_tokens=draw(st.integers(1, 100_000)),
            temperature=drawn.get("temperature"),
            top_p=drawn.get("top_p"),
            stop=tuple(draw(st.lists(SAID, max_size=4))),
        ),
        schema=draw(st.none() | st.just({"type": "object", "properties": {}})),
        user=draw(st.none() | st.just("ann")),
    )


def told(conversation: Conversation) -> Conversation:
    """Return what is left of a conversation when only meaning counts: no name of a schema."""
    return Conversation(
        messages=tuple(map(plain, conversation.messages)),
        system=conversation.system,
        tools=conversation.tools,
        tool_choice=conversation.tool_choice,
        sampling=conversation.sampling,
        reasoning=conversation.reasoning,
        schema=conversation.schema,
        user=conversation.user,
    )


def plain(message: Message) -> Message:
    """Return a message with the arguments of its calls as values, whatever blanks they had."""
    parts = [
        ToolUse(part.id, part.name, json.dumps(json.loads(part.arguments), sort_keys=True))
        if isinstance(part, ToolUse)
        else part
        for part in message.parts
    ]
    return Message(message.role, tuple(parts))


@given(conversations())
def test_what_both_dialects_can_say_survives_the_way_there_and_back(said: Conversation) -> None:
    anthropic = write_anthropic(said, Wish("anthropic", "m", True))
    first = read_anthropic(json.loads(anthropic.body))
    openai = write_openai(first, Wish("openrouter", "m", True))
    second = read_openai(json.loads(openai.body))
    again = read_anthropic(json.loads(write_anthropic(second, Wish("anthropic", "m", True)).body))
    assert told(first) == told(said)
    assert told(second) == told(said)
    assert told(again) == told(said)
    assert (anthropic.lost, openai.lost) == ((), ())


@given(SAID, SAID, SAID, st.sampled_from(["low", "medium", "high", "xhigh", "max"]))
def test_signed_reasoning_survives_the_way_over_openrouter(
    thought: str, signature: str, text: str, effort: str
) -> None:
    said = Conversation(
        messages=(
            Message("user", (Text("hi"),)),
            Message("assistant", (Thought(thought, signature), Text(text), Refusal("no"))),
        ),
        reasoning=Reasoning(effort=effort),
    )
    back = read_openai(json.loads(write_openai(said, Wish("openrouter", "m", True)).body))
    assert back.messages == said.messages
    assert back.reasoning == said.reasoning


# -- whatever comes in

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
    | st.just("\ud83d")
    | st.sampled_from(["user", "text", "tool", "t1", "function", "2" * 400]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "role", "content", "name", "required", "properties"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, member in items:
        yield (*path, key)
        yield from places(member, (*path, key))


FULL = {"/v1/messages": full_anthropic(), "/v1/chat/completions": full_openai()}
PLACES = [(path, place) for path, body in FULL.items() for place in places(body)]


@settings(max_examples=400)
@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=3))
def test_any_value_anywhere_is_written_or_refused_by_name(
    changes: list[tuple[tuple[str, tuple[Any, ...]], Any]],
) -> None:
    path = changes[0][0][0]
    body = copy.deepcopy(FULL[path])
    for (_, place), value in changes:
        put(body, place, value)
    for target in WRITERS:
        outcome = attempted(target, path, body)
        if isinstance(outcome, RequestError):
            assert (outcome.status, bool(outcome.param)) == (400, True)
            continue
        json.loads(outcome.body)
        assert all(name in CLOSED or name.startswith(FIELD) for name in outcome.lost)
        assert len(outcome.lost) == len(set(outcome.lost))


def attempted(target: str, path: str, body: dict[str, Any]) -> Written | RequestError:
    try:
        return write(target, read(path, body))
    except RequestError as error:
        return error


def put(body: Any, place: tuple[Any, ...], value: Any) -> None:
    for key in place[:-1]:
        try:
            body = body[key]
        except (KeyError, IndexError, TypeError):
            return  # an earlier change took it away
    if isinstance(body, dict) or (
        isinstance(body, list) and isinstance(place[-1], int) and place[-1] < len(body)
    ):
        body[place[-1]] = value
