"""Reads the messages of an OpenAI chat request. It knows no other dialect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from streamgauge.core.conversation import (
    Document,
    Image,
    Message,
    Part,
    Refusal,
    Text,
    ToolResult,
    ToolUse,
)
from streamgauge.core.dialects.asked import Asked
from streamgauge.core.dialects.losses import Loss, Losses
from streamgauge.core.dialects.media import document_of_url, image_of_url
from streamgauge.core.dialects.openai.read_thoughts import read_thoughts
from streamgauge.core.dialects.written import json_text

__all__ = ["MessageReader"]

_SYSTEM = ("system", "developer")
_ROLES = "system, developer, user, assistant or tool"


class MessageReader:
    """Reads one request's messages. It remembers the calls, for results must match one."""

    __slots__ = ("_calls", "_losses", "_messages", "_results", "_system")

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._calls: set[str] = set()
        self._system: list[Text] = []
        self._messages: list[Message] = []
        self._results: list[ToolResult] = []

    def conversation(self, asked: Asked) -> tuple[tuple[Text, ...], tuple[Message, ...]]:
        """Return the leading system prompt and the messages. Raises RequestError.

        Results in a row are one turn of the user, with what the user says right behind them.
        """
        for message in asked.children("messages"):
            self._read(message)
        self._close_results()
        if not self._messages and not self._system:
            raise asked.refuse("messages", "must hold a message")
        return tuple(self._system), tuple(self._messages)

    def _read(self, message: Asked) -> None:
        role = message.need("role")
        self._losses.note(Loss.MESSAGE_NAME, role != "tool" and message.states("name"))
        if role == "tool":
            self._results.append(self._result(message))
        elif role == "user":
            said = tuple(self._content(message))
            self._messages.append(Message("user", (*self._results, *said)))
            self._results.clear()
        else:
            self._close_results()
            self._read_other(role, message)

    def _read_other(self, role: str, message: Asked) -> None:
        if role == "assistant":
            self._messages.append(Message("assistant", tuple(self._assistant(message))))
        elif role not in _SYSTEM:
            raise message.refuse("role", f"must be {_ROLES}")
        elif self._messages:
            self._messages.append(Message("system", tuple(self._texts(message))))
        else:
            self._system.extend(self._texts(message))

    def _close_results(self) -> None:
        if self._results:
            self._messages.append(Message("user", tuple(self._results)))
            self._results.clear()

    # -- content

    def _content(self, message: Asked) -> Iterator[Text | Image | Document]:
        value = message.members.get("content")
        if type(value) is str:
            yield Text(value)
            return
        if value is None:
            raise message.refuse("content", "is required")
        for part in message.children("content", or_text=True):
            yield self._part(part)

    def _part(self, part: Asked) -> Text | Image | Document:
        cache = part.mapping("cache_control")
        match part.need("type"):
            case "text":
                return Text(part.need_text("text"), cache)
            case "image_url":
                return replace(_image(part), cache=cache)
            case "file":
                return replace(_document(part.need_child("file")), cache=cache)
            case kind:
                raise part.refuse("type", f"is {kind[:80]!r}: only text, image_url and file pass")

    def _texts(self, message: Asked) -> Iterator[Text]:
        for part in self._content(message):
            if not isinstance(part, Text):
                raise message.refuse("content", "must be text")
            yield part

    def _result(self, message: Asked) -> ToolResult:
        call = message.need("tool_call_id")
        if call not in self._calls:
            raise message.refuse("tool_call_id", f"is {call[:80]!r}, which no call before it has")
        said = tuple(self._content(message)) if message.members.get("content") else ()
        return ToolResult(call, said)

    # -- the assistant

    def _assistant(self, message: Asked) -> Iterator[Part]:
        self._losses.note(Loss.AUDIO, message.states("audio"))
        yield from read_thoughts(message, self._losses)
        value = message.members.get("content")
        if type(value) is str:
            if value:
                yield Text(value)
        elif value is not None:
            for part in message.children("content", or_text=True):
                yield self._said(part)
        refusal = message.text("refusal")
        if refusal:
            yield Refusal(refusal)
        for call in message.children("tool_calls"):
            yield self._call(call)

    def _said(self, part: Asked) -> Part:
        match part.need("type"):
            case "text":
                return Text(part.need_text("text"), part.mapping("cache_control"))
            case "refusal":
                return Refusal(part.need_text("refusal"))
        raise part.refuse("type", "must be text or refusal")

    def _call(self, call: Asked) -> ToolUse:
        name = call.need("id")
        self._calls.add(name)
        if call.text("type") == "custom":
            self._losses.note(Loss.CUSTOM_TOOL)
            custom = call.need_child("custom")
            given = json_text({"input": custom.need_text("input")})
            return ToolUse(name, custom.need("name"), given)
        function = call.need_child("function")
        arguments = function.text("arguments")
        return ToolUse(name, function.need("name"), arguments or "{}")


def _image(part: Asked) -> Image:
    if type(part.members.get("image_url")) is str:  # many clients write it so
        return image_of_url(part.need("image_url"), None, part.name("image_url"))
    image = part.need_child("image_url")
    return image_of_url(image.need("url"), image.text("detail"), image.name("url"))


def _document(file: Asked) -> Document:
    if file.states("file_id") and not file.states("file_data"):
        raise file.refuse("file_id", "names a file that another server cannot read")
    data, name = file.need("file_data"), file.text("filename")
    return document_of_url(data, name, file.name("file_data"))
