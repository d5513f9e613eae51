"""Which frames with data are signs of life, and which are only called so."""

from __future__ import annotations

import pytest

from streamgauge.core.pings import is_ping


@pytest.mark.parametrize("event", [b"", b"ping", b"message_start"])
@pytest.mark.parametrize(
    "payload", [b'{"type":"ping"}', b'{"type": "ping", "streamgauge": {"status": "completed"}}']
)
def test_the_type_of_a_payload_wins_over_the_event_s_name(event: bytes, payload: bytes) -> None:
    assert is_ping(payload, event)


@pytest.mark.parametrize(
    "payload",
    [b"{}", b"", b"[1]", b"no JSON", b"\xff", b'{"cost": 1, "type": "ping"}', b"[" * 5000],
)
def test_a_frame_named_a_ping_is_one_unless_it_says_otherwise(payload: bytes) -> None:
    assert is_ping(payload, b"ping")
    assert not is_ping(payload, b"")


@pytest.mark.parametrize(
    "payload",
    [b'{"type": "message_start"}', b'{"choices": []}', b'{"error": {"message": "a"}}'],
)
def test_a_frame_that_says_something_is_no_ping_whatever_it_is_named(payload: bytes) -> None:
    assert not is_ping(payload, b"ping")


def test_what_is_too_large_to_be_read_goes_by_its_name() -> None:
    assert is_ping(None, b"ping")
    assert not is_ping(None, b"")
