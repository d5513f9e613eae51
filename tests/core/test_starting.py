"""How an exchange begins: what the open rows hold, and which options go upstream (SPEC §3.1, §8.1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.chat import read_chat_request
from streamgauge.core.record import AttemptRecord, ExchangeRecord, Status
from streamgauge.core.starting import asks_usage, new_attempt_record, new_record, running_option
from streamgauge.core.transform.chain import Chain
from streamgauge.core.transform.mid_system import MidSystem
from streamgauge.core.transform.strip_attribution import StripAttribution

from .playbook import Play, chat_request, request_of

SAID_NO = {"stream_options": {"include_usage": False}}
SAID_YES = {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("endpoint", "stream", "said", "attempt", "asks"),
    [
        ("chat/completions", True, {}, {}, True),
        ("completions", True, {}, {}, True),
        ("responses", True, {}, {}, False),
        ("messages", True, {}, {}, False),
        ("chat/completions", False, {}, {}, False),
        ("chat/completions", True, {}, {"inject_usage": "false"}, False),
        ("chat/completions", True, {}, {"inject_usage": "force"}, True),
        ("chat/completions", True, {}, {"refuses_usage": True}, False),
        ("chat/completions", True, SAID_YES, {}, False),
        ("chat/completions", True, SAID_YES, {"inject_usage": "force"}, False),
        ("chat/completions", True, SAID_NO, {}, False),
        ("chat/completions", True, SAID_NO, {"inject_usage": "force"}, True),
        (
            "chat/completions",
            True,
            SAID_NO,
            {"inject_usage": "force", "refuses_usage": True},
            False,
        ),
    ],
)
def test_usage_is_asked_for_where_the_client_did_not_and_the_upstream_knows_it(
    endpoint: str, stream: bool, said: dict[str, Any], attempt: dict[str, Any], asks: bool
) -> None:
    request = chat_request(endpoint, stream=stream, **said)
    assert asks_usage(Attempt("up", "openai", "m", **attempt), request) is asks


@pytest.mark.parametrize("said", [{}, SAID_YES, SAID_NO])
@pytest.mark.parametrize(
    ("dialect", "stream", "attempt", "asks"),
    [
        ("openai", True, {}, True),
        ("openai", True, {"inject_usage": "force"}, True),
        ("openai", True, {"inject_usage": "false"}, False),
        ("openai", True, {"refuses_usage": True}, False),
        ("openai", False, {}, False),
        ("anthropic", True, {}, False),
        ("ollama", True, {"inject_usage": "force"}, False),
    ],
)
def test_a_translation_asks_for_usage_whatever_the_client_said(
    dialect: Any, stream: bool, attempt: dict[str, Any], asks: bool, said: dict[str, Any]
) -> None:
    told = Attempt("up", "openai", "m", dialect, **attempt)
    assert asks_usage(told, chat_request(stream=stream, **said)) is asks


MID = {"role": "system", "content": "mid"}
BILLING = "x-anthropic-billing-header: cc"


@pytest.mark.parametrize(
    ("attempt", "kind", "members"),
    [
        ({}, "llamacpp", {"timings_per_token": None, "stream": True, "system": 2, "billed": True}),
        ({"running_usage": True}, "llamacpp", {"timings_per_token": True}),
        ({"running_usage": True}, "openai", {"timings_per_token": None}),
        ({"transformers": Chain(prompt=(MidSystem(),))}, "openai", {"system": 1}),
        ({"transformers": Chain(prompt=(StripAttribution(),))}, "openai", {"billed": False}),
    ],
)
def test_the_settings_of_an_upstream_reach_the_writer_of_its_requests(
    attempt: dict[str, Any], kind: str, members: dict[str, Any]
) -> None:
    turn = {"role": "user", "content": "hi"}
    system = [{"type": "text", "text": BILLING}, {"type": "text", "text": "be kind"}]
    request = request_of("anthropic", system=system, messages=[turn, MID, turn])
    play = Play(request, kind=kind, attempt={"dialect": "openai", **attempt})
    play.connect()
    body = json.loads(play.requests[0])
    roles = [message["role"] for message in body["messages"]]
    written = {
        "timings_per_token": body.get("timings_per_token"),
        "stream": body["stream"],
        "system": roles.count("system"),
        "billed": BILLING in play.requests[0].decode(),
    }
    assert members.items() <= written.items()


@pytest.mark.parametrize(
    ("kind", "stream", "attempt", "option"),
    [
        ("llamacpp", True, {"running_usage": True}, "llamacpp"),
        ("vllm", True, {"running_usage": True}, "vllm"),
        ("openai", True, {"running_usage": True}, None),
        ("vllm", True, {}, None),
        ("vllm", False, {"running_usage": True}, None),
        ("llamacpp", True, {"running_usage": True, "refuses_usage": True}, None),
    ],
)
def test_running_counts_are_asked_of_those_that_have_them(
    kind: str, stream: bool, attempt: dict[str, Any], option: str | None
) -> None:
    asked = running_option(Attempt("up", kind, "m", **attempt), chat_request(stream=stream))
    assert asked == option


def test_the_open_rows_hold_all_that_is_known_before_the_first_byte() -> None:
    raw = b'{"model":"asked","stream":true}'
    request = read_chat_request("completions", raw, {b"x-session-id": "s"}.get)
    first, second = Attempt("one", "openai", "m1"), Attempt("two", "vllm", "m2")
    facts = Facts(
        "id",
        "owner",
        7,
        request,
        (first, second),
        "models:one",
        client_request_id="c",
        client_app="app",
        key_id="k",
        config_version="v",
    )
    assert new_record(facts, facts.attempts[0]) == ExchangeRecord(
        id="id",
        owner="owner",
        started_at=7,
        client_request_id="c",
        key_id="k",
        session_id="s",
        client_app="app",
        dialect="openai",
        endpoint="completions",
        streaming=True,
        requested_model="asked",
        upstream="one",
        upstream_model="m1",
        route="models:one",
        status=Status.IN_FLIGHT,
        attempts=1,
        config_version="v",
    )
    assert new_attempt_record(facts, 2, second, 9) == AttemptRecord(
        request_id="id", n=2, upstream="two", dialect="openai", model="m2", started_at=9
    )
