"""What a request's head decides where a field comes more than once."""

from __future__ import annotations

import pytest

from streamgauge.core.errors import RequestError
from streamgauge.gateway.admission import check_content_type, read_chat
from streamgauge.gateway.http import RequestHead, request_head

JSON, LINES, EVENTS = b"application/json", b"application/x-ndjson", b"text/event-stream"
CHAT = "chat/completions"


def head(*headers: tuple[bytes, bytes]) -> RequestHead:
    return request_head("POST", f"/v1/{CHAT}", "", headers, "127.0.0.1")


@pytest.mark.parametrize(
    ("kinds", "refused"),
    [
        ((), False),
        ((JSON,), False),
        ((b"Application/JSON; charset=utf-8",), False),
        ((b"application/problem+json",), False),
        ((b"",), False),
        ((JSON, JSON), False),
        ((b"text/plain",), True),
        ((JSON, b"text/plain"), True),
        ((b"text/plain", JSON), True),
        ((b"application/json, text/plain",), True),
    ],
)
def test_every_content_type_is_json_or_the_body_is_refused(
    kinds: tuple[bytes, ...], refused: bool
) -> None:
    asked = head(*((b"content-type", kind) for kind in kinds))
    if not refused:
        return check_content_type(asked)
    with pytest.raises(RequestError) as error:
        check_content_type(asked)
    assert error.value.status == 415
    return None


@pytest.mark.parametrize(
    ("accepted", "dialect"),
    [
        ((b"application/json", LINES), "simple"),
        ((LINES, EVENTS), "openai"),
        ((EVENTS + b";q=0.5", b"*/*", LINES), "simple"),
        ((b"*/*", b"*/*"), "openai"),
    ],
)
def test_several_accept_fields_are_one_list(accepted: tuple[bytes, ...], dialect: str) -> None:
    asked = head(*((b"accept", value) for value in accepted))
    assert read_chat(asked, CHAT, b'{"model": "m"}').dialect == dialect
