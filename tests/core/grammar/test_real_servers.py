"""What a real llama.cpp server sent, and what the official SDKs read, is legal for the checkers."""

from __future__ import annotations

from pathlib import Path

import anthropic
import openai
import pytest

from streamgauge.core.grammar import Level, check

from ...grammar_check import OURS, faults_of, legal
from ..dialects.sdk import chunks, message
from .streams import DONE, OPENAI, ROLE, STOP, said
from .streams import chunk as chunk_of
from .test_anthropic import LEGAL as ANTHROPIC_LEGAL
from .test_openai import BROKEN
from .test_openai import LEGAL as OPENAI_LEGAL

CAPTURES = Path(__file__).parents[2] / "data" / "captures"
CUT = {"chat_stream_client_stop": "done_missing", "messages_stream_client_stop": "stop_missing"}
STREAMS = [
    *(("openai", path.stem) for path in sorted(CAPTURES.glob("chat_stream_*.body"))),
    *(("anthropic", path.stem) for path in sorted(CAPTURES.glob("messages_stream*.body"))),
]
READ_AS_ERRORS = {"an error", "an error at once"}


@pytest.mark.parametrize(("protocol", "case"), STREAMS, ids=[case for _, case in STREAMS])
def test_what_a_real_server_sent_is_legal_unless_it_was_cut(protocol: str, case: str) -> None:
    found = check(protocol, (CAPTURES / f"{case}.body").read_bytes())
    errors = {finding.rule for finding in found if finding.level is Level.ERROR}
    assert errors - {"finish_missing"} == ({CUT[case]} if case in CUT else set())


@pytest.mark.parametrize("name", OPENAI_LEGAL)
def test_openais_sdk_reads_what_is_legal(name: str) -> None:
    stream = b"".join(OPENAI_LEGAL[name])
    if name in READ_AS_ERRORS:
        with pytest.raises(openai.APIError, match="boom"):
            chunks(stream)
    else:
        assert all(read.choices is not None for read in chunks(stream))


@pytest.mark.parametrize("name", ANTHROPIC_LEGAL)
def test_anthropics_sdk_reads_what_is_legal(name: str) -> None:
    stream = b"".join(ANTHROPIC_LEGAL[name])
    if name in READ_AS_ERRORS:
        with pytest.raises(anthropic.APIStatusError, match="boom"):
            message(stream)
    elif name not in (
        "cut arguments",
        "refused in a call",
    ):  # it parses them and raises, as nothing can help
        assert message(stream).stop_reason is not None


@pytest.mark.parametrize("rule", ["empty_event", "bad_json", "done_padded"])
def test_what_openais_sdk_fails_on_is_an_error(rule: str) -> None:
    for broken, pieces in BROKEN:
        if broken == rule and b"NaN" not in b"".join(pieces) and b'"id":"c","id"' not in pieces[1]:
            with pytest.raises(ValueError):  # noqa: PT011 - a JSONDecodeError or its kind
                chunks(b"".join(pieces))


def test_the_helper_for_tests_fails_on_errors_and_where_asked_on_oddities() -> None:
    legal("openai", b"".join(OPENAI))
    odd = b"".join((ROLE, chunk_of(said(content="a"), model="n"), STOP, DONE))
    legal("openai", odd)
    assert [f.rule for f in faults_of("openai", odd, OURS)] == ["model_changed"]
    with pytest.raises(AssertionError, match="model_changed"):
        legal("openai", odd, OURS)
    with pytest.raises(AssertionError, match="finish_missing"):
        legal("openai", ROLE + DONE)
