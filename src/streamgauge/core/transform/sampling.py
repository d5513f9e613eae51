"""Overrides how answers are drawn (SPEC §14.6). It knows no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from streamgauge.core.conversation import Conversation
from streamgauge.core.transform.body import REMOVED, Changes, Form, Members

__all__ = ["SAMPLING_NAMES", "SamplingOverrides"]

SAMPLING_NAMES = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "stop",
)
"""The settings that can be overridden, by OpenAI's names."""

_ANTHROPIC: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_sequences",
}
_OPENAI: Mapping[str, str] = {name: name for name in SAMPLING_NAMES}
_KEYS: Mapping[str, Mapping[str, str]] = {
    "chat/completions": _OPENAI,
    "completions": _OPENAI,
    "messages": _ANTHROPIC,
    "responses": {"temperature": "temperature", "top_p": "top_p"},
}
"""What an endpoint calls each; one that it does not know is not sent."""


@dataclass(frozen=True, slots=True)
class SamplingOverrides:
    """`values` stand whatever the client says; what is in `drop` is never sent."""

    values: Mapping[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()

    def converse(self, conversation: Conversation) -> Conversation:
        """Return the conversation with the settings overridden."""
        told: dict[str, Any] = {name: () if name == "stop" else None for name in self.drop}
        sampling = replace(conversation.sampling, **{**told, **self.values})
        if sampling == conversation.sampling:
            return conversation
        return replace(conversation, sampling=sampling)

    def change(self, body: Members, form: Form) -> Changes:
        """Return the settings that differ."""
        keys = _KEYS.get(form.endpoint, {})
        changes: Changes = {
            keys[name]: REMOVED for name in self.drop if name in keys and keys[name] in body
        }
        for name, value in self.values.items():
            key = keys.get(name)
            told = list(value) if isinstance(value, tuple) else value
            if key is not None and (key not in body or body[key] != told):
                changes[key] = told
        return changes
