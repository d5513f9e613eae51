"""Writes a conversation's messages in OpenAI's chat dialect (WIRE §5.4). It knows no other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, assert_never

from streamgauge.core.conversation import (
    Conversation,
    Document,
    Image,
    Message,
    Part,
    RedactedThought,
    Refusal,
    Text,
    Thought,
    ToolUse,
    maker_of,
)
from streamgauge.core.dialects.asked import refuse
from streamgauge.core.dialects.call_ids import CallIds
from streamgauge.core.dialects.losses import Loss, Losses
from streamgauge.core.dialects.media import data_url
from streamgauge.core.dialects.openai.kinds import Traits
from streamgauge.core.dialects.results import Content, SplitResults

__all__ = ["MessageWriter"]

Members = dict[str, Any]


class MessageWriter:
    """Writes one request's messages for an upstream with `traits`."""

    __slots__ = ("_ids", "_losses", "_results", "_traits")

    def __init__(self, traits: Traits, losses: Losses) -> None:
        self._traits = traits
        self._losses = losses
        self._ids = CallIds(longest=traits.longest_id)
        self._results = SplitResults(losses)

    def messages(self, conversation: Conversation) -> list[Members]:
        """Return all messages, the system prompt first. Raises RequestError."""
        written: list[Members] = []
        if conversation.system:
            written.append(self._system(conversation.system))
        for message in conversation.messages:
            match message.role:
                case "system":
                    written.append(self._system([p for p in message.parts if isinstance(p, Text)]))
                case "user":
                    written.extend(self._user(message))
                case "assistant":
                    written.append(self._assistant(message.parts))
                case _ as unreachable:
                    assert_never(unreachable)
        return written

    def _system(self, blocks: Sequence[Text]) -> Members:
        role = "developer" if self._traits.newer else "system"
        if self._traits.cache and any(block.cache for block in blocks):
            return {"role": role, "content": [self._text(block) for block in blocks]}
        self._note_caches(blocks)
        return {"role": role, "content": "\n\n".join(block.text for block in blocks)}

    def _note_caches(self, parts: Iterable[Part]) -> None:
        self._losses.note(Loss.CACHE_CONTROL, any(getattr(part, "cache", None) for part in parts))

    # -- the user, and the results of tools

    def _user(self, message: Message) -> list[Members]:
        answers, rest = self._results.split(message.parts)
        written: list[Members] = [
            {"role": "tool", "tool_call_id": self._ids.result(call), "content": text}
            for call, text in answers
        ]
        if rest or not answers:
            written.append({"role": "user", "content": self._content(rest)})
        return written

    def _content(self, parts: Sequence[Content]) -> str | list[Members]:
        if not parts:
            return ""
        only = parts[0] if len(parts) == 1 else None
        if isinstance(only, Text) and not (only.cache and self._traits.cache):
            self._note_caches(parts)
            return only.text
        return [self._part(part) for part in parts]

    def _part(self, part: Content) -> Members:
        match part:
            case Text():
                return self._text(part)
            case Image():
                return self._image(part)
            case Document():
                return self._document(part)
            case _ as unreachable:
                assert_never(unreachable)

    def _text(self, text: Text) -> Members:
        written: Members = {"type": "text", "text": text.text}
        if text.cache and self._traits.cache:
            written["cache_control"] = text.cache
        else:
            self._losses.note(Loss.CACHE_CONTROL, text.cache)
        return written

    def _image(self, image: Image) -> Members:
        self._losses.note(Loss.CACHE_CONTROL, image.cache)
        url = image.url or data_url(image.media_type or "", image.data or "")
        written: Members = {"url": url}
        if image.detail is not None:
            written["detail"] = image.detail
        return {"type": "image_url", "image_url": written}

    def _document(self, document: Document) -> Members:
        self._losses.note(Loss.CACHE_CONTROL, document.cache)
        if document.text is not None:
            self._losses.note(Loss.DOCUMENT_TITLE, document.title)
            return {"type": "text", "text": document.text}
        if not self._traits.files:
            raise refuse("messages", "hold a document, and this upstream reads none")
        if document.data is None:
            raise refuse("messages", "hold a document by its URL, and this upstream fetches none")
        data = data_url(document.media_type or "", document.data)
        return {
            "type": "file",
            "file": {"filename": document.title or "document.pdf", "file_data": data},
        }

    # -- the assistant

    def _assistant(self, parts: Sequence[Part]) -> Members:
        texts = [part.text for part in parts if isinstance(part, Text)]
        calls = [self._call(part) for part in parts if isinstance(part, ToolUse)]
        self._note_caches(parts)
        written: Members = {"role": "assistant"}
        # What one answer said in several blocks was one text as it was made: nothing between.
        written["content"] = "".join(texts) if texts or not calls else None
        self._add_thoughts(written, parts)
        refusals = [part.text for part in parts if isinstance(part, Refusal)]
        if refusals:
            written["refusal"] = "".join(refusals)
        if calls:
            written["tool_calls"] = calls
        return written

    def _call(self, call: ToolUse) -> Members:
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": self._ids.call(call.id), "type": "function", "function": function}

    def _add_thoughts(self, written: Members, parts: Sequence[Part]) -> None:
        thoughts = [part for part in parts if isinstance(part, Thought)]
        hidden = [part for part in parts if isinstance(part, RedactedThought)]
        traits = self._traits
        if traits.thought is None:
            self._losses.note(Loss.THINKING, thoughts)
        elif thoughts:
            written[traits.thought] = "".join(thought.text for thought in thoughts)
        signed = [thought for thought in thoughts if thought.signature]
        if not traits.details:
            self._losses.note(Loss.THINKING_SIGNATURE, traits.thought is not None and signed)
            self._losses.note(Loss.REDACTED_THINKING, hidden)
        elif signed or hidden:
            details = [_detail(p) for p in parts if isinstance(p, Thought | RedactedThought)]
            written["reasoning_details"] = details


def _detail(thought: Thought | RedactedThought) -> Members:
    sealed = thought.data if isinstance(thought, RedactedThought) else thought.signature
    maker, seal = maker_of(sealed or "")
    named = {} if maker is None else {"format": maker}
    if isinstance(thought, RedactedThought):
        return {"type": "reasoning.encrypted", "data": seal, **named}
    detail = {"type": "reasoning.text", "text": thought.text}
    return {**detail, "signature": seal, **named} if seal else detail
