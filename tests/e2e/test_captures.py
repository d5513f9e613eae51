"""What a real llama.cpp server sent, through a gateway: byte for byte, and the row its own numbers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from .stand import DATA, Answer, Stand, frames_of, stand

CAPTURES = DATA / "captures"
ALL = sorted(p.stem for p in CAPTURES.glob("*_stream*.body") if p.with_suffix(".headers").exists())
STOPPED = [case for case in ALL if case.endswith("client_stop")]
STREAMS = [*(case for case in ALL if case not in STOPPED), "completions_oai"]
SPLITS = 50
N_CTX = 4096

# As it came, also where the gateway would rather translate.
NATIVE: dict[str, Any] = {"kind": "llamacpp", "messages_api": "native"}


def _request(case: str) -> tuple[str, dict[str, Any]]:
    messages = [{"role": "user", "content": "hi"}]
    body: dict[str, Any] = {"model": "chain-tiny", "stream": True, "messages": messages}
    if case.startswith("messages"):
        return "/v1/messages", body
    if case.startswith("completions"):
        return "/v1/completions", {**body, "stream_options": {"include_usage": False}}
    # The client says no to usage, so that nothing is asked for and nothing is hidden.
    return "/v1/chat/completions", {**body, "stream_options": {"include_usage": False}}


def _without_ours(body: bytes) -> bytes:
    lines = body.split(b"\n")
    return b"\n".join(line for line in lines if not line.startswith(b": streamgauge "))


def _stated(payloads: list[bytes]) -> dict[str, Any]:
    """Work out what the capture itself says, with plain JSON."""
    said: dict[str, Any] = {"usage": None, "timings": None, "finish": None}
    for payload in payloads:
        if payload.strip() == b"[DONE]":
            continue
        frame = json.loads(payload)
        for source in (frame, frame.get("message") or {}):
            if source.get("usage"):
                said["usage"] = {**(said["usage"] or {}), **source["usage"]}
        said["timings"] = frame.get("timings") or said["timings"]
        for choice in frame.get("choices") or ():
            said["finish"] = choice.get("finish_reason") or said["finish"]
        delta = frame.get("delta")
        if isinstance(delta, dict):
            said["finish"] = delta.get("stop_reason") or said["finish"]
    return said


def _check_row(row: dict[str, Any], case: str, wire: bytes) -> None:
    said = _stated(frames_of(wire))
    usage, timings = said["usage"], said["timings"]
    assert row["status"] == "completed"
    assert row["finish_reason"] == said["finish"]
    if usage is not None and "prompt_tokens" in usage:
        counts = (usage["prompt_tokens"], usage["completion_tokens"])
        source = "provider"
    elif usage is not None:
        counts = (usage["input_tokens"] + usage["cache_read_input_tokens"], usage["output_tokens"])
        source = "provider"
    else:
        counts = (timings["prompt_n"] + timings["cache_n"], timings["predicted_n"])
        source = "timings"
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"]) == (*counts, source)
    if timings is not None:
        assert row["generation_tps"] == timings["predicted_per_second"]
        assert row["prompt_ms"] == timings["prompt_ms"]
        assert row["tps_source"] == "timings"
    assert row["context_used"] == sum(counts)


@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.asyncio
async def test_a_capture_arrives_as_it_was_sent_however_it_is_split(
    case: str, tmp_path: Path
) -> None:
    wire = (CAPTURES / f"{case}.body").read_bytes()
    path, body = _request(case)
    async with stand(tmp_path, **NATIVE, prefix=f"/capture/{case}") as it:
        answers = await _ask_all(it, path, body)
        rows = [await it.row(answer.id) for answer in answers]
    for answer, row in zip(answers, rows, strict=True):
        assert _without_ours(answer.body) == wire
        assert answer.body.count(b": streamgauge {") == 1
        _check_row(row, case, wire)


async def _ask_all(it: Stand, path: str, body: dict[str, Any]) -> list[Answer]:
    asked = (it.ask(path, {**body, "sim": {"split": seed}}) for seed in range(SPLITS))
    return list(await asyncio.gather(*asked))


@pytest.mark.parametrize("case", STOPPED)
@pytest.mark.asyncio
async def test_a_capture_that_was_cut_arrives_with_an_error_end(case: str, tmp_path: Path) -> None:
    wire = (CAPTURES / f"{case}.body").read_bytes()
    whole = wire[: wire.rindex(b"\n\n") + 2]
    path, body = _request(case)
    async with stand(tmp_path, **NATIVE, prefix=f"/capture/{case}") as it:
        answers = await _ask_all(it, path, body)
        rows = [await it.row(answer.id) for answer in answers]
    content = sum(_is_content(payload) for payload in frames_of(whole))
    for answer, row in zip(answers, rows, strict=True):
        assert answer.body.startswith(whole)
        (error,) = frames_of(answer.body[len(whole) :])
        assert json.loads(error)["error"]["code"] == "stream_incomplete"
        assert (row["status"], row["usage_source"]) == ("stream_incomplete", "counted")
        assert row["output_tokens"] == content


ANSWERS = {
    "chat_nonstream": "/v1/chat/completions",
    "chat_nonstream_tool": "/v1/chat/completions",
    "messages_nonstream": "/v1/messages",
    "ok_xapikey_messages": "/v1/messages",
}
ANSWERS = {case: path for case, path in ANSWERS.items() if (CAPTURES / f"{case}.headers").exists()}


@pytest.mark.parametrize("case", ANSWERS)
@pytest.mark.asyncio
async def test_a_captured_answer_that_is_no_stream_arrives_as_it_was_sent(
    case: str, tmp_path: Path
) -> None:
    wire = (CAPTURES / f"{case}.body").read_bytes()
    body = {"model": "chain-tiny", "prompt": "hi", "messages": []}
    async with stand(tmp_path, **NATIVE, prefix=f"/capture/{case}") as it:
        answers = await _ask_all(it, ANSWERS[case], body)
        rows = [await it.row(answer.id) for answer in answers]
    said = json.loads(wire)
    usage, timings = said["usage"], said.get("timings")
    read = usage.get("prompt_tokens", usage.get("input_tokens"))
    cached = usage.get("cache_read_input_tokens")
    for answer, row in zip(answers, rows, strict=True):
        assert answer.body == wire
        assert row["status"] == "completed"
        assert row["input_tokens"] == (read if cached is None else read + cached)
        assert row["output_tokens"] == usage.get("completion_tokens", usage.get("output_tokens"))
        assert (row["ttft_ms"], row["usage_source"]) == (None, "provider")
        if timings is not None:
            assert row["generation_tps"] == timings["predicted_per_second"]


REFUSALS = sorted(
    p.stem for p in CAPTURES.glob("*_err_*.body") if p.with_suffix(".headers").exists()
)


@pytest.mark.parametrize("case", [case for case in REFUSALS if "nomaxtokens" not in case])
@pytest.mark.asyncio
async def test_a_captured_refusal_keeps_status_and_message_in_the_clients_dialect(
    case: str, tmp_path: Path
) -> None:
    said = json.loads((CAPTURES / f"{case}.body").read_bytes())["error"]
    path, body = _request(case)
    async with stand(tmp_path, **NATIVE, prefix=f"/capture/{case}") as it:
        answer = await it.ask(path, body)
        row = await it.row(answer.id)
    error = answer.json()
    assert answer.status == said["code"]
    assert error["error"]["message"] == said["message"]
    assert ("request_id" in error) is (path == "/v1/messages")
    assert (row["status"], row["error_code"]) == ("upstream_error", "upstream_error")


def _is_content(payload: bytes) -> bool:
    frame = json.loads(payload)
    texts = [choice["delta"].get("content") for choice in frame.get("choices") or ()]
    if isinstance(frame.get("delta"), dict):
        texts.append(frame["delta"].get("text"))
    return any(texts)
