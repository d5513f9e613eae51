"""Decides how an Anthropic model is asked to think, and what else it then refuses (WIRE §5.4)."""

from __future__ import annotations

from typing import Any

from streamgauge.core.conversation import Conversation, Reasoning
from streamgauge.core.dialects.anthropic.kinds import always_thinks, takes_no_budget
from streamgauge.core.dialects.efforts import budget_of, effort_of
from streamgauge.core.dialects.losses import Loss, Losses

__all__ = ["add_thinking", "room_of"]

Members = dict[str, Any]

_ROOM = 4096
"""Tokens of an answer that nobody bounds, beside those of its thinking."""
_LEAST_BUDGET = 1024
"""Anthropic takes no smaller one, and none that is not below max_tokens."""
_LEAST_TOP_P = 0.95
_THOUGHTS = ("thinking", "redacted_thinking")


def add_thinking(
    body: Members, conversation: Conversation, model: str | None, losses: Losses
) -> None:
    """Add `thinking`, the effort and `max_tokens` to `body`, whose messages stand already.

    An effort of OpenAI's becomes a budget, but for models that take none; a conversation that says
    «adaptive» stays so. Where Anthropic would refuse to think (a forced call, a tool loop whose
    reasoning has no signature, no room below max_tokens) it is not asked to.
    """
    reasoning = conversation.reasoning
    room = body["max_tokens"] = room_of(conversation)
    if takes_no_budget(model):
        _drop_draws(body, losses)
        _add_adaptive(body, reasoning, always=always_thinks(model), losses=losses)
        return
    budget = _budget(reasoning)
    if reasoning.enabled is False:
        body["thinking"] = {"type": "disabled"}
        return
    if reasoning.effort is not None and reasoning.enabled is True:
        _add_effort(body, reasoning.effort)
    adaptive = reasoning.enabled is True and budget is None
    if budget is None and not adaptive:
        return
    if _forces_call(body) or (budget is not None and (room <= _LEAST_BUDGET or _bare_loop(body))):
        losses.note(Loss.REASONING)
        return
    if budget is None:
        body["thinking"] = {"type": "adaptive"}
    else:
        fitting = min(budget, max(_LEAST_BUDGET, room // 2)) if budget >= room else budget
        body["thinking"] = {"type": "enabled", "budget_tokens": max(fitting, _LEAST_BUDGET)}
    _drop_refused(body, losses)


def _drop_draws(body: Members, losses: Losses) -> None:
    """Leave out how an answer is drawn: a model that takes no budget takes only what is usual."""
    for loss in (Loss.TEMPERATURE, Loss.TOP_P):
        losses.note(loss, body.pop(str(loss), 1) != 1)
    losses.note_stated(Loss.TOP_K, body.pop("top_k", None))


def _add_adaptive(body: Members, reasoning: Reasoning, *, always: bool, losses: Losses) -> None:
    effort = effort_of(reasoning)
    if reasoning.enabled is False:
        losses.note(Loss.REASONING, always)
        body |= {} if always else {"thinking": {"type": "disabled"}}
        return
    if effort is None and reasoning.enabled is None:
        return
    losses.note_stated(Loss.REASONING_BUDGET, reasoning.budget)
    if effort is not None:
        _add_effort(body, effort)
    if _forces_call(body):
        losses.note(Loss.REASONING)
    else:
        # These models keep what they think to themselves unless they are asked for it.
        body["thinking"] = {"type": "adaptive", "display": "summarized"}


def _add_effort(body: Members, effort: str) -> None:
    told = "low" if effort == "minimal" else effort  # there is no less
    body.setdefault("output_config", {})["effort"] = told


def room_of(conversation: Conversation) -> int:
    """Return the `max_tokens` that are asked for: Anthropic's API takes no request without."""
    stated = conversation.sampling.max_tokens
    return _ROOM + (_budget(conversation.reasoning) or 0) if stated is None else stated


def _budget(reasoning: Reasoning) -> int | None:
    if reasoning.budget is not None:
        return reasoning.budget
    if reasoning.enabled is None and reasoning.effort is not None:
        return budget_of(reasoning.effort)
    return None


def _forces_call(body: Members) -> bool:
    return body.get("tool_choice", {}).get("type") in ("any", "tool")


def _bare_loop(body: Members) -> bool:
    """Return whether the last call's turn lacks the reasoning that led to it."""
    turns = [turn["content"] for turn in body["messages"] if turn["role"] == "assistant"]
    said: list[Members] = turns[-1] if turns else []
    calls = any(block["type"] == "tool_use" for block in said)
    return calls and said[0]["type"] not in _THOUGHTS


def _drop_refused(body: Members, losses: Losses) -> None:
    if body.pop("temperature", 1) != 1:
        losses.note(Loss.TEMPERATURE)
    if body.pop("top_k", None) is not None:
        losses.note(Loss.TOP_K)
    if body.get("top_p", 1) < _LEAST_TOP_P:
        del body["top_p"]
        losses.note(Loss.TOP_P)
