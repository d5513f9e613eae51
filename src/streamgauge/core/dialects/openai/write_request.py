"""Writes a neutral conversation as a request of OpenAI's chat dialect (WIRE §2.1, §5.4)."""

from __future__ import annotations

import hashlib
import json
from typing import Any, assert_never

from streamgauge.core.conversation import Conversation, Sampling, Tool, ToolChoice
from streamgauge.core.dialects.base import Wish, Written
from streamgauge.core.dialects.efforts import coarse_effort, effort_of
from streamgauge.core.dialects.losses import Loss, Losses
from streamgauge.core.dialects.openai.kinds import Traits, nearest_effort, traits_of
from streamgauge.core.dialects.openai.write_messages import MessageWriter
from streamgauge.core.dialects.tool_names import fitted_names
from streamgauge.core.dialects.written import encode_body
from streamgauge.core.transform.mid_system import results_at_once

__all__ = ["write_request"]

Members = dict[str, Any]

_LONGEST_USER = 64
"""OpenAI refuses longer names of a user."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none", "tool": "required"}


def write_request(conversation: Conversation, wish: Wish) -> Written:
    """Return the body for an upstream of the kind that `wish` names, and what it cannot be told.

    Raises RequestError 400 where content, not only a setting, cannot be carried.
    """
    conversation = results_at_once(conversation)
    losses = Losses(conversation.lost)
    traits = traits_of(wish.kind, wish.model)
    conversation, names = fitted_names(conversation, traits.longest_name)
    body: Members = {} if wish.model is None else {"model": wish.model}
    body["messages"] = MessageWriter(traits, losses).messages(conversation)
    _add_tools(body, conversation, traits, losses)
    _add_sampling(body, conversation.sampling, traits, losses)
    _add_reasoning(body, conversation, wish, traits, losses)
    _add_format(body, conversation)
    if conversation.user:
        body["user"] = _user(conversation.user)
    _add_stream(body, wish)
    return Written(encode_body(body), losses.names, names)


# -- tools


def _add_tools(body: Members, conversation: Conversation, traits: Traits, losses: Losses) -> None:
    tools, choice = conversation.tools, conversation.tool_choice
    losses.note(Loss.CACHE_CONTROL, any(tool.cache for tool in tools))
    if not tools:
        return
    if choice is not None and choice.mode == "tool" and not traits.named_choice:
        tools = tuple(tool for tool in tools if tool.name == choice.name)
    body["tools"] = [_tool(tool, traits, losses) for tool in tools]
    if choice is None:
        return
    if traits.tool_choice:
        body["tool_choice"] = _choice(choice, traits)
    elif choice.mode == "none":
        del body["tools"]
    else:
        losses.note(Loss.TOOL_CHOICE, choice.mode != "auto")
    if choice.parallel is not None and traits.tool_choice:
        body["parallel_tool_calls"] = choice.parallel
    else:
        losses.note(Loss.PARALLEL_TOOL_CALLS, choice.parallel is False)


def _tool(tool: Tool, traits: Traits, losses: Losses) -> Members:
    function: Members = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.schema or {"type": "object", "properties": {}}
    if tool.strict and traits.strict_closed and not _closed(function["parameters"]):
        losses.note(Loss.TOOL_STRICT)
    elif tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice, traits: Traits) -> str | Members:
    if choice.mode == "tool" and traits.named_choice:
        return {"type": "function", "function": {"name": choice.name}}
    return _CHOICES[choice.mode]


# -- how the answer is drawn


def _add_sampling(body: Members, sampling: Sampling, traits: Traits, losses: Losses) -> None:
    if sampling.max_tokens is not None:
        key = "max_completion_tokens" if traits.newer else "max_tokens"
        body[key] = sampling.max_tokens
    if sampling.n > 1:
        body["n"] = sampling.n
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    _add_draws(body, sampling, traits, losses)
    stop = sampling.stop if traits.sampling else ()
    kept = stop if traits.most_stops is None else stop[: traits.most_stops]
    losses.note(Loss.STOP, len(kept) < len(sampling.stop))
    if kept:
        body["stop"] = kept
    if traits.top_k and sampling.top_k is not None:
        body["top_k"] = sampling.top_k
    else:
        losses.note_stated(Loss.TOP_K, sampling.top_k)


def _add_draws(body: Members, sampling: Sampling, traits: Traits, losses: Losses) -> None:
    """Add what a thinking model of OpenAI refuses, unless it is such a one's only value."""
    for loss, value, fixed in (
        (Loss.TEMPERATURE, sampling.temperature, 1),
        (Loss.TOP_P, sampling.top_p, 1),
        (Loss.PRESENCE_PENALTY, sampling.presence_penalty, 0),
        (Loss.FREQUENCY_PENALTY, sampling.frequency_penalty, 0),
    ):
        if traits.sampling and value is not None:
            body[str(loss)] = value
        else:
            losses.note(loss, value is not None and value != fixed)


def _add_reasoning(
    body: Members, conversation: Conversation, wish: Wish, traits: Traits, losses: Losses
) -> None:
    kind, model = wish.kind, wish.model
    reasoning = conversation.reasoning
    asked = "none" if reasoning.enabled is False else effort_of(reasoning)
    effort = None if asked is None else nearest_effort(kind, model, asked)
    match traits.effort:
        case "none":
            losses.note(Loss.REASONING, effort not in (None, "none"))
            return
        case "object":
            told: Members = {} if reasoning.enabled is None else {"enabled": reasoning.enabled}
            if reasoning.budget is not None:
                told = {"max_tokens": reasoning.budget}
            elif effort is not None:
                told = {"effort": effort}
            body |= {"reasoning": told} if told else {}
            return
        case "template":
            _add_template_words(body, reasoning.enabled, effort, kind)
        case "field":
            if "tools" in body and not traits.thinks_with_tools:
                losses.note(Loss.REASONING, asked not in (None, "none"))
                asked = effort = "none"
            body |= {} if effort is None else {"reasoning_effort": effort}
            losses.note(Loss.REASONING, asked == "none" and effort != "none")
        case _ as unreachable:
            assert_never(unreachable)
    losses.note_stated(Loss.REASONING_BUDGET, reasoning.budget)


def _add_template_words(body: Members, enabled: bool | None, effort: str | None, kind: str) -> None:
    """Tell a local model's template. Whoever states an effort wants thinking."""
    words: Members = {}
    if enabled is not None or effort is not None:
        words["enable_thinking"] = enabled is not False and effort != "none"
    if effort is not None and effort != "none":
        coarse = coarse_effort(effort)
        if kind == "vllm":
            body["reasoning_effort"] = coarse
        else:
            words["reasoning_effort"] = coarse
    if words:
        body["chat_template_kwargs"] = words


def _add_format(body: Members, conversation: Conversation) -> None:
    schema = conversation.schema
    if schema is None:
        return
    if not schema:
        body["response_format"] = {"type": "json_object"}
        return
    form: Members = {"name": conversation.schema_name or "answer", "schema": schema}
    if _closed(schema):
        form["strict"] = True
    body["response_format"] = {"type": "json_schema", "json_schema": form}


def _closed(schema: Any) -> bool:
    """Return whether OpenAI would hold an answer to `schema` strictly: no object in it is open."""
    if isinstance(schema, list):
        return all(map(_closed, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        named, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(named, dict) or not isinstance(required, list):
            return False
        if schema.get("additionalProperties") is not False:
            return False
        if any(name not in required for name in named):
            return False
    return all(map(_closed, schema.values()))


def _user(user: str) -> str:
    """Return the user's name; what is private or too long becomes its SHA-256 (WIRE §5.4)."""
    if len(user) <= _LONGEST_USER and not user.startswith(("{", "user_")):
        return user
    return hashlib.sha256(_who(user).encode("utf-8", "surrogatepass")).hexdigest()


def _who(user: str) -> str:
    """Return what stays the same over a person's sessions in Claude Code's `metadata.user_id`."""
    if not user.startswith("{"):
        return user.partition("_session_")[0]
    try:
        stated = json.loads(user)
    except (ValueError, RecursionError):
        return user
    kept = [stated.get(key) for key in ("account_uuid", "device_id")]
    return json.dumps(kept) if any(kept) else user


def _add_stream(body: Members, wish: Wish) -> None:
    body["stream"] = wish.stream
    if not wish.stream:
        return
    options: Members = {"include_usage": True} if wish.include_usage else {}
    if wish.running_usage and wish.kind == "vllm" and options:
        options["continuous_usage_stats"] = True
    if options:
        body["stream_options"] = options
    if wish.running_usage and wish.kind == "llamacpp":
        body["timings_per_token"] = True
