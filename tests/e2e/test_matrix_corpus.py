"""Every scripted upstream answer of the corpus, translated: a legal stream, and the row as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ..grammar_check import OURS, legal
from .stand import Answer, corpus_cases, frames_of, stand

LIMITS = {"first_token": 6, "idle": 3}
KEY = "sk-UPSTREAM-KEY"
CASES = corpus_cases()
QUIET = "finished_without_marker"
FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
SLOW = frozenset(
    "r067-100k-tiny-events r080-50mb-no-newline r081-50mb-event-many-lines r083-comment-flood"
    " r136-hang-before-header r137-hang-after-header r138-hang-mid r139-hang-after-done"
    " r140-drip-header r141-drip-body r142-ping-forever".split()
)
"""Cases of seconds each: of them, and of a second client each, the long run takes care."""

pytestmark = [pytest.mark.asyncio]


def _request(client: str) -> tuple[str, dict[str, Any]]:
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "sim", "max_tokens": 10, "stream": True, "messages": messages}
    if client == "anthropic":
        return "/v1/messages", body
    path = "/v1/chat/completions"
    body["stream_options"] = {"include_usage": True}
    return (path if client == "openai" else f"{path}?protocol={client}"), body


def _pairs() -> list[Any]:
    others = {"openai": ("anthropic", "simple", "frames"), "anthropic": ("openai", "frames")}
    pairs = []
    for number, case in enumerate(CASES):
        clients = others[case["proto"]]
        if not FULL:
            clients = () if case["id"] in SLOW else (clients[number % len(clients)],)
        pairs += [pytest.param(case, client, id=f"{case['id']}-{client}") for client in clients]
    return pairs


@pytest.mark.parametrize(("case", "client"), _pairs())
async def test_an_odd_answer_is_translated_into_a_legal_one(
    case: dict[str, Any], client: str, tmp_path: Path
) -> None:
    path, body = _request(client)
    prefix, kind = f"/case/{case['id']}", case["proto"]
    async with stand(tmp_path, prefix=prefix, kind=kind, timeouts=LIMITS, api_key=KEY) as it:
        answer = await it.ask(path, body, odd=True, content_type="application/json")
        row = await it.row(answer.id)
    check_row(case, row)
    assert answer.clean, "our own framing is always whole"
    assert KEY.encode() not in answer.body
    check_client(client, row, answer)


def check_row(case: dict[str, Any], row: dict[str, Any]) -> None:
    """Check the row against what the corpus wants of it."""
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


def check_client(client: str, row: dict[str, Any], answer: Answer) -> None:
    """Check that the stream is legal, and ends as its row does."""
    if answer.status != 200:
        assert answer.json()["error"]["message"]
        assert row["http_status"] == answer.status
        return
    legal(client, answer.body, OURS)
    marked = b"[DONE]" in answer.body or b'"type":"message_stop"' in answer.body
    if client in ("simple", "frames"):
        marked = b'"error":' not in _payloads(client, answer)[-1]
    assert marked is (row["status"] == "completed" or QUIET in row["anomalies"])
    assert row["frames_out"] == len(_payloads(client, answer))


def _payloads(client: str, answer: Answer) -> list[bytes]:
    found = answer.body.splitlines() if client == "simple" else frames_of(answer.body)
    return [p for p in found if not p.startswith(b'{"type":"ping"')]
