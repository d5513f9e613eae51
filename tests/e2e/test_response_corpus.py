"""Every scripted upstream answer of the corpus, through a gateway: what the client sees, and the row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_check import Check

from .stand import Answer, corpus_cases, frames_of, stand

CASES = corpus_cases()
LIMITS = {"first_token": 6, "idle": 3}
KEY = "sk-UPSTREAM-KEY"
ERROR_END = {"stream_incomplete", "upstream_error", "upstream_timeout", "upstream_protocol_error"}
QUIET = "finished_without_marker"
# Upstreams that send no legal stream and are passed on as they are: what is legal stays legal.
UNLAWFUL = frozenset(
    "r020-no-done r021-no-done-no-usage r023-last-event-unterminated r028-whole-answer-twice"
    " r031-usage-decreasing r032-usage-negative r033-usage-string r034-usage-float r035-usage-1e400"
    " r038-usage-bool r039-usage-list r043-choices-null r044-delta-missing r045-two-choices"
    " r048-bad-utf8 r049-nul-in-data r050-deep-json r063-done-spaces r133-reset-after-usage"
    " r161-no-stop r167-index-jump r168-type-event-mismatch r169-no-event-names".split()
)


def _request(case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    messages = [{"role": "user", "content": "hi"}]
    if case["proto"] == "anthropic":
        body = {"model": "sim", "max_tokens": 10, "stream": True, "messages": messages}
        return "/v1/messages", body
    options = {"include_usage": True}
    body = {"model": "sim", "stream": True, "stream_options": options, "messages": messages}
    return "/v1/chat/completions", body


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
@pytest.mark.asyncio
async def test_the_client_and_the_row_are_as_the_corpus_wants(
    case: dict[str, Any], tmp_path: Path
) -> None:
    path, body = _request(case)
    prefix = f"/case/{case['id']}"
    async with stand(tmp_path, prefix=prefix, timeouts=LIMITS, api_key=KEY) as it:
        odd = case["id"] in UNLAWFUL
        answer = await it.ask(path, body, odd=odd, content_type="application/json")
        row = await it.row(answer.id)
    _check_row(case, row)
    _check_client(case, row, answer)
    if answer.headers["content-type"].startswith("text/event-stream"):
        _check_hash(case, row, answer)


def _check_hash(case: dict[str, Any], row: dict[str, Any], answer: Answer) -> None:
    checker = Check(case["proto"], Integrity.LEDGER)
    checker.feed(answer.body)
    checker.findings()
    assert (row["frames_out"], row["stream_sha1"]) == (checker.frames, checker.stream_sha1)


def _check_row(case: dict[str, Any], row: dict[str, Any]) -> None:
    wanted = case["ledger"]
    got = {
        "status": row["status"],
        "prompt": row["input_tokens"],
        "completion": row["output_tokens"],
        "usage_source": row["usage_source"],
    }
    assert got == {key: wanted[key] for key in got}, row["anomalies"]
    if "anomaly" in wanted:
        assert wanted["anomaly"] in row["anomalies"]
    assert row["success"] is (row["status"] == "completed")
    assert row["http_status"] is not None


def _check_client(case: dict[str, Any], row: dict[str, Any], answer: Answer) -> None:
    assert answer.clean, "our own framing is always whole"
    assert KEY.encode() not in answer.body
    assert not {"set-cookie", "server", "content-encoding"} & set(answer.headers)
    status, payloads = row["status"], frames_of(answer.body)
    marker = [p for p in payloads if p.strip() == b"[DONE]" or b'"message_stop"' in p]
    if status == "completed":
        assert answer.status == 200
        assert len(marker) == 1
        return
    assert not marker, "no end marker is invented, and none follows an error"
    if answer.status != 200:
        error = answer.json()["error"]
        assert error["message"]
        assert row["http_status"] == answer.status
        _check_error_status(case, answer)
    elif QUIET in row["anomalies"]:
        assert b'"error"' not in payloads[-1]
    else:
        assert json.loads(payloads[-1])["error"], "the last thing the client gets is the error"


def _check_error_status(case: dict[str, Any], answer: Answer) -> None:
    for status in (502, 504, 429):
        if case["client"].startswith(str(status)) or case["client"].startswith(f"{status} "):
            assert answer.status == status
            return
