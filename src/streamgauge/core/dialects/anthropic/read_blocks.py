"""Reads the messages and content blocks of an Anthropic request. It knows no other dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from streamgauge.core.conversation import (
    Document,
    Image,
    Message,
    Part,
    RedactedThought,
    Role,
    Text,
    Thought,
    ToolResult,
    ToolUse,
)
from streamgauge.core.dialects.asked import Asked
from streamgauge.core.dialects.losses import Loss, Losses
from streamgauge.core.dialects.media import PDF, image_type
from streamgauge.core.dialects.written import json_text

__all__ = ["BlockReader", "cache_of"]

_SERVER_BLOCKS = frozenset(
    "advisor_tool_result bash_code_execution_tool_result code_execution_tool_result compaction "
    "container_upload fallback mcp_tool_listing mcp_tool_result mcp_tool_use server_tool_use "
    "text_editor_code_execution_tool_result tool_reference tool_search_tool_result "
    "web_fetch_tool_result web_search_tool_result".split()
)
"""Blocks of what Anthropic does and runs itself: no other server has a place for them."""
_UPLOAD = "container_upload"
_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
_SAID_BY: Mapping[Role, frozenset[str]] = {
    "user": frozenset({"text", "image", "document", "search_result", "tool_result"}),
    "assistant": frozenset({"text", "thinking", "redacted_thinking", "tool_use"}),
    "system": frozenset({"text"}),
}
_IN_RESULTS = frozenset({"text", "image", "document", "search_result"})


def cache_of(block: Asked) -> Mapping[str, Any] | None:
    """Return the cache mark of a block, as it came."""
    return block.mapping("cache_control")


class BlockReader:
    """Reads one request's messages. It remembers the calls, for results must match one."""

    __slots__ = ("_calls", "_losses")

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._calls: set[str] = set()

    def conversation(self, asked: Asked) -> tuple[tuple[Text, ...], tuple[Message, ...]]:
        """Return the system prompt and the messages. Raises RequestError."""
        system = list(self._texts(asked, "system"))
        messages: list[Message] = []
        if not asked.states("messages"):
            raise asked.refuse("messages", "is required")
        for turn in asked.children("messages"):
            role = _ROLES.get(turn.need("role"))
            if role is None:
                raise turn.refuse("role", "must be user, assistant or system")
            if role == "system" and not messages:
                system.extend(self._texts(turn, "content"))
                continue
            parts = tuple(self._content(turn, _SAID_BY[role]))
            messages.append(Message(role, parts))
        if not messages:
            raise asked.refuse("messages", "must hold a message of the user")
        return tuple(system), tuple(messages)

    def _texts(self, holder: Asked, key: str) -> Iterator[Text]:
        value = holder.members.get(key)
        if type(value) is str:
            yield Text(value)
            return
        for block in holder.children(key, or_text=True):
            if block.need("type") != "text":
                raise block.refuse("type", "must be text")
            yield self._text(block)

    def _content(self, holder: Asked, allowed: frozenset[str]) -> Iterator[Part]:
        value = holder.members.get("content")
        if type(value) is str:
            yield Text(value)
            return
        if value is None:
            raise holder.refuse("content", "is required")
        for block in holder.children("content", or_text=True):
            yield from self._block(block, allowed)

    def _block(self, block: Asked, allowed: frozenset[str]) -> Iterator[Part]:
        kind = block.need("type")
        if kind == _UPLOAD and "tool_use" not in allowed:  # a file of the user's, by its id
            raise block.refuse("type", f"is {kind!r}: another server cannot read files")
        if kind in _SERVER_BLOCKS:
            self._losses.note(Loss.SERVER_BLOCK)
            if kind == "compaction" and (summary := block.text("content")):
                yield Text(summary)  # all that is left of what was said before
        elif kind not in allowed:
            raise block.refuse("type", f"is {kind[:80]!r}: here stand {', '.join(sorted(allowed))}")
        elif kind == "text":
            yield self._text(block)
        elif kind == "search_result":
            yield from self._search_result(block)
        else:
            yield _READERS[kind](self, block)

    def _text(self, block: Asked) -> Text:
        self._losses.note(Loss.CITATIONS, block.members.get("citations"))
        return Text(block.need_text("text"), cache_of(block))

    def _image(self, block: Asked) -> Image:
        source, cache = block.need_child("source"), cache_of(block)
        match source.need("type"):
            case "base64":
                media_type = image_type(source.need("media_type"), source.name("media_type"))
                return Image(media_type=media_type, data=source.need("data"), cache=cache)
            case "url":
                return Image(url=source.need("url"), cache=cache)
        raise source.refuse("type", "must be base64 or url: another server cannot read files")

    def _document(self, block: Asked) -> Document:
        source, cache, title = block.need_child("source"), cache_of(block), block.text("title")
        self._losses.note(Loss.DOCUMENT_CONTEXT, block.text("context"))
        citations = block.child("citations")
        self._losses.note(Loss.CITATIONS, citations is not None and citations.flag("enabled"))
        match source.need("type"):
            case "base64":
                if source.need("media_type") != PDF:
                    raise source.refuse("media_type", f"must be {PDF}")
                return Document(PDF, source.need("data"), title=title, cache=cache)
            case "text":
                text = source.need_text("data")
                return Document("text/plain", text=text, title=title, cache=cache)
            case "url":
                return Document(url=source.need("url"), title=title, cache=cache)
            case "content":
                text = "\n".join(part.text for part in self._texts(source, "content"))
                return Document("text/plain", text=text, title=title, cache=cache)
        raise source.refuse("type", "must be base64, text, content or url")

    def _search_result(self, block: Asked) -> Iterator[Text]:
        self._losses.note(Loss.SEARCH_RESULT)
        yield from self._texts(block, "content")

    def _thinking(self, block: Asked) -> Thought:
        return Thought(block.need_text("thinking"), block.text("signature") or None)

    def _redacted(self, block: Asked) -> RedactedThought:
        return RedactedThought(block.need("data"))

    def _tool_use(self, block: Asked) -> ToolUse:
        call, given = block.need("id"), block.mapping("input")
        self._calls.add(call)
        arguments = json_text(given) if given else "{}"
        return ToolUse(call, block.need("name"), arguments, cache_of(block))

    def _tool_result(self, block: Asked) -> ToolResult:
        call = block.need("tool_use_id")
        if call not in self._calls:
            raise block.refuse("tool_use_id", f"is {call[:80]!r}, which no call before it has")
        said = self._content(block, _IN_RESULTS) if block.members.get("content") else ()
        parts = tuple(part for part in said if isinstance(part, Text | Image | Document))
        return ToolResult(call, parts, block.flag("is_error") or False, cache_of(block))


_READERS: Mapping[str, Callable[[BlockReader, Asked], Part]] = {
    "document": BlockReader._document,
    "image": BlockReader._image,
    "redacted_thinking": BlockReader._redacted,
    "thinking": BlockReader._thinking,
    "tool_result": BlockReader._tool_result,
    "tool_use": BlockReader._tool_use,
}
