"""What each kind of upstream understands of OpenAI's chat dialect beyond the common part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["Traits", "nearest_effort", "traits_of"]


@dataclass(frozen=True, slots=True)
class Traits:
    """`thought`: the key of an assistant message's reasoning, None where it must not be sent.

    `details`: reasoning with signatures passes in `reasoning_details`. `effort`: how the wish to
    think is told: not at all, by `reasoning_effort`, OpenRouter's `reasoning` object, or the
    template's own words. `named_choice`: a tool can be chosen by name. `sampling`: temperature
    and the like, and stop texts, are taken. `newer`: `developer` and `max_completion_tokens`.
    `thinks_with_tools`: a request may have both tools and a wish to think.
    `strict_closed`: a schema that is open is refused where it shall be kept strictly.
    `longest_id`: of a tool call, in characters; `longest_name`: of a tool, which then also has no
    signs but `A-Za-z0-9_-`.
    """

    thought: str | None = None
    details: bool = False
    effort: Literal["none", "field", "object", "template"] = "none"
    top_k: bool = False
    files: bool = False
    cache: bool = False
    named_choice: bool = True
    tool_choice: bool = True
    sampling: bool = True
    newer: bool = False
    thinks_with_tools: bool = True
    strict_closed: bool = False
    longest_id: int | None = None
    longest_name: int | None = None
    most_stops: int | None = None


_KINDS: Mapping[str, Traits] = {
    "openai": Traits(files=True, strict_closed=True, longest_id=40, longest_name=64, most_stops=4),
    "openrouter": Traits(
        thought="reasoning",
        details=True,
        effort="object",
        top_k=True,
        files=True,
        cache=True,
        longest_name=64,
    ),
    # Its reader of tool_choice knows strings only and takes an object for "auto".
    "llamacpp": Traits(
        thought="reasoning_content", effort="template", top_k=True, named_choice=False
    ),
    "vllm": Traits(thought="reasoning", effort="template", top_k=True),
    # Its OpenAI route reads neither (WIRE §7.1).
    "ollama": Traits(thought="reasoning", effort="field", tool_choice=False),
    "sim": Traits(thought="reasoning_content", effort="field", top_k=True, files=True),
}
_REASONING_MODEL = re.compile(r"(?:.*/)?(?:o[1-9]|gpt-[5-9](?!-chat)|codex)(?:[-.].*)?")
"""OpenAI's models that think: they take other names for some fields, and refuse others."""
_THINKS_WITHOUT_TOOLS = re.compile(r"(?:.*/)?gpt-5\.(?:[4-9]|\d\d)(?!\d|-pro|-chat)(?:-.*)?")
"""Those that, in chats, refuse tools with any effort but `none`, and some with none stated."""


_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_THREE = ("low", "medium", "high")
_TAKEN: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"gpt-5-pro.*"), ("high",)),
    (re.compile(r"gpt-5\.\d+-chat.*"), ("medium",)),
    (re.compile(r"gpt-5\.\d+-pro.*"), ("medium", "high", "xhigh")),
    (re.compile(r"o[1-9].*|codex.*|gpt-5(?:\.1)?-codex(?!-max).*"), _THREE),
    (re.compile(r"gpt-5(?:-.*)?"), ("minimal", *_THREE)),
    (re.compile(r"gpt-5\.1(?!-codex-max)(?:-.*)?"), ("none", *_THREE)),
    (re.compile(r"gpt-5\.\d+-codex.*"), (*_THREE, "xhigh")),
    (re.compile(r"gpt-5\..*"), ("none", *_THREE, "xhigh")),
)
"""What OpenAI's models take, the first that fits: another is refused. Of later ones none is known."""


def nearest_effort(kind: str, model: str | None, effort: str) -> str:
    """Return the effort next to `effort` that OpenAI's model takes; off is only what was off."""
    if kind != "openai" or model is None:
        return effort
    name = model.rpartition("/")[2]
    taken = next((found for known, found in _TAKEN if known.fullmatch(name)), _EFFORTS)
    if effort in taken:
        return effort
    wanted = _EFFORTS.index(effort)
    thinking = [each for each in taken if each != "none"]
    return min(thinking, key=lambda each: abs(_EFFORTS.index(each) - wanted))


def traits_of(kind: str, model: str | None) -> Traits:
    """Return what an upstream of `kind` understands when it is asked for `model`."""
    traits = _KINDS.get(kind, _KINDS["openai"])
    if traits is _KINDS["openai"] and model is not None and _REASONING_MODEL.fullmatch(model):
        both = _THINKS_WITHOUT_TOOLS.fullmatch(model) is None
        return replace(traits, effort="field", sampling=False, newer=True, thinks_with_tools=both)
    return traits
