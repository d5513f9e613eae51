"""What the simulator says, compared with recordings of the real server and with the grammar."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.usage import TokenUsage
from streamgauge.tools.simulator.anthropic import PING, MessageAnswer
from streamgauge.tools.simulator.completions import TextAnswer
from streamgauge.tools.simulator.control import ControlError, control_of, parse_target
from streamgauge.tools.simulator.faults import FRAME_FAULTS, Setting, faulty
from streamgauge.tools.simulator.flavours import Flavour
from streamgauge.tools.simulator.openai import ChatAnswer
from streamgauge.tools.simulator.plan import Plan, plan_answer
from streamgauge.tools.simulator.prompt import read_prompt
from streamgauge.tools.simulator.responses import ResponsesAnswer
from streamgauge.tools.simulator.script import End, Frame, Kind, Schedule, Wait, Write, single_bytes

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
ASKS_USAGE = {"stream_options": {"include_usage": True}}
TOOL = {"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}


def plan_of(body: dict[str, Any] | None = None, **asked: object) -> Plan:
    request = body if body is not None else {}
    return plan_answer(
        control_of(asked), read_prompt(request), request, call="sim1", created=1795226882
    )


def datas(frames: list[Frame]) -> list[Any]:
    found = [re.search(rb"^data: (\{.*\})$", f.data, re.MULTILINE) for f in frames]
    return [json.loads(match[1]) for match in found if match is not None]


def recorded(name: str) -> list[Any]:
    body = (CAPTURES / f"{name}.body").read_bytes()
    return [json.loads(text) for text in re.findall(rb"^data: (\{.*\})$", body, re.MULTILINE)]


def shape(value: object) -> object:
    """Keys in their order and the types of values: what of a recording must be the same here."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def groups(shapes: Iterable[object]) -> Iterator[object]:
    return (key for key, _ in itertools.groupby(shapes))


def chat(flavour: Flavour, body: dict[str, Any] | None = None, **asked: object) -> list[Frame]:
    request = ASKS_USAGE if body is None else body
    return list(ChatAnswer(flavour, plan_of(request, **asked), request).frames())


@pytest.mark.parametrize(
    ("capture", "body", "asked"),
    [
        ("chat_stream_usage", ASKS_USAGE, {"tokens": 19}),
        ("chat_stream_nousage", {}, {"tokens": 19}),
        ("chat_stream_length", ASKS_USAGE | {"max_tokens": 5}, {}),
        (
            "chat_stream_timings_per_token",
            ASKS_USAGE | {"timings_per_token": True},
            {"tokens": 9},
        ),
    ],
)
def test_llamacpp_chat_frames_have_the_keys_of_the_recording(
    capture: str, body: dict[str, Any], asked: dict[str, Any]
) -> None:
    frames = chat(Flavour.LLAMACPP, body, **asked)
    assert [shape(v) for v in datas(frames)] == [shape(v) for v in recorded(capture)]
    assert frames[-1].data == b"data: [DONE]\n\n"


def test_llamacpp_tool_frames_have_the_keys_of_the_recording() -> None:
    ours = datas(chat(Flavour.LLAMACPP, tool=TOOL))
    theirs = recorded("chat_stream_tool")
    assert shape(ours[1]) == shape(theirs[1])
    assert shape(ours[2]) == shape(theirs[2])
    assert shape(ours[-2]) == shape(theirs[-2])
    pieces = [v["choices"][0]["delta"]["tool_calls"][0]["function"] for v in ours[1:-2]]
    assert json.loads("".join(p["arguments"] for p in pieces)) == TOOL["arguments"]


@pytest.mark.parametrize(
    ("capture", "asked"), [("chat_nonstream", {}), ("chat_nonstream_tool", {"tool": TOOL})]
)
def test_llamacpp_whole_answers_have_the_keys_of_the_recording(
    capture: str, asked: dict[str, Any]
) -> None:
    body, usage = ChatAnswer(Flavour.LLAMACPP, plan_of(**asked), {}).body()
    theirs = json.loads((CAPTURES / f"{capture}.body").read_bytes())
    ours = json.loads(body)
    assert sorted(ours) == sorted(theirs)
    assert shape(ours["choices"]) == shape(theirs["choices"])
    assert shape(ours["usage"]) == shape(theirs["usage"])
    assert shape(ours["timings"]) == shape(theirs["timings"])
    assert usage == TokenUsage(1, ours["usage"]["completion_tokens"])


@pytest.mark.parametrize(
    ("capture", "asked"),
    [
        ("messages_stream", {"tokens": 19}),
        ("messages_stream_length", {"tokens": 5}),
        ("messages_stream_tool", {"tool": TOOL}),
    ],
)
def test_llamacpp_message_frames_have_the_keys_of_the_recording(
    capture: str, asked: dict[str, Any]
) -> None:
    ours = datas(list(MessageAnswer(Flavour.LLAMACPP, plan_of(**asked)).frames()))
    # How finely the arguments are cut is the model's affair: equal neighbours count once.
    theirs = recorded(capture)
    assert list(groups(shape(v) for v in ours)) == list(groups(shape(v) for v in theirs))


def test_two_choices_of_llamacpp_have_two_usage_frames_with_the_whole_prompt_each() -> None:
    frames = chat(Flavour.LLAMACPP, ASKS_USAGE | {"prompt": "a b c"}, n=2, tokens=4)
    usages = [v["usage"] for v in datas(frames) if "usage" in v]
    assert [(u["prompt_tokens"], u["completion_tokens"]) for u in usages] == [(3, 4), (3, 4)]
    kinds = [f.kind for f in frames]
    assert kinds[-5:] == [Kind.FINISH, Kind.USAGE, Kind.FINISH, Kind.USAGE, Kind.MARK]
    assert frames[-2].usage == TokenUsage(3, 8)


def test_vllm_states_running_usage_on_every_chunk_when_asked() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    values = datas(chat(Flavour.VLLM, {"stream_options": options}, tokens=3))
    assert [v["usage"]["completion_tokens"] for v in values] == [0, 1, 2, 3, 3, 3]
    assert values[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def test_openrouter_sends_comments_provider_and_its_own_cost() -> None:
    frames = chat(Flavour.OPENROUTER, {"prompt": "a b"}, tokens=2)
    assert frames[0].data == b": OPENROUTER PROCESSING\n\n"
    last = datas(frames)[-1]
    assert last["provider"] == "Sim"
    assert last["usage"]["cost"] == pytest.approx(2 * 2e-7 + 2 * 8e-7)


def test_openai_pads_unless_told_not_to() -> None:
    assert all("obfuscation" in v for v in datas(chat(Flavour.OPENAI))[:-1])
    plain = {"stream_options": {"include_obfuscation": False}}
    values = datas(chat(Flavour.OPENAI, plain))
    assert not any("obfuscation" in v or "usage" in v for v in values)
    assert values[0]["service_tier"] == "default"


@pytest.mark.parametrize("flavour", list(Flavour))
@pytest.mark.parametrize("asked", [{"tokens": 3}, {"reasoning": 2, "tokens": 3, "tool": TOOL}])
def test_stream_and_whole_answer_say_the_same(flavour: Flavour, asked: dict[str, Any]) -> None:
    plan = plan_of(**asked)
    for answer in (
        ChatAnswer(flavour, plan, ASKS_USAGE),
        MessageAnswer(flavour, plan),
        ResponsesAnswer(flavour, plan),
        TextAnswer(flavour, plan, ASKS_USAGE),
    ):
        frames = list(answer.frames())
        stated = [f.usage for f in frames if f.usage is not None]
        body, usage = answer.body()
        assert stated[-1] == usage
        assert msgspec.json.decode(body)["model"] == "sim"
        if not isinstance(answer, TextAnswer):
            assert sum(f.tokens for f in frames) == plan.total
        assert all(bool(f.tokens) == (f.kind is Kind.CONTENT) for f in frames)
        if flavour is not Flavour.OLLAMA:  # whose calls come whole
            assert max(f.tokens for f in frames) == 1


def check_message_grammar(frames: list[Frame]) -> None:
    """WIRE.md §4.4: message_start (ping | block)* message_delta+ message_stop, blocks 0, 1, 2..."""
    values = datas(frames)
    names = [v["type"] for v in values]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    open_block, count = None, 0
    for value in values[1:-2]:
        match value["type"]:
            case "content_block_start":
                assert open_block is None
                assert value["index"] == count
                open_block, count = count, count + 1
            case "content_block_delta":
                assert value["index"] == open_block
            case "content_block_stop":
                assert value["index"] == open_block
                open_block = None
            case other:
                assert other == "ping"
    assert open_block is None


@given(
    st.integers(0, 4),
    st.integers(0, 3),
    st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=9), max_size=3), max_size=2),
)
def test_anthropic_streams_keep_the_grammar(
    tokens: int, reasoning: int, calls: list[dict[str, str]]
) -> None:
    tools = [{"name": "t", "arguments": arguments} for arguments in calls]
    plan = plan_of(tokens=tokens, reasoning=reasoning, tool=tools)
    frames = list(MessageAnswer(Flavour.ANTHROPIC, plan).frames())
    check_message_grammar(frames)
    values = datas(frames)
    assert values[0]["message"]["usage"]["output_tokens"] == 1
    assert values[-2]["usage"]["output_tokens"] == plan.total
    parts = [v["delta"].get("partial_json", "") for v in values if "index" in v and "delta" in v]
    sent = "".join(parts)
    for arguments in calls:
        found, end = json.JSONDecoder().raw_decode(sent)
        assert found == arguments
        sent = sent[end:]
    assert sent == ""


def test_usage_none_leaves_no_number_anywhere() -> None:
    for flavour in Flavour:
        plan = plan_of(usage="none")
        for answer in (
            ChatAnswer(flavour, plan, ASKS_USAGE),
            MessageAnswer(flavour, plan),
            ResponsesAnswer(flavour, plan),
            TextAnswer(flavour, plan, ASKS_USAGE),
        ):
            frames = list(answer.frames())
            assert not any(f.usage for f in frames)
            assert b"_tokens" not in b"".join(f.data for f in frames)
            assert b"timings" not in b"".join(f.data for f in frames)
            assert answer.body()[1] is None


def test_a_stated_usage_is_sent_as_it_stands() -> None:
    stated = {"prompt_tokens": -3, "completion_tokens": 7, "total_tokens": True}
    last = datas(chat(Flavour.OPENAI, usage=stated))[-1]["usage"]
    assert {key: last[key] for key in stated} == stated
    frames = chat(Flavour.LLAMACPP, usage={"prompt_tokens": 90, "completion_tokens": 7})
    value = datas(frames)[-1]
    assert value["usage"]["total_tokens"] == 97
    assert (value["timings"]["prompt_n"], value["timings"]["predicted_n"]) == (90, 7)
    assert frames[-2].usage == TokenUsage(90, 7)


def test_cached_tokens_are_a_part_in_one_dialect_and_beside_in_the_other() -> None:
    body = ASKS_USAGE | {"prompt": "a b c d e"}
    usage = datas(chat(Flavour.LLAMACPP, body, cached=2))[-1]["usage"]
    assert usage["prompt_tokens"] == 5
    assert usage["prompt_tokens_details"] == {"cached_tokens": 2}
    start = next(MessageAnswer(Flavour.ANTHROPIC, plan_of(body, cached=2)).frames())
    assert datas([start])[0]["message"]["usage"]["input_tokens"] == 3
    assert start.usage == TokenUsage(5, None)


def test_prompt_tokens_are_the_words_of_all_texts_and_at_least_one() -> None:
    blocks = [{"type": "text", "text": "three more words"}, {"type": "image", "source": {}}]
    body = {"system": "two words", "messages": [{"role": "user", "content": blocks}]}
    assert read_prompt(body).tokens == 5
    assert read_prompt({}).tokens == 1
    assert read_prompt({"input": ["a b", "c"]}).tokens == 3


@pytest.mark.parametrize(
    "asked",
    [
        {"fualt": "cut"}, {"after": "two"}, {"usage": "some"}, ["cut"], {"tool": {"a": 1}},
        {"tokens": -1}, {"tokens": 99_999_999_999}, {"reasoning": 2_000_000}, {"n": 0}, {"n": 9},
        {"gap_ms": -5}, {"gap_ms": 1e99}, {"after": -1},
    ],
)  # fmt: skip
def test_a_control_that_makes_no_sense_is_refused(asked: object) -> None:
    with pytest.raises(ControlError, match="sim"):
        control_of(asked)


def test_prefixes_stack_and_the_version_may_be_missing() -> None:
    for path in ("/v1/messages", "/messages", "/api/v1/messages"):
        assert parse_target(path).endpoint == "messages"
    target = parse_target("/fault/cut/capture/chat_stream/v1/chat/completions")
    assert (target.fault, target.capture) == ("cut", "chat_stream")
    assert target.endpoint == "chat/completions"
    assert parse_target("/case/r003-cr-only/v1/messages").case == "r003-cr-only"


def play(name: str, after: int = 2, tokens: int = 5) -> list[Frame | Wait | End]:
    frames = iter(chat(Flavour.LLAMACPP, tokens=tokens))
    setting = Setting(after, b"data: {}\n\n", PING, 0.1)
    return list(itertools.islice(faulty(name, frames, setting), 40))


@pytest.mark.parametrize("name", sorted(FRAME_FAULTS))
def test_each_frame_fault_changes_the_answer(name: str) -> None:
    assert play(name) != chat(Flavour.LLAMACPP, tokens=5)


@pytest.mark.parametrize(
    ("name", "end"), [("cut", End.CLOSE), ("reset", End.RESET), ("stall", End.HOLD)]
)
@pytest.mark.parametrize(("after", "sent"), [(0, 0), (2, 2), (5, 5), (99, 5)])
def test_a_cut_comes_after_so_many_content_frames_and_before_the_finish(
    name: str, end: End, after: int, sent: int
) -> None:
    *frames, last = play(name, after)
    assert last is end
    kinds = [f.kind for f in frames if isinstance(f, Frame)]
    assert kinds == [Kind.START, *[Kind.CONTENT] * sent]


def test_a_duplicate_repeats_the_bytes_but_not_the_token() -> None:
    frames = [f for f in play("duplicate", 1) if isinstance(f, Frame)]
    assert frames[2].data == frames[3].data
    assert sum(f.tokens for f in frames) == 5


def test_a_schedule_is_absolute_and_never_runs_backwards() -> None:
    schedule = Schedule.of_ms(50, 60, 900, 20)
    assert (schedule.head, schedule.role, schedule.first) == (0.05, 0.06, 0.9)
    assert schedule.content(100) == pytest.approx(2.9)
    assert Schedule.of_ms(50, None, None, None) == Schedule(0.05, 0.05, 0.05, 0.0)
    assert Schedule.of_ms(50, 10, 20, None) == Schedule(0.05, 0.05, 0.05, 0.0)


def test_single_bytes_keep_the_books_on_the_last_byte() -> None:
    steps = list(single_bytes([Write(b"abc", 0.5, 3, 1, 1, whole=True), End.KEEP]))
    assert steps[:2] == [Write(b"a", 0.5), Write(b"b", 0.5)]
    assert steps[2:] == [Write(b"c", 0.5, 3, 1, 1, whole=True), End.KEEP]
