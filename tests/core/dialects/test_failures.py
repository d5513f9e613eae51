"""Error objects in every shape: which words, which label, which status (WIRE §2.4, FAULTS S11)."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.core.dialects.failures import MAX_MESSAGE, NO_MESSAGE, failure_of, is_failure
from streamgauge.core.events import Failed


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"status": 429}, 429),
        ({"status": "429"}, 429),
        ({"code": 503}, 503),
        ({"code": "503"}, 503),
        ({"status_code": 400}, 400),
        ({"status": 599}, 599),
        ({"status": 600}, None),
        ({"status": 399}, None),
        ({"status": "4290"}, None),
        ({"status": "42900000"}, None),
        ({"status": "429" + "0" * 5000}, None),
        ({"status": "-429"}, None),
        ({"status": "٤٢٩"}, None),
        ({"status": "42.9"}, None),
        ({"status": True}, None),
        ({"status": 429.0}, None),
        ({"status": 200, "code": 500}, 500),
        ({"status": "x", "status_code": 500}, 500),
        ({"status": 401, "code": 500}, 401),
        ({"code": 401, "status_code": 500}, 401),
        ({"type": "overloaded_error"}, 529),
        ({"code": "overloaded_error"}, 529),
        ({"type": "rate_limit_error", "code": "overloaded_error"}, 429),
        ({"type": "x", "code": "server_error"}, 500),
        ({"type": "rate_limit_error", "status": 500}, 500),
        ({"type": "x"}, None),
        ({}, None),
    ],
)
def test_the_status_is_a_number_of_an_error_or_what_a_known_type_stands_for(
    members: dict[str, Any], status: int | None
) -> None:
    assert failure_of({"message": "m", **members}).status == status


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("invalid_request_error", 400),
        ("exceed_context_size_error", 400),
        ("authentication_error", 401),
        ("billing_error", 402),
        ("permission_error", 403),
        ("not_found_error", 404),
        ("request_too_large", 413),
        ("rate_limit_error", 429),
        ("rate_limit_exceeded", 429),
        ("insufficient_quota", 429),
        ("server_error", 500),
        ("api_error", 500),
        ("not_supported_error", 501),
        ("unavailable_error", 503),
        ("timeout_error", 504),
        ("overloaded_error", 529),
    ],
)
def test_each_known_type_has_its_status(kind: str, status: int) -> None:
    assert failure_of({"type": kind}) == Failed(NO_MESSAGE, kind, None, status)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("a", "a"),
        ("", NO_MESSAGE),
        (None, NO_MESSAGE),
        (7, NO_MESSAGE),
        (["a", "", 7, "b"], "a; b"),
        ({"message": "a", "detail": "b"}, "a"),
        ({"message": "", "detail": "b"}, "b"),
        ({"message": 7, "error": "c"}, "c"),
        ({"msg": "d"}, "d"),
        ({"description": "e"}, "e"),
        ({"detail": "b", "error": "c"}, "b"),
        ({"error": "c", "msg": "d"}, "c"),
        ({"msg": "d", "description": "e"}, "d"),
        ({"detail": [{"msg": "a"}, {"message": "b"}, {"x": "c"}, "d", {"msg": 7}]}, "a; b; d"),
        ({"detail": [{"msg": "a", "message": "b"}]}, "a"),
        ({"detail": {"msg": "a"}}, "a"),
        ({"error": {"message": "a"}, "message": "b"}, "a"),
        ({"type": "error", "error": {"detail": "a"}}, "a"),
        ({"message": "a\0b"}, "ab"),
        ({"message": "\ud800"}, "\ufffd"),
    ],
)
def test_the_message_is_the_first_that_has_words(error: object, message: str) -> None:
    assert failure_of(error).message == message


@pytest.mark.parametrize(
    ("value", "label"),
    [("a", "a"), ("", None), ("\0", None), ("a\0", "a"), (7, "7"), (True, None), (None, None)],
)
def test_type_and_code_are_labels(value: object, label: str | None) -> None:
    failed = failure_of({"message": "m", "type": value, "code": value})
    assert (failed.type, failed.code) == (label, label)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("key sk-12345678.", "key [redacted]"),
        ("key sk-1234567", "key sk-1234567"),
        ("pk_abcdefgh rk-abcdefgh gsk_abcdefgh hf_abcdefgh xai-abcdefgh", "[redacted] " * 5),
        ("ask-12345678", "ask-12345678"),
        ("Bearer abcdefgh", "[redacted]"),
        ("bearer  abcdef/+~", "[redacted]"),
        ("bearer abcdefg", "bearer abcdefg"),
        ("http://me:secret@host/x", "http://[redacted]@host/x"),
        ("http://host:80/x@y", "http://host:80/x@y"),
    ],
)
def test_no_message_shows_what_looks_like_a_key(said: str, shown: str) -> None:
    assert failure_of(said).message == shown.rstrip()


def test_a_message_is_bounded_and_a_key_behind_the_bound_cannot_be_cut_into_view() -> None:
    assert MAX_MESSAGE == 2000
    assert failure_of("x" * 9000).message == "x" * MAX_MESSAGE
    said = "y" * (MAX_MESSAGE - 4) + " sk-" + "1" * 40
    assert failure_of(said).message == ("y" * (MAX_MESSAGE - 4) + " [redacted]")[:MAX_MESSAGE]


@pytest.mark.parametrize(
    ("value", "failure"),
    [(None, False), (False, False), ("", False), (True, True), (0, True), ({}, True), ("a", True)],
)
def test_null_false_and_no_text_are_no_error(value: object, failure: bool) -> None:
    assert is_failure(value) is failure


def test_what_a_failure_without_words_says() -> None:
    assert NO_MESSAGE == "the upstream reported an error without a message"
