"""Writes a neutral conversation as an Anthropic messages request (WIRE §4.2, §5.4)."""

from __future__ import annotations

from typing import Any

from streamgauge.core.conversation import Conversation, Sampling, Tool, ToolChoice, ToolUse
from streamgauge.core.dialects.anthropic.thinking import add_thinking
from streamgauge.core.dialects.anthropic.write_blocks import BlockWriter, cached
from streamgauge.core.dialects.asked import refuse
from streamgauge.core.dialects.base import Wish, Written
from streamgauge.core.dialects.losses import Loss, Losses
from streamgauge.core.dialects.tool_names import fitted_names
from streamgauge.core.dialects.written import encode_body
from streamgauge.core.transform.mid_system import mid_system

__all__ = ["write_request"]

Members = dict[str, Any]

_HOTTEST = 1
"""Anthropic's temperature ends where OpenAI's middle is."""
_LONGEST_USER = 256
_LONGEST_NAME = 128
"""Of a tool: more is refused."""
_NOTHING_ASKED: Members = {"type": "object", "properties": {}}


def write_request(conversation: Conversation, wish: Wish) -> Written:
    """Return the body for `/v1/messages`, and the names of what it cannot say.

    A system message in the middle is always the user's here: only a beta of Anthropic's knows it.
    Raises RequestError 400 for more than one answer (`n`).
    """
    losses = Losses(conversation.lost)
    losses.note(Loss.MID_SYSTEM, any(m.role == "system" for m in conversation.messages))
    conversation = mid_system(conversation)
    if conversation.sampling.n > 1:
        raise refuse("n", "must be 1: this upstream gives one answer")
    conversation, names = fitted_names(conversation, _LONGEST_NAME)
    blocks = BlockWriter(losses, unsigned=wish.kind != "anthropic")
    body: Members = {} if wish.model is None else {"model": wish.model}
    if system := blocks.system(conversation.system):
        body["system"] = system
    body["messages"] = blocks.messages(conversation.messages)
    _add_tools(body, conversation)
    _add_sampling(body, conversation.sampling, losses)
    _add_format(body, conversation, losses)
    add_thinking(body, conversation, wish.model, losses)
    _settle_draws(body, losses)
    if conversation.user:
        body["metadata"] = {"user_id": conversation.user[:_LONGEST_USER]}
    body["stream"] = wish.stream
    return Written(encode_body(body), losses.names, names)


def _add_tools(body: Members, conversation: Conversation) -> None:
    if conversation.tools:
        body["tools"] = [_tool(tool) for tool in conversation.tools]
        if conversation.tool_choice is not None:
            body["tool_choice"] = _choice(conversation.tool_choice)
    elif named := _names_called(conversation):
        # A history with calls is refused without tools: they are named, and may not be called.
        body["tools"] = [{"name": name, "input_schema": _NOTHING_ASKED} for name in named]
        body["tool_choice"] = {"type": "none"}


def _names_called(conversation: Conversation) -> list[str]:
    calls = (p for m in conversation.messages for p in m.parts if isinstance(p, ToolUse))
    return list(dict.fromkeys(call.name for call in calls))


def _tool(tool: Tool) -> Members:
    written: Members = {"name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    schema = tool.schema or _NOTHING_ASKED
    written["input_schema"] = schema if "type" in schema else {"type": "object", **schema}
    if tool.strict is not None:
        written["strict"] = tool.strict
    return cached(written, tool.cache)


def _choice(choice: ToolChoice) -> Members:
    written: Members = {"type": choice.mode}
    if choice.mode == "tool":
        written["name"] = choice.name
    if choice.parallel is not None and choice.mode != "none":
        written["disable_parallel_tool_use"] = not choice.parallel
    return written


def _add_sampling(body: Members, sampling: Sampling, losses: Losses) -> None:
    if sampling.temperature is not None:
        losses.note(Loss.TEMPERATURE, sampling.temperature > _HOTTEST)
        body["temperature"] = min(sampling.temperature, _HOTTEST)
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.top_k is not None and sampling.top_k > 0:  # else «all», to servers of one's own
        body["top_k"] = sampling.top_k
    stop = [text for text in sampling.stop if text.strip()]
    losses.note(Loss.STOP, len(stop) < len(sampling.stop))
    if stop:
        body["stop_sequences"] = stop
    losses.note_stated(Loss.SEED, sampling.seed)
    losses.note(Loss.PRESENCE_PENALTY, sampling.presence_penalty)
    losses.note(Loss.FREQUENCY_PENALTY, sampling.frequency_penalty)


def _settle_draws(body: Members, losses: Losses) -> None:
    """Leave out what is usual anyway, and of temperature and top_p the second.

    Claude's models refuse the two together since 4.1, while OpenAI's clients send both as a matter
    of course, mostly one of them as 1.
    """
    for name in ("temperature", "top_p"):
        if body.get(name) == 1:
            del body[name]
    if "temperature" in body and body.pop("top_p", None) is not None:
        losses.note(Loss.TOP_P)


def _add_format(body: Members, conversation: Conversation, losses: Losses) -> None:
    if conversation.schema:
        form = {"type": "json_schema", "schema": conversation.schema}
        body["output_config"] = {"format": form}
    else:
        losses.note(Loss.RESPONSE_FORMAT, conversation.schema is not None)
