"""Writes a neutral conversation as a request of Ollama's own `/api/chat` (WIRE §7.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from streamgauge.core.conversation import (
    Conversation,
    Document,
    Image,
    Message,
    Part,
    RedactedThought,
    Refusal,
    Sampling,
    Text,
    Thought,
    Tool,
    ToolUse,
)
from streamgauge.core.dialects.asked import refuse
from streamgauge.core.dialects.base import Wish, Written
from streamgauge.core.dialects.call_ids import CallIds
from streamgauge.core.dialects.efforts import coarse_effort, effort_of
from streamgauge.core.dialects.losses import Loss, Losses
from streamgauge.core.dialects.results import Content, SplitResults
from streamgauge.core.dialects.written import argument_object, encode_body
from streamgauge.core.transform.mid_system import results_at_once

__all__ = ["write_request"]

Members = dict[str, Any]

_BETWEEN = "\n\n"
"""Parts several texts of one turn: a message has one text only."""
_EFFORT_MODELS = "gpt-oss"
"""The models that take an effort as a word; others know only whether to think."""


def write_request(conversation: Conversation, wish: Wish) -> Written:
    """Return the body for `/api/chat`, and the names of what it cannot say.

    Raises RequestError 400 for content that it has no place for: images by URL, documents other
    than text, and for more than one answer (`n`).
    """
    conversation = results_at_once(conversation)
    if conversation.sampling.n > 1:
        raise refuse("n", "must be 1: this upstream gives one answer")
    losses = Losses(conversation.lost)
    body: Members = {} if wish.model is None else {"model": wish.model}
    body["messages"] = _MessageWriter(losses).messages(conversation)
    _add_tools(body, conversation, losses)
    _add_think(body, conversation, wish.model, losses)
    if conversation.schema is not None:
        body["format"] = conversation.schema or "json"
    if options := _options(conversation.sampling):
        body["options"] = options
    body["stream"] = wish.stream
    return Written(encode_body(body), losses.names)


def _add_tools(body: Members, conversation: Conversation, losses: Losses) -> None:
    choice = conversation.tool_choice
    losses.note(Loss.CACHE_CONTROL, any(tool.cache for tool in conversation.tools))
    losses.note(Loss.TOOL_STRICT, any(tool.strict for tool in conversation.tools))
    if choice is not None:
        losses.note(Loss.TOOL_CHOICE, choice.mode in ("any", "tool"))
        losses.note(Loss.PARALLEL_TOOL_CALLS, choice.parallel is False)
        if choice.mode == "none":
            return
    if conversation.tools:
        body["tools"] = [_tool(tool) for tool in conversation.tools]


def _tool(tool: Tool) -> Members:
    function = {
        "name": tool.name,
        "description": tool.description or "",
        "parameters": tool.schema or {"type": "object", "properties": {}},
    }
    return {"type": "function", "function": function}


def _add_think(
    body: Members, conversation: Conversation, model: str | None, losses: Losses
) -> None:
    """Say only what cannot fail: a model that can think does so unasked, others refuse to."""
    reasoning = conversation.reasoning
    effort = effort_of(reasoning)
    if reasoning.enabled is False:
        body["think"] = False
    elif effort is not None and model is not None and _EFFORT_MODELS in model:
        body["think"] = coarse_effort(effort)
    else:
        losses.note_stated(Loss.REASONING, effort)


def _options(sampling: Sampling) -> Members:
    stated = {
        "num_predict": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "stop": sampling.stop or None,
    }
    return {key: value for key, value in stated.items() if value is not None}


class _MessageWriter:
    """Writes one request's messages. It remembers which tool a call was for."""

    __slots__ = ("_ids", "_losses", "_names", "_results")

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._ids = CallIds()
        self._names: dict[str, str] = {}
        self._results = SplitResults(losses)

    def messages(self, conversation: Conversation) -> list[Members]:
        written = []
        if conversation.system:
            written.append(self._plain("system", conversation.system))
        for message in conversation.messages:
            match message.role:
                case "system":
                    texts = [part for part in message.parts if isinstance(part, Text)]
                    written.append(self._plain("system", texts))
                case "user":
                    written.extend(self._user(message))
                case "assistant":
                    written.append(self._assistant(message.parts))
                case _ as unreachable:
                    assert_never(unreachable)
        return written

    def _user(self, message: Message) -> list[Members]:
        answers, rest = self._results.split(message.parts)
        written: list[Members] = [
            {
                "role": "tool",
                "content": text,
                "tool_name": self._names.get(call, ""),
                "tool_call_id": self._ids.result(call),
            }
            for call, text in answers
        ]
        if rest or not answers:
            written.append(self._plain("user", rest))
        return written

    def _plain(self, role: str, parts: Sequence[Content]) -> Members:
        texts, images = [], []
        for part in parts:
            self._losses.note(Loss.CACHE_CONTROL, part.cache)
            match part:
                case Text():
                    texts.append(part.text)
                case Document():
                    texts.append(self._document(part))
                case Image():
                    images.append(self._image(part))
                case _ as unreachable:
                    assert_never(unreachable)
        written: Members = {"role": role, "content": _BETWEEN.join(texts)}
        return written | ({"images": images} if images else {})

    def _document(self, document: Document) -> str:
        if document.text is None:
            raise refuse("messages", "hold a document, and this upstream reads only text")
        self._losses.note(Loss.DOCUMENT_TITLE, document.title)
        return document.text

    def _image(self, image: Image) -> str:
        if image.data is None:
            raise refuse("messages", "hold an image by its URL, and this upstream fetches none")
        self._losses.note(Loss.IMAGE_DETAIL, image.detail not in (None, "auto"))
        return image.data

    def _assistant(self, parts: Sequence[Part]) -> Members:
        texts = [part.text for part in parts if isinstance(part, Text | Refusal)]
        thoughts = [part for part in parts if isinstance(part, Thought)]
        calls = [self._call(part) for part in parts if isinstance(part, ToolUse)]
        losses = self._losses
        losses.note(Loss.THINKING_SIGNATURE, any(thought.signature for thought in thoughts))
        losses.note(Loss.REDACTED_THINKING, any(isinstance(p, RedactedThought) for p in parts))
        losses.note(Loss.CACHE_CONTROL, any(getattr(part, "cache", None) for part in parts))
        written: Members = {"role": "assistant", "content": "".join(texts)}
        if thoughts:
            written["thinking"] = "".join(thought.text for thought in thoughts)
        if calls:
            written["tool_calls"] = calls
        return written

    def _call(self, call: ToolUse) -> Members:
        given: Any = argument_object(call.arguments)
        if given is None:
            self._losses.note(Loss.TOOL_ARGUMENTS)
            given = {"_raw": call.arguments}
        self._names[call.id] = call.name
        return {
            "id": self._ids.call(call.id),
            "function": {"name": call.name, "arguments": given},
        }
