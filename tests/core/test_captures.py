"""Wires of a real llama.cpp server through an exchange: the same bytes out, their own numbers booked."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.chat import ChatRequest
from streamgauge.core.record import Status

from .playbook import MARK, Play, chat_request, last_payload

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
STREAMS = sorted(
    path.stem
    for pattern in ("chat_stream_*", "messages_stream*", "completions_oai", "completion_native")
    for path in CAPTURES.glob(f"{pattern}.body")
)
ANSWERS = sorted(
    path.stem
    for pattern in ("chat_nonstream*", "messages_nonstream*")
    for path in CAPTURES.glob(f"{pattern}.body")
)
CUT = {"chat_stream_client_stop", "messages_stream_client_stop"}
USAGE_COLUMNS = ("input_tokens", "output_tokens", "cache_read_tokens")
CONTEXT = 4096


def wire_of(case: str) -> bytes:
    return (CAPTURES / f"{case}.body").read_bytes()


def endpoint_of(case: str) -> str:
    if case.startswith("messages"):
        return "messages"
    return "completions" if case.startswith("completion") else "chat/completions"


def request_of(case: str, *, asks: bool = True, stream: bool = True) -> ChatRequest:
    endpoint = endpoint_of(case)
    more = {"stream_options": {"include_usage": True}} if asks and endpoint != "messages" else {}
    return chat_request(endpoint, stream=stream, **more)


def play_of(case: str, pieces: list[bytes], *, asks: bool = True, metadata: str = "off") -> Play:
    attempt = {"context_total": lambda: CONTEXT}
    play = Play(request_of(case, asks=asks), kind="llamacpp", attempt=attempt, metadata=metadata)
    play.stream(*pieces)
    play.do("upstream_end", "cut" if case in CUT else "complete")
    return play


# --- the capture's own numbers, read with plain json ---------------------------------------------


def objects_of(wire: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in wire.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


def usage_of(objects: list[dict[str, Any]]) -> dict[str, int | None]:
    """Return the last stated counts, in the row's terms; None where nothing was stated."""
    told: dict[str, int | None] = dict.fromkeys(USAGE_COLUMNS)
    for found in objects:
        usage = found.get("usage") or found.get("message", {}).get("usage") or {}
        cached = usage.get("prompt_tokens_details", {}).get("cached_tokens")
        if "prompt_tokens" in usage:
            told = dict(
                zip(
                    USAGE_COLUMNS,
                    (usage["prompt_tokens"], usage["completion_tokens"], cached),
                    strict=True,
                )
            )
        if "input_tokens" in usage:  # Anthropic's excludes what was cached
            told["cache_read_tokens"] = usage["cache_read_input_tokens"]
            told["input_tokens"] = usage["input_tokens"] + usage["cache_read_input_tokens"]
        if "output_tokens" in usage and found.get("type") != "message_start":
            told["output_tokens"] = usage["output_tokens"]
        if found.get("stop") is True:
            told.update(
                input_tokens=found["tokens_evaluated"], output_tokens=found["tokens_predicted"]
            )
    return told


def finish_of(objects: list[dict[str, Any]]) -> str | None:
    reasons: list[str | None] = []
    for found in objects:
        reasons += [choice.get("finish_reason") for choice in found.get("choices", [])]
        reasons += [found.get("delta", {}).get("stop_reason"), found.get("stop_reason")]
        reasons += [found["stop_type"]] if found.get("stop") is True else []
    stated = [reason for reason in reasons if reason]
    return stated[-1] if stated else None


def timings_of(objects: list[dict[str, Any]]) -> dict[str, float] | None:
    stated = [found["timings"] for found in objects if found.get("timings")]
    return stated[-1] if stated else None


def content_of(objects: list[dict[str, Any]]) -> int:
    """Return how many frames hold a non-empty text or argument."""

    def has_content(found: dict[str, Any]) -> bool:
        deltas = [choice.get("delta", choice) for choice in found.get("choices", [])]
        deltas += [found.get("delta", {})]
        texts = [d.get(k) for d in deltas for k in ("content", "text", "partial_json")]
        calls = [call for d in deltas for call in d.get("tool_calls", [])]
        texts += [call["function"].get("arguments") for call in calls]
        return any(texts)

    return sum(map(has_content, objects))


def is_usage_frame(frame: bytes) -> bool:
    return b'"choices":[],' in frame and b'"usage":{' in frame


def is_marker(frame: bytes) -> bool:
    return b"[DONE]" in frame or b'"message_stop"' in frame or b'"stop":true' in frame


def frames_of(wire: bytes) -> list[bytes]:
    return [frame + b"\n\n" for frame in wire.split(b"\n\n") if frame]


# --- bytes ---------------------------------------------------------------------------------------


def check_body(case: str, body: bytes, expected: bytes) -> None:
    if case in CUT:
        assert body.startswith(expected)
        error = body[len(expected) :]
        assert error.count(b"data: ") == 1
        assert last_payload(error)["error"]["code"] == "stream_incomplete"
    else:
        assert body == expected


@pytest.mark.parametrize("case", STREAMS)
def test_the_client_gets_the_captures_bytes_however_they_are_cut(case: str) -> None:
    wire = wire_of(case)
    whole = play_of(case, [wire])
    check_body(case, whole.body, wire)
    bytewise = play_of(case, [wire[at : at + 1] for at in range(len(wire))])
    assert bytewise.body == whole.body
    assert asdict(bytewise.row) == asdict(whole.row)


@pytest.mark.parametrize("case", [case for case in STREAMS if len(wire_of(case)) < 6000])
def test_a_cut_in_two_at_any_place_changes_nothing(case: str) -> None:
    wire = wire_of(case)
    whole = play_of(case, [wire])
    for at in range(1, len(wire)):
        play = play_of(case, [wire[:at], wire[at:]])
        assert play.body == whole.body, at
        assert play.row == whole.row, at


@pytest.mark.parametrize("case", STREAMS)
def test_a_cut_at_the_same_place_of_each_frame_changes_nothing(case: str) -> None:
    # Every place of the wire is cut once: long captures in two pieces at a time would take minutes.
    wire = wire_of(case)
    whole = play_of(case, [wire])
    frames = frames_of(wire)
    starts = [0, *itertools.accumulate(map(len, frames))]
    for offset in range(max(map(len, frames))):
        cuts = [
            start + offset
            for start, frame in zip(starts, frames, strict=False)
            if offset < len(frame)
        ]
        bounds = sorted({0, *cuts, len(wire)})
        play = play_of(case, [wire[a:b] for a, b in itertools.pairwise(bounds)])
        assert play.body == whole.body, offset
        assert play.row == whole.row, offset


@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize("framewise", [True, False])
def test_only_the_usage_frame_that_we_asked_for_is_removed(case: str, framewise: bool) -> None:
    wire = wire_of(case)
    frames = frames_of(wire)
    asked = endpoint_of(case) != "messages"
    play = play_of(case, frames if framewise else [wire], asks=False)
    assert (b"include_usage" in play.requests[0]) is asked
    expected = [frame for frame in frames if not (asked and is_usage_frame(frame))]
    check_body(case, play.body, b"".join(expected))
    assert play.row.usage_source == play_of(case, [wire]).row.usage_source


@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize("framewise", [True, False])
def test_our_metadata_is_one_line_before_the_marker(case: str, framewise: bool) -> None:
    wire = wire_of(case)
    frames = frames_of(wire)
    play = play_of(case, frames if framewise else [wire], metadata="comment")
    lines = [line for line in play.body.splitlines(keepends=True) if line.startswith(MARK)]
    if case in CUT:
        assert not lines
        return
    (line,) = lines
    before, after = play.body.split(line)
    assert before + after == wire
    assert is_marker(after)
    assert len(frames_of(after)) == 1
    told = json.loads(line[len(MARK) :])
    assert told.pop("request_id") == play.row.id
    assert {name: getattr(play.row, name) for name in told} == told


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", STREAMS)
def test_the_row_holds_the_captures_own_numbers(case: str) -> None:
    wire = wire_of(case)
    objects = objects_of(wire)
    row = play_of(case, frames_of(wire)).row
    stated, timings = usage_of(objects), timings_of(objects)
    if stated["output_tokens"] is not None:
        source = "provider"
    elif timings is not None:
        source = "timings"
        read = timings["prompt_n"] + timings["cache_n"]
        stated = dict(
            zip(USAGE_COLUMNS, (read, timings["predicted_n"], timings["cache_n"]), strict=True)
        )
    else:
        source = "counted"
        stated["output_tokens"] = content_of(objects)
    assert row.usage_source == source
    told = {name: getattr(row, name) for name in USAGE_COLUMNS}
    if case == "completion_native":  # its cache stands in the timings only
        told.pop("cache_read_tokens"), stated.pop("cache_read_tokens")
    assert told == stated
    assert row.finish_reason == finish_of(objects)
    assert row.status == (Status.STREAM_INCOMPLETE if case in CUT else Status.COMPLETED)
    assert row.frames_in == sum(line.startswith(b"data: ") for line in wire.split(b"\n"))
    assert row.anomalies == (["partial_usage"] if case == "messages_stream_client_stop" else [])
    check_speed_and_context(row, timings, stated)


def check_speed_and_context(
    row: Any, timings: dict[str, float] | None, usage: dict[str, Any]
) -> None:
    if timings is None:
        assert row.tps_source == "none", "all of it came at one instant"
        parts = (usage["input_tokens"], usage["output_tokens"])
    else:
        assert (row.prompt_tps, row.prompt_ms) == (
            timings["prompt_per_second"],
            timings["prompt_ms"],
        )
        assert row.generation_tps == timings["predicted_per_second"]
        assert (row.generation_ms, row.tps_source) == (timings["predicted_ms"], "timings")
        parts = (timings["prompt_n"] + timings["cache_n"], timings["predicted_n"])
    used = None if None in parts else sum(parts)
    assert (row.context_used, row.context_total) == (used, CONTEXT)
    assert row.context_percent == (None if used is None else round(100 * used / CONTEXT, 1))


@pytest.mark.parametrize("case", ANSWERS)
def test_a_whole_answer_passes_as_it_is_and_is_booked(case: str) -> None:
    body = wire_of(case)
    answer = json.loads(body)
    request = request_of(case, stream=False)
    attempt = {"context_total": lambda: CONTEXT}
    for at in range(0, len(body), 7):
        play = Play(request, kind="llamacpp", attempt=attempt)
        play.head(200, "application/json")
        play.data(*(piece for piece in (body[:at], body[at:]) if piece))
        play.do("upstream_end", "complete")
        assert (play.whole.status, play.whole.body) == (200, body)
    row = play.row
    assert {name: getattr(row, name) for name in USAGE_COLUMNS} == usage_of([answer])
    assert (row.usage_source, row.finish_reason) == ("provider", finish_of([answer]))
    assert (row.status, row.ttft_ms, row.anomalies) == (Status.COMPLETED, None, [])
    check_speed_and_context(row, answer.get("timings"), usage_of([answer]))


def test_there_are_captures_of_every_sort() -> None:
    assert len(STREAMS) == 18
    assert len(ANSWERS) == 3
