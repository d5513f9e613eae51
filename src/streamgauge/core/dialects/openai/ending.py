"""How a translated answer ends in OpenAI's words: finish reason and usage. It reads no wire."""

from __future__ import annotations

from streamgauge.core.dialects.base import Telling
from streamgauge.core.dialects.finish import told_finish
from streamgauge.core.events import Finished
from streamgauge.core.usage import TokenUsage

__all__ = ["finish_of", "made_ids", "usage_members"]


def finish_of(
    finish: Finished | None, *, called: bool, refused: bool = False
) -> dict[str, str | None]:
    """Return `finish_reason` (WIRE §5.2), and in vLLM's `stop_reason` the text that stopped it."""
    told: dict[str, str | None] = {
        "finish_reason": told_finish(finish, called=called, refused=refused)
    }
    if finish is not None and finish.stop_sequence:
        told["stop_reason"] = finish.stop_sequence
    return told


def made_ids(telling: Telling, choice: int) -> str:
    """Return what the ids that we make for a choice's calls begin with: no two choices share one."""
    return f"call_{telling.id}_{choice}" if choice else f"call_{telling.id}"


def usage_members(usage: TokenUsage) -> dict[str, object] | None:
    """Return OpenAI's usage, or None while a main count is unknown: it has no word for that."""
    if usage.input is None or usage.output is None:
        return None
    members: dict[str, object] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
    read = {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write}
    stated = {key: count for key, count in read.items() if count is not None}
    if stated:
        members["prompt_tokens_details"] = stated
    if usage.reasoning is not None:
        members["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return members
