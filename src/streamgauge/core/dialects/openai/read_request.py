"""Reads an OpenAI chat request into a neutral conversation (WIRE §2.1, §5.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streamgauge.core.conversation import (
    Conversation,
    Message,
    Reasoning,
    Sampling,
    Text,
)
from streamgauge.core.dialects.asked import Asked
from streamgauge.core.dialects.losses import Loss, Losses
from streamgauge.core.dialects.openai.legacy import modernised
from streamgauge.core.dialects.openai.read_messages import MessageReader
from streamgauge.core.dialects.openai.read_tools import read_tool_choice, read_tools

__all__ = ["read_conversation"]

_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
_READ = frozenset(
    "chat_template_kwargs frequency_penalty max_completion_tokens max_tokens messages model n "
    "parallel_tool_calls presence_penalty prompt reasoning reasoning_effort response_format seed "
    "stop stream temperature tool_choice tools top_k top_p user".split()
)
_IGNORED = frozenset(
    "cache_prompt include_reasoning metadata prompt_cache_key prompt_cache_options "
    "prompt_cache_retention return_progress safety_identifier store stream_options "
    "timings_per_token usage".split()
)
"""Fields about the transport, the provider's own books or its cache: no answer depends on them."""
_LOST: Mapping[str, tuple[Loss, tuple[object, ...]]] = {
    "audio": (Loss.AUDIO, ()),
    "logit_bias": (Loss.LOGIT_BIAS, ()),
    "logprobs": (Loss.LOGPROBS, ()),
    "modalities": (Loss.AUDIO, (["text"],)),
    "moderation": (Loss.MODERATION, ()),
    "prediction": (Loss.PREDICTION, ()),
    "service_tier": (Loss.SERVICE_TIER, ("auto", "default")),
    "top_logprobs": (Loss.LOGPROBS, ()),
    "verbosity": (Loss.VERBOSITY, ("medium",)),
    "web_search_options": (Loss.WEB_SEARCH, ()),
}
"""What is lost, unless its value is empty or one of these, which ask for nothing special."""
_IN_REASONING = frozenset({"effort", "enabled", "max_tokens"})
_SWITCHES = ("enable_thinking", "thinking")
"""What templates call it: the first that is stated counts."""


def read_conversation(fields: Mapping[str, Any]) -> Conversation:
    """Return the conversation that `fields` asks for; `{"prompt": …}` is one turn of the user.

    Raises RequestError 400 that names the field where the request is illegal or holds content
    that nobody else can read.
    """
    asked = Asked(modernised(fields))
    losses = Losses()
    system, messages = _messages(asked, losses)
    tools = read_tools(asked, losses)
    choice, tools = read_tool_choice(asked, tools)
    schema, schema_name = _format(asked)
    sampling = _sampling(asked)
    _note_others(asked, losses)
    return Conversation(
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=choice,
        sampling=sampling,
        reasoning=_reasoning(asked),
        schema=schema,
        schema_name=schema_name,
        user=asked.text("user") or None,
        lost=losses.names,
    )


def _messages(asked: Asked, losses: Losses) -> tuple[tuple[Text, ...], tuple[Message, ...]]:
    if asked.states("messages"):
        return MessageReader(losses).conversation(asked)
    if not asked.states("prompt"):
        raise asked.refuse("messages", "is required")
    return (), (Message("user", (Text(asked.need("prompt")),)),)


def _sampling(asked: Asked) -> Sampling:
    # Local servers read -1 as «no limit»: that is what saying nothing means.
    limit = asked.integer("max_completion_tokens") or asked.integer("max_tokens")
    if limit is not None and limit < -1:
        raise asked.refuse("max_tokens", "must be 1 or above")
    return Sampling(
        max_tokens=None if limit in (0, -1) else limit,
        temperature=asked.number("temperature"),
        top_p=asked.number("top_p"),
        top_k=asked.integer("top_k"),
        seed=asked.integer("seed"),
        presence_penalty=asked.number("presence_penalty"),
        frequency_penalty=asked.number("frequency_penalty"),
        stop=asked.texts("stop"),
        n=asked.integer("n", least=1) or 1,
    )


def _reasoning(asked: Asked) -> Reasoning:
    """Return what the client says by any of the three ways in use."""
    effort = _effort(asked, "reasoning_effort")
    budget: int | None = None
    enabled: bool | None = None
    if (told := asked.child("reasoning")) is not None:
        effort = effort or _effort(told, "effort")
        budget = told.integer("max_tokens", least=1)
        enabled = told.flag("enabled")
    if (words := asked.child("chat_template_kwargs")) is not None:
        read = {key: value for key, value in words.members.items() if _is_word(key, value)}
        effort = effort or read.get("reasoning_effort")
        enabled = next((read[key] for key in _SWITCHES if key in read), enabled)
    if effort == "none":
        return Reasoning(enabled=False)
    return Reasoning(enabled=True if budget else enabled, budget=budget, effort=effort)


def _is_word(key: str, value: object) -> bool:
    """Return whether a template is told something that has a counterpart elsewhere."""
    if key == "reasoning_effort":
        return isinstance(value, str) and value in _EFFORTS
    return key in _SWITCHES and isinstance(value, bool)


def _effort(holder: Asked, key: str) -> str | None:
    effort = holder.text(key)
    if effort is not None and effort not in _EFFORTS:
        raise holder.refuse(key, f"must be one of {', '.join(sorted(_EFFORTS))}")
    return effort


def _format(asked: Asked) -> tuple[Mapping[str, Any] | None, str | None]:
    form = asked.child("response_format")
    if form is None:
        return None, None
    match form.need("type"):
        case "text":
            return None, None
        case "json_object":
            return form.mapping("schema") or {}, None
        case "json_schema":
            told = form.need_child("json_schema")
            return told.mapping("schema") or {}, told.text("name")
    raise form.refuse("type", "must be text, json_object or json_schema")


def _note_others(asked: Asked, losses: Losses) -> None:
    unknown = []
    for key, value in asked.members.items():
        if value is None or key in _READ or key in _IGNORED:
            continue
        if key in _LOST:
            loss, usual = _LOST[key]
            losses.note(loss, bool(value) and value not in usual)
        else:
            unknown.append(key)
    losses.note_fields([*unknown, *_unknown_members(asked)])


def _unknown_members(asked: Asked) -> Iterator[str]:
    told, words = asked.child("reasoning"), asked.child("chat_template_kwargs")
    for key, value in {} if told is None else told.members.items():
        if key not in _IN_REASONING and value is not None and (key, value) != ("exclude", False):
            yield f"reasoning.{key}"
    for key, value in {} if words is None else words.members.items():
        if value is not None and not _is_word(key, value):
            yield f"chat_template_kwargs.{key}"
