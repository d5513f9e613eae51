"""Tool calls repaired in an answer: only their block waits, everything else flows and stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.meter import Meter
from streamgauge.core.passage import Hold
from streamgauge.core.passages import new_passage
from streamgauge.core.reading import StreamReading
from streamgauge.core.record import Anomaly
from streamgauge.core.transform.tool_call_repair import HeldCall
from streamgauge.core.transforming import TransformingEncoder

from ..playbook import Play, chat_request, request_of
from .chains import call, chain, chunk, event, played

REPAIR = ["tool_call_repair"]
ALL = [*REPAIR, {"reasoning": {"think_tags": True}}]
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
FINISH = chunk({}, "tool_calls", usage=USAGE)
START = chunk(call("", id="a", name="edit"))
TWICE = ['{"filePath":"/ä"', ',"filePa', 'th":"/ä"', ',"n":1}']


def data_of(play: Play) -> list[Any]:
    lines = play.body.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def arguments_of(client: str, play: Play) -> str:
    told = data_of(play)
    if client == "anthropic":
        deltas = [one.get("delta", {}) for one in told]
        return "".join(delta.get("partial_json", "") for delta in deltas)
    if client == "frames":
        return "".join(one.get("tool_call", {}).get("arguments", "") for one in told)
    choices = [choice for one in told for choice in one["choices"]]
    calls = [made for choice in choices for made in choice["delta"].get("tool_calls", ())]
    return "".join(made["function"].get("arguments", "") for made in calls)


@pytest.mark.parametrize(("client", "dialect"), [
    ("openai", None), ("anthropic", "openai"), ("frames", "openai"),
])  # fmt: skip
def test_text_and_other_calls_flow_while_a_block_is_held(client: Any, dialect: Any) -> None:
    play = Play(
        request_of(client),
        attempt={"transformers": chain("openai", REPAIR), "dialect": dialect},
    )
    play.stream(START, *(chunk(call(piece)) for piece in TWICE[:2]))
    before = play.body
    play.data(chunk({"content": "meanwhile"}))
    assert b"meanwhile" in play.body[len(before) :]
    before = play.body
    play.data(chunk(call('{"other":1}', 1, id="b", name="ls")))
    assert b"other" in play.body[len(before) :]
    assert play.body.count(b"filePa") == 1, "the member that is said again waits"
    play.data(*(chunk(call(piece)) for piece in TWICE[2:]), FINISH, DONE)
    play.do("upstream_end", "complete")
    assert play.body.count(b"filePa") == 1
    assert arguments_of(client, play).replace('{"other":1}', "") == '{"filePath":"/ä","n":1}'
    assert (play.row.input_tokens, play.row.output_tokens) == (9, 4)


def test_frames_of_calls_without_a_fault_leave_as_they_came() -> None:
    pieces = [START, *(chunk(call(sign)) for sign in '{"path": {"a": [1, "x"]}}'), FINISH, DONE]
    assert played("openai", REPAIR, pieces).body == b"".join(pieces)


@pytest.mark.parametrize("dialect", [None, "openai"])
def test_what_cannot_be_repaired_passes_and_is_noted(dialect: str | None) -> None:
    """JSON that says a member twice with two values is legal, so that only the repair can tell."""
    pieces = [START, chunk(call('{"a":1,"a":2}')), FINISH, DONE]
    play = played("openai" if dialect is None else "anthropic", REPAIR, pieces, dialect=dialect)
    client = "openai" if dialect is None else "anthropic"
    assert arguments_of(client, play) == '{"a":1,"a":2}'
    assert play.row.anomalies == [Anomaly.BAD_TOOL_JSON]
    assert played("openai", [], pieces).row.anomalies == []


def test_a_block_in_doubt_leaves_before_the_finish() -> None:
    pieces = [START, chunk(call('{"a":1,"a')), chunk(call('":1')), FINISH, DONE]
    play = played("openai", REPAIR, pieces)
    assert arguments_of("openai", play) == '{"a":1,"a":1'  # cut: as it came
    assert play.body.endswith(FINISH + DONE)
    again = [START, chunk(call("{a")), chunk(call(": 1}")), DONE]
    assert arguments_of("openai", played("openai", REPAIR, again)) == '{"a": 1}'


@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_an_answer_that_is_no_stream_is_repaired_too(client: Any) -> None:
    made = {"id": "a", "type": "function", "function": {"name": "ls", "arguments": "{a: 1}"}}
    message = {"role": "assistant", "content": "<think>b</think>c", "tool_calls": [made]}
    answer = {"own": 1.50, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    dialect = None if client == "openai" else "openai"
    play = Play(
        request_of(client, stream=False),
        attempt={"transformers": chain("openai", ALL), "dialect": dialect},
    )
    play.answer(200, json.dumps({**answer, "usage": USAGE}).encode())
    told = json.loads(play.whole.body)
    if client == "openai":
        message = told["choices"][0]["message"]
        assert message["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
        assert (message["reasoning_content"], message["content"]) == ("b", "c")
    else:
        blocks = [
            (block["type"], block.get("text"), block.get("input")) for block in told["content"]
        ]
        assert blocks == [
            ("thinking", None, None),
            ("text", "c", None),
            ("tool_use", None, {"a": 1}),
        ]
    assert (play.row.input_tokens, play.row.output_tokens) == (9, 4)


def test_a_whole_message_of_the_same_dialect_gets_thinking_blocks() -> None:
    message = {"type": "message", "content": [{"type": "text", "text": "<think>b</think>c"}],
               "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 2}}  # fmt: skip
    play = Play(
        request_of("anthropic", stream=False), attempt={"transformers": chain("llamacpp", ALL)}
    )
    play.answer(200, json.dumps(message).encode())
    assert json.loads(play.whole.body)["content"] == [
        {"type": "thinking", "thinking": "b", "signature": ""},
        {"type": "text", "text": "c"},
    ]


WORDS = st.sampled_from(
    "index delta choices tool_calls function arguments id name content finish_reason type "
    "content_block partial_json text thinking usage".split()
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4)
    | st.sampled_from(["text", "tool_use", "content_block_start", "content_block_delta", "{a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=16,
)  # fmt: skip


@given(st.sampled_from(["openai", "anthropic"]), st.lists(ANYTHING, max_size=6))
def test_no_frame_can_harm_its_stream(client: Any, frames: list[Any]) -> None:
    wire = [b"data: " + json.dumps({"choices": [], **frame}).encode() + b"\n\n"
            if isinstance(frame, dict) else b"data: " + json.dumps(frame).encode() + b"\n\n"
            for frame in frames]  # fmt: skip
    plain, changed = played(client, [], wire), played(client, ALL, wire)
    assert changed.row.status == plain.row.status
    assert changed.row.output_tokens == plain.row.output_tokens
    assert Anomaly.METER_ERROR not in changed.row.anomalies


def test_a_frame_that_passes_in_parts_is_left_alone() -> None:
    large = "x" * 100_000
    frame = chunk(call(f'{{a: "{large}"}}', id="a", name="edit"))
    pieces = [frame[at : at + 8192] for at in range(0, len(frame), 8192)]
    assert played("openai", REPAIR, [*pieces, FINISH, DONE]).body == frame + FINISH + DONE


def test_a_message_of_anthropics_own_tools_is_left_alone() -> None:
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    delta = {"type": "input_json_delta", "partial_json": "{a: 1}"}
    wire = [
        event("content_block_start", index=0, content_block=block),
        event("content_block_delta", index=0, delta=delta),
        event("content_block_stop", index=0),
        event("message_stop"),
    ]
    assert played("anthropic", REPAIR, wire).body == b"".join(wire)


def test_what_is_in_doubt_leaves_before_a_frame_that_passes_in_parts() -> None:
    large = chunk({"content": "x" * 100_000})
    parts = [large[at : at + 8192] for at in range(0, len(large), 8192)]
    held = chunk(call('{"path'))
    play = played("openai", REPAIR, [START, held, *parts, chunk(call('": 1}')), FINISH, DONE])
    assert play.body == START + held + large + chunk(call('": 1}')) + FINISH + DONE


def test_an_upstream_without_transformers_is_read_and_written_without_a_detour() -> None:
    ways: list[tuple[Any, Any]] = [("openai", None), ("anthropic", "openai")]
    chains: list[tuple[list[str], bool]] = [([], True), (["mid_system"], True), (REPAIR, False)]
    for client, dialect in ways:
        for transformers, plain in chains:
            made = Attempt("up", "openai", "m", dialect, transformers=chain("openai", transformers))
            request = request_of(client)
            facts = Facts("id", "boot", 1, request, (made,), "r")
            passage: Any = new_passage(
                facts, made, Meter(0.0), hide_usage=False, metadata=bytes, hold=Hold.NOTHING
            )
            detour = isinstance(getattr(passage, "encoder", None), TransformingEncoder)
            assert (type(passage.reading) is StreamReading and not detour) is plain


@pytest.mark.parametrize("client", ["openai", "frames"])
def test_what_is_held_of_a_choice_leaves_with_its_own_finish(client: Any) -> None:
    def said(choice: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        told = {"index": choice, "delta": delta, "finish_reason": finish}
        return (
            b"data: " + json.dumps({"id": "c", "model": "m", "choices": [told]}).encode() + b"\n\n"
        )

    other = b'"b'  # as it came, and as the client's JSON has it
    play = Play(
        request_of(client), attempt={"transformers": chain("openai", REPAIR), "dialect": "openai"}
    )
    play.stream(
        said(0, call("", id="a", name="f")), said(1, call("", id="b", name="g")),
        said(0, call('{"x":1,"a')), said(1, call('{"y":2,"b')),
    )  # fmt: skip
    before = play.body
    play.data(said(0, {}, "tool_calls"))
    first = play.body[len(before) :]
    assert b"a" in first.partition(b'"arguments":')[2][:6]
    assert other not in first.replace(b"\\", b"")
    before = play.body
    play.data(said(1, {}, "tool_calls"), DONE)
    assert client == "frames" or other in play.body[len(before) :].replace(b"\\", b"")


def test_a_chunk_that_says_more_than_a_piece_flows_and_its_piece_is_repaired() -> None:
    said = (("hey", '{"z": "2"'), ("hi", ", a"), ("you", ": 1}"))
    more = [{"content": text, **call(piece)} for text, piece in said]
    play = played("openai", REPAIR, [START, *map(chunk, more), FINISH, DONE])
    assert arguments_of("openai", play) == '{"z": "2", "a": 1}'
    told = [one["choices"][0]["delta"].get("content") for one in data_of(play)]
    assert [text for text in told if text] == ["hey", "hi", "you"]


@pytest.mark.parametrize("endpoint", ["completions", "responses"])
def test_a_whole_answer_without_calls_or_roles_passes_as_it_came(endpoint: str) -> None:
    body = b'{"choices":[{"text":"<think>a</think>b","finish_reason":"stop"}], "own": 1.50}'
    play = Play(
        chat_request(endpoint, stream=False), attempt={"transformers": chain("openai", ALL)}
    )
    play.answer(200, body)
    assert play.whole.body == body


def test_a_whole_answer_without_a_fault_passes_as_it_came() -> None:
    body = b'{ "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "own": 1.50}'
    play = Play(request_of("openai", stream=False), attempt={"transformers": chain("openai", ALL)})
    play.answer(200, body)
    assert play.whole.body == body


def test_the_end_of_a_call_that_was_begun_does_not_name_it_again() -> None:
    def write(text: str, told: bool) -> bytes:
        return f"{told}:{text}".encode()

    held = HeldCall([].append)
    for piece in ("{a:1", ",b:2", ",c"):
        held.feed(piece.encode(), piece, write)
    assert held.end(write) == [b"True:,c"]
