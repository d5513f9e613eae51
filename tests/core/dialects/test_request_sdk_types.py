"""What we write is what the official SDKs call a request of their dialect."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError

from .request_cases import WRITERS, full_anthropic, full_openai, read, recorded, write

OPENAI: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsStreaming)
ANTHROPIC: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsStreaming)
CASES = [
    *(case for case in recorded() if "count_tokens" not in case[1]),
    ("full_anthropic", "/v1/messages", full_anthropic()),
    ("full_openai", "/v1/chat/completions", full_openai()),
]
TARGETS = [target for target in WRITERS if target != "ollama"]  # it has no such types


def check(target: str, body: Any) -> None:
    """Raise ValidationError where `body` is not of the SDK's type. Its lists are read lazily."""
    walk((ANTHROPIC if target.startswith("anthropic") else OPENAI).validate_python(body))


def walk(value: Any) -> None:
    if isinstance(value, dict):
        for member in value.values():
            walk(member)
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for member in value:
            walk(member)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("path", "body"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_every_translated_request_fits_the_sdks_types(
    path: str, body: dict[str, Any], target: str
) -> None:
    check(target, json.loads(write(target, read(path, body)).body))


@pytest.mark.parametrize("target", TARGETS)
def test_the_types_notice_what_does_not_fit(target: str) -> None:
    body = json.loads(write(target, read("/v1/messages", full_anthropic())).body)
    for place, value in (
        ("role", "robot"),
        ("content", 3),
        ("content", [{"type": "image", "source": 1}]),
    ):
        wrong = copy.deepcopy(body)
        wrong["messages"][1][place] = value
        with pytest.raises(ValidationError):
            check(target, wrong)
