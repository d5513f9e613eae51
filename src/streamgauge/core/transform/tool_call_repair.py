"""Repairs the tool calls of an answer: as events, or as frames that wait for their block.

It knows no dialect: who cuts the frames says what each adds, and how one with other arguments is
written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from streamgauge.core.events import Ended, Event, Finished, ToolCallDelta
from streamgauge.core.record import Anomaly
from streamgauge.core.transform.argument_repair import ArgumentRepair

__all__ = ["FrameWriter", "HeldCall", "RepairEvents", "repaired"]

FrameWriter = Callable[[str, bool], bytes]
"""Writes a frame with these arguments; True: without the call's name and id, which were told."""


def repaired(arguments: str) -> str | None:
    """Return whole arguments repaired, or None where there is nothing to repair."""
    repair = ArgumentRepair()
    told = repair.feed(arguments) + repair.end()
    return told if repair.changed else None


class RepairEvents:
    """The events of one answer. Only a call's own arguments wait, and only while in doubt."""

    __slots__ = ("_calls", "_note")

    def __init__(self, note: Callable[[str], None]) -> None:
        """`note` is told the name of an anomaly."""
        self._calls: dict[tuple[int, int], ArgumentRepair] = {}
        self._note = note

    def feed(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events that are certain now."""
        return [told for event in events for told in self._told(event)]

    def _told(self, event: Event) -> Iterator[Event]:
        if isinstance(event, ToolCallDelta):
            call = self._calls.setdefault((event.choice, event.index), ArgumentRepair())
            if text := call.feed(event.arguments):
                yield ToolCallDelta(event.index, text, event.choice)
            return
        if isinstance(event, Finished):
            yield from self._ended(event.choice)
        elif isinstance(event, Ended):
            yield from self.end()
        yield event

    def _ended(self, wanted: int | None) -> Iterator[Event]:
        for choice, index in list(self._calls):
            if wanted not in (None, choice):
                continue
            call = self._calls[choice, index]
            if text := call.end():
                yield ToolCallDelta(index, text, choice)
            if call.failed:
                self._note(Anomaly.BAD_TOOL_JSON)

    def end(self) -> Sequence[Event]:
        """Return what was held."""
        return list(self._ended(None))


class HeldCall:
    """The frames of one call. One whose text is certain leaves as it came; others are rewritten."""

    __slots__ = ("_held", "_note", "_repair", "_rewriting", "_unsent", "_write")

    def __init__(self, note: Callable[[str], None]) -> None:
        """`note` is told the name of an anomaly."""
        self._repair = ArgumentRepair()
        self._note = note
        self._held: list[bytes] = []
        self._write: FrameWriter | None = None  # of the first frame that is held
        self._unsent: list[str] = []  # what the held frames may say by now
        self._rewriting = False

    def feed(self, raw: bytes, arguments: str, write: FrameWriter) -> list[bytes]:
        """Return the frames to send now. `raw` says nothing but `arguments`."""
        self._take(arguments)
        if self._rewriting:
            return self._rewritten(write)
        self._held.append(raw)
        self._write = self._write or write
        return [] if self._repair.waiting else self._release()

    def _take(self, arguments: str) -> None:
        self._unsent.append(self._repair.feed(arguments))
        self._rewriting = self._rewriting or self._repair.changed

    def mixed(self, arguments: str, *, last: bool) -> tuple[list[bytes], str]:
        """Return frames to send before one that says other things too, and what it is to say.

        `last`: nothing comes behind it.
        """
        self._take(arguments)
        if last:
            self._unsent.append(self._repair.end())
            self._tell()
        if not (self._held or self._rewriting or self._repair.waiting):
            self._unsent.clear()
            return [], arguments
        self._rewriting = True
        before = [self._write("", False)] if self._write is not None else []
        self._held.clear()
        self._write = None
        return before, self._text()

    def end(self, write: FrameWriter) -> list[bytes]:
        """Return the frames that are left at the end of the call."""
        self._unsent.append(self._repair.end())
        self._tell()
        if not (self._rewriting or self._repair.changed):
            return self._release()
        return self._rewritten(lambda text, told: write(text, True))

    def _tell(self) -> None:
        if self._repair.failed:
            self._note(Anomaly.BAD_TOOL_JSON)

    def _release(self) -> list[bytes]:
        frames, self._held = self._held, []
        self._write = None
        self._unsent.clear()
        return frames

    def _rewritten(self, write: FrameWriter) -> list[bytes]:
        """Return one frame with what may be said; the call's first frame has its name as well."""
        first, self._write = self._write, None
        self._held.clear()
        text = self._text()
        if first is not None:
            return [first(text, False)]
        return [write(text, False)] if text else []

    def _text(self) -> str:
        text = "".join(self._unsent)
        self._unsent.clear()
        return text
