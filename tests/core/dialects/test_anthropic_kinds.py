"""Anthropic's models by their names: what is asked of those that take no budget of thinking."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.conversation import Reasoning, Sampling, Text, Tool, ToolChoice
from streamgauge.core.dialects.anthropic.kinds import always_thinks, takes_no_budget
from streamgauge.core.dialects.anthropic.write_request import write_request
from streamgauge.core.dialects.base import Wish

from .anthropic_requests import saying

NAMES: list[tuple[str | None, bool, bool]] = [
    ("claude-opus-4-20250514", False, False),
    ("claude-opus-4-1", False, False),
    ("claude-3-7-sonnet-20250219", False, False),
    ("claude-haiku-4-5-20251001", False, False),
    ("claude-sonnet-4-6", False, False),
    ("claude-opus-4-7", True, False),
    ("anthropic/claude-opus-4.8", True, False),
    ("claude-opus-5", True, False),
    ("claude-sonnet-5-20260601", True, False),
    ("claude-haiku-5-5", True, False),
    ("claude-opus-5-5", True, True),
    ("claude-sonnet-5-5", True, True),
    ("claude-fable-5", True, True),
    ("claude-mythos-preview", True, True),
    ("m", False, False),
    (None, False, False),
]


@pytest.mark.parametrize(("model", "no_budget", "always"), NAMES)
def test_what_a_model_takes_is_known_by_its_name(
    model: str | None, no_budget: bool, always: bool
) -> None:
    assert (takes_no_budget(model), always_thinks(model)) == (no_budget, always)


ADAPTIVE = {"thinking": {"type": "adaptive", "display": "summarized"}}
OFF = {"thinking": {"type": "disabled"}}
ROWS: list[tuple[str, Reasoning, dict[str, Any], tuple[str, ...]]] = [
    ("claude-opus-4-8", Reasoning(), {}, ()),
    ("claude-opus-4-8", Reasoning(True), ADAPTIVE, ()),
    (
        "claude-opus-4-8",
        Reasoning(effort="high"),
        {"output_config": {"effort": "high"}, **ADAPTIVE},
        (),
    ),
    (
        "claude-opus-5",
        Reasoning(True, effort="minimal"),
        {"output_config": {"effort": "low"}, **ADAPTIVE},
        (),
    ),
    (
        "claude-sonnet-5",
        Reasoning(True, 2048),
        {"output_config": {"effort": "medium"}, **ADAPTIVE},
        ("reasoning:budget",),
    ),
    ("claude-haiku-5-5", Reasoning(False, effort="high"), OFF, ()),
    ("claude-fable-5-1", Reasoning(False), {}, ("reasoning",)),
]


@pytest.mark.parametrize(("model", "reasoning", "fields", "names"), ROWS)
def test_a_model_without_budgets_is_told_an_effort(
    model: str, reasoning: Reasoning, fields: dict[str, Any], names: tuple[str, ...]
) -> None:
    asked = saying(Text("hi"), reasoning=reasoning, sampling=Sampling(9))
    told = write_request(asked, Wish("anthropic", model, True))
    body = json.loads(told.body)
    assert {key: body[key] for key in ("thinking", "output_config") if key in body} == fields
    assert told.lost == names


def test_a_model_without_budgets_is_not_asked_to_think_where_a_call_is_forced() -> None:
    asked = saying(
        Text("hi"),
        reasoning=Reasoning(effort="low"),
        tools=(Tool("ls"),),
        tool_choice=ToolChoice("any"),
    )
    told = write_request(asked, Wish("anthropic", "claude-opus-4-7", True))
    body = json.loads(told.body)
    assert ("thinking" in body, body["output_config"]) == (False, {"effort": "low"})
    assert told.lost == ("reasoning",)


@pytest.mark.parametrize(
    ("sampling", "names"),
    [
        (Sampling(9, 0.2, 0.9, 3), ("temperature", "top_p", "top_k")),
        (Sampling(9, 1, 1.0), ()),
        (Sampling(9, 1.5), ("temperature",)),
    ],
)
def test_a_model_without_budgets_is_not_told_how_to_draw(
    sampling: Sampling, names: tuple[str, ...]
) -> None:
    told = write_request(
        saying(Text("hi"), sampling=sampling), Wish("anthropic", "claude-opus-5", True)
    )
    assert json.loads(told.body).keys() == {"model", "messages", "max_tokens", "stream"}
    assert told.lost == names
