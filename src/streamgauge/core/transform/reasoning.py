"""Sets, or takes out, how much a model shall think (SPEC §14.6). It reads no answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamgauge.core.conversation import Conversation, Reasoning
from streamgauge.core.transform.body import REMOVED, Changes, Form, Members

__all__ = ["ReasoningOverride"]

_TEMPLATE_KINDS = frozenset({"llamacpp", "vllm"})
"""Kinds whose template is told: in `chat_template_kwargs`."""
_TEMPLATE_WORDS = ("enable_thinking", "reasoning_effort", "thinking")
_OPENAI_KEYS = ("reasoning_effort", "reasoning", "include_reasoning")
_LEAST_BUDGET = 1024
"""Anthropic takes no smaller budget, and none that is not below max_tokens."""


@dataclass(frozen=True, slots=True)
class ReasoningOverride:
    """Replaces what the client says of thinking; with nothing set, nothing is said of it.

    `budget` in tokens; `effort`: minimal, low, medium, high, xhigh or max.
    """

    enabled: bool | None = None
    effort: str | None = None
    budget: int | None = None

    def converse(self, conversation: Conversation) -> Conversation:
        """Return the conversation with it replaced."""
        wanted = Reasoning(self.enabled, self.budget, self.effort)
        if wanted == conversation.reasoning:
            return conversation
        return replace(conversation, reasoning=wanted)

    def change(self, body: Members, form: Form) -> Changes:
        """Return the members that say it in this form, and REMOVED for others that did."""
        if form.endpoint not in ("chat/completions", "messages", "responses"):
            return {}
        told = self._anthropic(body) if form.dialect == "anthropic" else self._openai(body, form)
        return {
            key: value
            for key, value in told.items()
            if (key in body if value is REMOVED else body.get(key, REMOVED) != value)
        }

    def _anthropic(self, body: Members) -> Changes:
        config = _without(body.get("output_config"), ("effort",))
        if self.effort is not None and self.enabled is not False:
            config["effort"] = self.effort
        return {"thinking": self._thinking(body), "output_config": config or REMOVED}

    def _thinking(self, body: Members) -> Any:
        if self.enabled is False:
            return {"type": "disabled"}
        room = body.get("max_tokens")
        if self.budget is None:
            return {"type": "adaptive"} if self.enabled else REMOVED
        budget = max(self.budget, _LEAST_BUDGET)
        if type(room) is int and budget >= room:
            budget = max(_LEAST_BUDGET, room // 2)
            if budget >= room:
                return REMOVED
        return {"type": "enabled", "budget_tokens": budget}

    def _openai(self, body: Members, form: Form) -> Changes:
        changes: Changes = dict.fromkeys(_OPENAI_KEYS, REMOVED)
        words = _without(body.get("chat_template_kwargs"), _TEMPLATE_WORDS)
        effort = "none" if self.enabled is False else self.effort
        if form.endpoint == "responses":
            changes["reasoning"] = {"effort": effort} if effort else REMOVED
        elif form.kind == "openrouter":
            changes["reasoning"] = self._object() or REMOVED
        elif form.kind in _TEMPLATE_KINDS:
            words |= self._words()
            if effort not in (None, "none"):
                changes["reasoning_effort"] = effort
        elif effort is not None:
            changes["reasoning_effort"] = effort
        return {**changes, "chat_template_kwargs": words or REMOVED}

    def _object(self) -> Changes:
        """Return OpenRouter's `reasoning`, which takes either a budget or an effort."""
        if self.budget is not None:
            return {"max_tokens": self.budget}
        if self.effort is not None and self.enabled is not False:
            return {"effort": self.effort}
        return {} if self.enabled is None else {"enabled": self.enabled}

    def _words(self) -> Changes:
        """Whoever states an effort or a budget wants thinking."""
        wanted = self.effort is not None or self.budget is not None or None
        enabled = wanted if self.enabled is None else self.enabled
        return {} if enabled is None else {"enable_thinking": enabled}


def _without(value: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    given: Mapping[str, Any] = value if isinstance(value, dict) else {}
    return {key: item for key, item in given.items() if key not in keys}
