"""Repairs tool calls in chat chunks that pass as they are (SPEC §14.6). Other chunks stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamgauge.core.transform.frames import frame_with, object_in
from streamgauge.core.transform.tool_call_repair import FrameWriter, HeldCall

__all__ = ["ChatCallFrames"]

Members = dict[str, Any]
_Key = tuple[int, int]


class ChatCallFrames:
    """The chunks of one answer. Implements FrameRewriter.

    A call without an index gets its number. A chunk that says nothing but a piece of a call's
    arguments waits while these are in doubt; what it says besides never waits.
    """

    __slots__ = ("_held", "_ids", "_note", "_numbers", "_writers")

    def __init__(self, note: Callable[[str], None]) -> None:
        """`note` is told the name of an anomaly."""
        self._note = note
        self._held: dict[_Key, HeldCall] = {}
        self._writers: dict[_Key, FrameWriter] = {}
        self._ids: dict[tuple[int, str], int] = {}
        self._numbers: dict[int, int] = {}  # of each choice the call that was named last

    def rewrite(self, raw: bytes, payload: bytes, event: bytes) -> Sequence[bytes]:
        """Return the chunks to send now."""
        if not self._held and b'"tool_calls"' not in payload:
            return [raw]
        if payload.strip() == b"[DONE]":
            return [*self.end(), raw]
        members = object_in(payload)
        choices = None if members is None else members.get("choices")
        if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
            return [raw]
        return _Chunk(self, raw, payload, event, choices).frames()

    def number(self, choice: int, call: Members) -> int:
        """Return the call's number: as stated, else by its id, else a new name's or the last."""
        id, stated = call.get("id"), call.get("index")
        known = self._ids.get((choice, id)) if isinstance(id, str) and id else None
        last = self._numbers.get(choice, -1)
        if isinstance(stated, int):
            found = stated
        elif known is not None:
            found = known
        else:
            found = last + 1 if id or _function(call).get("name") or last < 0 else last
        if isinstance(id, str) and id:
            self._ids[choice, id] = found
        self._numbers[choice] = max(last, found) if isinstance(stated, int) else found
        return found

    def held(self, key: _Key, write: FrameWriter) -> HeldCall:
        """Return what waits of a call; `write`: from its latest chunk."""
        self._writers[key] = write
        return self._held.setdefault(key, HeldCall(self._note))

    def end(self, choice: int | None = None) -> list[bytes]:
        """Return what was held of a choice, of all without one."""
        frames: list[bytes] = []
        for key in [key for key in self._held if choice in (None, key[0])]:
            frames += self._held.pop(key).end(self._writers.pop(key))
        return frames


class _Chunk:
    """One chunk. Its choices are its own copy, changed in place."""

    def __init__(
        self, of: ChatCallFrames, raw: bytes, payload: bytes, event: bytes, choices: list[Members]
    ) -> None:
        self._of = of
        self._raw, self._payload, self._event = raw, payload, event
        self._choices = choices
        self._changed = False

    def frames(self) -> list[bytes]:
        before: list[bytes] = []
        for position, choice in enumerate(self._choices):
            stated = choice.get("index")
            index = stated if isinstance(stated, int) else position
            calls = _calls(choice)
            for call in calls:
                key = (index, self._numbered(index, call))
                arguments = _function(call).get("arguments")
                if not isinstance(arguments, str):
                    continue
                held = self._of.held(key, self._writer(choice, call))
                if self._says_only(choice, calls):
                    return held.feed(self._written(), arguments, self._writer(choice, call))
                last = bool(choice.get("finish_reason"))
                more, told = held.mixed(arguments, last=last)
                before += more
                if told != arguments:
                    call["function"]["arguments"] = told
                    self._changed = True
            if choice.get("finish_reason"):
                before += self._of.end(index)
        return [*before, self._written()]

    def _numbered(self, choice: int, call: Members) -> int:
        number = self._of.number(choice, call)
        if not isinstance(call.get("index"), int):
            call["index"] = number
            self._changed = True
        return number

    def _says_only(self, choice: Members, calls: list[Members]) -> bool:
        """Whether the chunk is one piece of one call."""
        alone = len(self._choices) == 1 and len(calls) == 1 and not choice.get("finish_reason")
        delta = choice["delta"]
        return alone and not any(v for k, v in delta.items() if k not in ("tool_calls", "role"))

    def _writer(self, choice: Members, call: Members) -> FrameWriter:
        payload, event = self._payload, self._event

        def write(text: str, told: bool) -> bytes:
            function = {"arguments": text} if told else {**_function(call), "arguments": text}
            piece = {} if told else dict(call)
            piece |= {"index": call["index"], "function": function}
            kept = {"role": choice["delta"]["role"]} if choice["delta"].get("role") else {}
            delta = {**kept, "tool_calls": [piece]}
            again = {**choice, "delta": delta, "finish_reason": None}
            return frame_with(payload, event, choices=[again])

        return write

    def _written(self) -> bytes:
        if not self._changed:
            return self._raw
        return frame_with(self._payload, self._event, choices=self._choices)


def _calls(choice: Members) -> list[Members]:
    delta = choice.get("delta")
    calls = delta.get("tool_calls") if isinstance(delta, dict) else None
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _function(call: Members) -> Members:
    function = call.get("function")
    return function if isinstance(function, dict) else {}
