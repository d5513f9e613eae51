"""Who says a message, whatever stands where a role should."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.transform.body import Form
from streamgauge.core.transform.turns import is_system

from ..playbook import Play, chat_request
from .chains import chain


@pytest.mark.parametrize(("role", "openai", "anthropic"), [
    ("system", True, True), ("developer", True, False), ("user", False, False),
    (None, False, False), (["system"], False, False), ({}, False, False), (1, False, False),
])  # fmt: skip
def test_only_a_word_is_a_role(role: Any, openai: bool, anthropic: bool) -> None:
    for dialect, told in (("openai", openai), ("anthropic", anthropic)):
        assert is_system({"role": role}, Form(dialect, "llamacpp", "chat/completions")) is told  # type: ignore[arg-type]


@pytest.mark.parametrize("role", [["system"], {}])
def test_a_request_with_an_odd_role_goes_to_a_local_upstream_as_it_came(role: Any) -> None:
    messages = [{"role": "system", "content": "s"}, {"role": role, "content": "x"}]
    request = chat_request(messages=messages, stream=False)
    play = Play(request, kind="llamacpp", attempt={"transformers": chain("llamacpp", [])})
    play.connect()
    assert play.requests == [request.raw]


def test_a_turn_without_content_behind_a_system_message_adds_nothing_to_it() -> None:
    said = {"role": "user", "content": "hi"}
    messages = [said, {"role": "assistant", "content": "yes"}, {"role": "system", "content": "s"}]
    request = chat_request(messages=[*messages, {"role": "user"}], stream=False)
    play = Play(request, kind="llamacpp", attempt={"transformers": chain("llamacpp", [])})
    play.connect()
    (sent,) = play.requests
    reminder = {"type": "text", "text": "<system-reminder>\ns\n</system-reminder>"}
    assert json.loads(sent)["messages"] == [*messages[:2], {"role": "user", "content": [reminder]}]
