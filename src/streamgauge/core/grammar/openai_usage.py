"""The rules for the `usage` object of an OpenAI chat stream. It knows nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.core.grammar.finding import Rule, Sheet, error, oddity
from streamgauge.core.grammar.values import is_count, named, shown

__all__ = ["USAGE_RULES", "judge_usage"]

USAGE_RULES: Mapping[str, Rule] = {
    "usage_type": error("`usage` is an object; its counts are whole numbers from 0 on"),
    "usage_sum": oddity("`total_tokens` is prompt and completion"),
    "usage_parts": oddity("no part of a count is larger than the count"),
    "usage_on_choice": oddity("usage stands on a chunk of its own, with `choices: []`"),
    "usage_before_finish": error("the usage chunk comes after the finish reasons"),
    "usage_early": oddity("the usage chunk comes after the finish reasons of all choices"),
    "usage_repeated": oddity("one usage chunk"),
}
_PARTS = (
    ("prompt_tokens", "prompt_tokens_details", ("cached_tokens", "cache_write_tokens")),
    ("completion_tokens", "completion_tokens_details", ("reasoning_tokens",)),
)


def judge_usage(usage: object, sheet: Sheet) -> None:
    """Note what is wrong within a usage object."""
    if not isinstance(usage, dict):
        sheet.note("usage_type", f"usage is {named(usage)}")
        return
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    total = usage.get("total_tokens")
    if not (is_count(prompt) and is_count(completion) and (total is None or is_count(total))):
        sheet.note("usage_type", f"prompt, completion, total: {shown([prompt, completion, total])}")
        return
    assert isinstance(prompt, int)
    assert isinstance(completion, int)
    if total is not None and total != prompt + completion:
        sheet.note("usage_sum", f"{total} is not {prompt} + {completion}")
    for key, details, parts in _PARTS:
        _judge_parts(usage[key], usage.get(details), parts, sheet)


def _judge_parts(whole: int, details: Any, parts: tuple[str, ...], sheet: Sheet) -> None:
    if not isinstance(details, dict):
        return
    for part in parts:
        value = details.get(part)
        if value is None:
            continue
        if not is_count(value):
            sheet.note("usage_type", f"{part} is {shown(value)}")
        elif value > whole:
            sheet.note("usage_parts", f"{part} {value} is more than {whole}")
