"""What an answer's head promises, and how much of a body is collected (F34, F35)."""

from __future__ import annotations

import pytest

from streamgauge.core.answer import (
    BODY_LIMIT,
    REFUSAL_LIMIT,
    UNASKED,
    Answer,
    AnswerKind,
    answer_kind,
)
from streamgauge.core.verdict import Verdict

STREAM, WHOLE, REFUSED = AnswerKind.STREAM, AnswerKind.WHOLE, AnswerKind.REFUSED
SSE, JSON = "text/event-stream", "application/json"


@pytest.mark.parametrize(
    ("status", "content_type", "streaming", "kind"),
    [
        (200, SSE, True, STREAM),
        (200, "Text/Event-Stream; charset=utf-8", True, STREAM),
        (200, f" {SSE} ;x", True, STREAM),
        (201, SSE, True, STREAM),
        (200, None, True, STREAM),
        (200, "", True, STREAM),
        (200, JSON, True, WHOLE),
        (200, "application/json;charset=utf-8", False, WHOLE),
        (200, "application/problem+json", False, WHOLE),
        (200, None, False, WHOLE),
        (200, SSE, False, WHOLE),
        (400, JSON, True, REFUSED),
        (404, "text/html", False, REFUSED),
        (429, SSE, True, REFUSED),
        (599, None, True, REFUSED),
    ],
)
def test_the_head_promises_a_kind_of_body(
    status: int, content_type: str | None, streaming: bool, kind: AnswerKind
) -> None:
    assert answer_kind(status, content_type, streaming) is kind


@pytest.mark.parametrize(
    ("status", "content_type", "streaming", "verdict"),
    [
        (200, "text/html", True, "upstream_protocol_error"),
        (200, "text/html; charset=x", False, "upstream_protocol_error"),
        (200, "application/x-ndjson", True, "upstream_protocol_error"),
        (200, "application/jsonx", True, "upstream_protocol_error"),
        (200, "application/jsonl", False, "upstream_protocol_error"),
        (204, SSE, True, "upstream_protocol_error"),
        (101, None, True, "upstream_protocol_error"),
        (199, JSON, False, "upstream_protocol_error"),
        (300, JSON, True, "upstream_error"),
        (302, None, True, "upstream_error"),
        (399, "text/html", False, "upstream_error"),
    ],
)
def test_what_was_not_asked_for_is_a_502(
    status: int, content_type: str | None, streaming: bool, verdict: str
) -> None:
    found = answer_kind(status, content_type, streaming)
    assert isinstance(found, Verdict)
    assert found.error is not None
    assert (found.status, found.error.status, found.error.code) == (verdict, 502, verdict)


def test_lines_of_json_that_nobody_asked_for_are_no_document() -> None:
    assert answer_kind(200, "application/x-ndjson", streaming=False, lines=True) is UNASKED
    assert answer_kind(200, SSE, streaming=False) is WHOLE


def test_a_long_content_type_is_not_told_whole() -> None:
    found = answer_kind(200, "x/" + "y" * 5000, streaming=True)
    assert isinstance(found, Verdict)
    assert found.error is not None
    assert len(found.error.message) < 200


@pytest.mark.parametrize(("kind", "limit"), [(WHOLE, BODY_LIMIT), (REFUSED, REFUSAL_LIMIT)])
def test_a_body_is_collected_up_to_its_limit(kind: AnswerKind, limit: int) -> None:
    answer = Answer(kind, 200, JSON, None)
    assert answer.collect(b"x" * (limit - 1))
    assert answer.collect(b"y")
    assert not answer.collect(b"z")
    assert answer.body.startswith(b"x")
    assert len(answer.body) == limit + 1


def test_the_limits_are_those_of_the_specification() -> None:
    assert (BODY_LIMIT, REFUSAL_LIMIT) == (32 * 2**20, 64 * 2**10)
