"""Bounds how long an answer may become (SPEC §14.6). It knows no price."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamgauge.core.conversation import Conversation
from streamgauge.core.transform.body import REMOVED, Changes, Form, Members

__all__ = ["MaxTokens"]

_KEYS: Mapping[str, tuple[str, ...]] = {
    "chat/completions": ("max_tokens", "max_completion_tokens"),
    "completions": ("max_tokens",),
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
}
"""What an endpoint calls it; the first is used where none is stated."""
_LLAMA_CPP = "n_predict"
"""llama.cpp's own name of it, which it also reads in requests of OpenAI's dialect, before theirs."""
_NUMBER = re.compile(r"[+-]?[0-9](_?[0-9]){0,17}(\.[0-9]*)?")
_UNBOUNDED = -1
_LEAST_BUDGET = 1024
"""Anthropic takes no smaller budget of thinking, and none that is not below max_tokens."""


@dataclass(frozen=True, slots=True)
class MaxTokens:
    """At most `cap` tokens, and `default` (else `cap`) where the client states none."""

    cap: int | None = None
    default: int | None = None

    def bound(self, stated: int | None) -> int | None:
        """Return what to ask for; None where nothing is stated and nothing is set."""
        wanted = self.default if stated is None else stated
        if wanted is None or self.cap is None:
            return self.cap if wanted is None else wanted
        return min(wanted, self.cap)

    def converse(self, conversation: Conversation) -> Conversation:
        """Return the conversation with its limit bounded."""
        sampling = conversation.sampling
        bounded = self.bound(sampling.max_tokens)
        if bounded == sampling.max_tokens:
            return conversation
        return replace(conversation, sampling=replace(sampling, max_tokens=bounded))

    def change(self, body: Members, form: Form) -> Changes:
        """Return the limits that differ. What no server reads as a number is the upstream's to refuse."""
        keys = _KEYS.get(form.endpoint, ())
        named = (*keys, _LLAMA_CPP) if keys and form.kind == "llamacpp" else keys
        stated = [key for key in named if body.get(key) is not None]
        if keys and not stated:
            newer = form.kind == "openai" and form.endpoint == "chat/completions"
            bounded = self.bound(None)
            return {} if bounded is None else {keys[-1] if newer else keys[0]: bounded}
        changes: Changes = {}
        for key in stated:
            value = _read(body[key], form.kind)
            if value is None:
                continue
            # Below zero is "no bound" to servers of one's own, and refused by all others.
            bounded = self.cap if value < 0 else self.bound(value)
            if bounded not in (None, value):
                changes[key] = bounded
        if form.dialect == "anthropic" and "max_tokens" in changes:
            changes |= _fitting_thought(body.get("thinking"), changes["max_tokens"])
        return changes


def _read(value: Any, kind: str) -> int | None:
    """Return a limit as lenient servers read it: 1e5, 5000.5; None for what they refuse."""
    if type(value) is int or type(value) is float:
        return int(value)
    if kind == "llamacpp":
        return _UNBOUNDED  # instead of what is no number it takes its own default
    if type(value) is str and _NUMBER.fullmatch(value.strip()):
        return int(float(value))  # as vLLM does
    return None


def _fitting_thought(thinking: Any, room: int) -> Changes:
    """Return `thinking` with a budget below `room`, or without it where there is none."""
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if type(budget) is not int or budget < room:
        return {}
    if room <= _LEAST_BUDGET:
        return {"thinking": REMOVED}
    return {"thinking": {**thinking, "budget_tokens": max(_LEAST_BUDGET, room // 2)}}
