"""Frames and bodies that are written again keep what no encoding has a letter for."""

from __future__ import annotations

import json

import pytest

from streamgauge.core.transform.body import Changes, Form, Members, changed_body
from streamgauge.core.transform.frames import frame_with, object_in

FORM = Form("openai", "openai", "chat/completions")


@pytest.mark.parametrize("payload", [b"", b"{oops", b"[1]", b"\xff", b"[" * 100_000, b"7"])
def test_what_is_no_object_is_none(payload: bytes) -> None:
    assert object_in(payload) is None


def test_a_lone_surrogate_stays_an_escape_and_other_letters_stay_letters() -> None:
    told = frame_with(b'{"a":1,"b":2}', b"", a="\ud83d", b="ü")
    assert told == b'data: {"a":"\\ud83d","b":"\xc3\xbc"}\n\n'


class Says:
    """Sets one member."""

    def __init__(self, text: str) -> None:
        self.text = text

    def change(self, body: Members, form: Form) -> Changes:
        return {"stop": self.text}


def test_a_body_that_is_changed_keeps_a_lone_surrogate() -> None:
    told = changed_body(b'{"stop":1}', [Says("ü\ud83d")], FORM)
    assert told == b'{"stop":"\\u00fc\\ud83d"}'
    assert json.loads(told) == {"stop": "ü\ud83d"}
    assert changed_body(b'{"stop":1}', [Says("ü")], FORM) == '{"stop":"ü"}'.encode()
