"""Plays the steps of one answer on a socket, on time, and books what was flushed. No HTTP here."""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from typing import Protocol

from streamgauge.core.once import Once
from streamgauge.core.usage import TokenUsage
from streamgauge.tools.simulator.journal import Ending, Entry
from streamgauge.tools.simulator.script import End, Step, Wait, Write

__all__ = ["Player", "Wire"]

_BURST = 64
"""Writes in one go before the loop may read again: small enough to see a client leave at once."""


class Wire(Protocol):
    """The socket as the player needs it."""

    def write(self, data: bytes) -> bool:
        """Hand `data` to the kernel in one write; False when part of it has to wait."""

    def half_close(self) -> None:
        """Send FIN and go on reading."""


class Player:
    """The answer to one request. It ends once: played to its end, or because the peer went."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        wire: Wire,
        steps: Once[Step],
        entry: Entry,
        settled: Callable[[Entry], None],
        ended: Callable[[End], None],
    ) -> None:
        self._loop = loop
        self._wire = wire
        self._steps = iter(steps)
        self._entry = entry
        self._settled = settled
        self._ended = ended
        self._began = loop.time()
        self._last_write = self._began
        self._floor = self._began
        self._next: Write | End | None = None
        self._unflushed: Write | None = None
        self._timer: TimerHandle | None = None
        self._tokens = 0
        self._stated = False
        self._whole = False
        self._done = False

    def play(self) -> None:
        """Play on: from the start, when a write is due, or after a burst."""
        if self._done:
            return
        for _ in range(_BURST):
            step: Step = next(self._steps, End.CLOSE) if self._next is None else self._next
            if isinstance(step, Wait):
                self._floor = max(self._floor, self._last_write) + step.seconds
            elif not self._due(step):
                return
            elif isinstance(step, End):
                self._finish(step)
                return
            elif not self._send(step):
                return
        self._loop.call_soon(self.play)

    def flushed(self) -> None:
        """The kernel took what had to wait: book it and play on."""
        if self._unflushed is not None and not self._done:
            step, self._unflushed = self._unflushed, None
            self._book(step)
            # Not at once: asyncio loses a connection twice that is closed inside `resume_writing`.
            self._loop.call_soon(self.play)

    def gone(self) -> None:
        """The peer closed or reset the connection: stop here."""
        if self._done:
            return
        if self._entry.ending is None:
            self._entry.close_seen_ms = (self._loop.time() - self._last_write) * 1e3
            self._entry.closed_at = time.time()
        self._end(Ending.CLIENT_CLOSED, End.CLOSE)

    def stop(self) -> None:
        """The simulator shuts down: what is still open was cut by it."""
        if not self._done:
            self._end(Ending.CUT, End.CLOSE)

    def _due(self, step: Write | End) -> bool:
        at = step.at if isinstance(step, Write) else 0.0
        due = max(self._floor, self._began + at)
        if due <= self._loop.time():
            self._next = None
            return True
        self._next = step
        self._timer = self._loop.call_at(due, self.play)
        return False

    def _send(self, step: Write) -> bool:
        if step.last:
            self._settle(Ending.CUT)
        self._last_write = self._loop.time()
        if not self._wire.write(step.data):
            self._unflushed = step
            return False
        self._book(step)
        return True

    def _book(self, step: Write) -> None:
        entry = self._entry
        entry.bytes += step.size
        entry.frames += step.frames
        self._tokens += step.tokens
        self._whole = self._whole or step.whole
        if not self._stated and entry.completion_tokens is not None:
            entry.completion_tokens = self._tokens
        if step.usage is not None:
            self._state(step.usage)

    def _state(self, usage: TokenUsage) -> None:
        self._entry.usage_sent = True
        if usage.input is not None:
            self._entry.prompt_tokens = usage.input
        if usage.output is not None:
            self._entry.completion_tokens = usage.output
            self._stated = True

    def _finish(self, end: End) -> None:
        match end:
            case End.HOLD:
                return
            case End.HALF:
                self._wire.half_close()
            case _:
                self._end(Ending.CUT, end)

    def _settle(self, unless_whole: Ending) -> None:
        """Close the books, once: `complete` if the answer was flushed whole, else as said."""
        if self._entry.ending is None:
            self._entry.ending = Ending.COMPLETE if self._whole else unless_whole
            self._entry.ended_at = time.time()
            self._settled(self._entry)

    def _end(self, unless_whole: Ending, end: End) -> None:
        self._done = True
        if self._timer is not None:
            self._timer.cancel()
        self._settle(unless_whole)
        self._ended(end)
