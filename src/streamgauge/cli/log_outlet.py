"""Writes log text where nobody may be reading, and never waits for who does. Knows no line's format."""

from __future__ import annotations

import os
import select
import socket
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, TextIO

__all__ = ["Outlet"]

_MOST: Final = 1 << 20
"""Bytes kept for a reader who may come back, such as one who has stopped a terminal by Ctrl-S."""


class Outlet:
    """A stream's end. Into a pipe, socket or terminal goes what fits; a file takes all at once.

    Whoever waited at a full pipe would let every stream of the gateway wait.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._send: Callable[[bytes], int] | None = None
        if (opened := _opened(stream)) is not None:
            self._send, close = opened
            weakref.finalize(self, close)
        self._kept: deque[bytes] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def write(self, text: str) -> bool:
        """Write `text`, or keep it until the next call; return whether it was taken at all."""
        try:
            if self._send is None:
                self._stream.write(text)
                self._stream.flush()
                return True
            with self._lock:
                return self._write(self._send, text.encode("utf-8", "backslashreplace"))
        except (OSError, ValueError):
            return True  # whoever read our stderr is gone, or its disk is full: streams go on

    def finish(self, seconds: float) -> None:
        """Give a slow reader at most `seconds` for what is kept."""
        until = time.monotonic() + seconds
        while self._kept and (left := until - time.monotonic()) > 0:
            select.select((), (self._stream,), (), left)
            self.write("")

    @property
    def has_room(self) -> bool:
        """Whether nothing waits for a reader."""
        return not self._kept

    def _write(self, send: Callable[[bytes], int], data: bytes) -> bool:
        taken = self._size + len(data) <= _MOST or not self._kept
        if taken:
            self._kept.append(data)
            self._size += len(data)
        try:
            while self._kept:
                written = send(self._kept[0])
                self._size -= written
                rest = self._kept.popleft()[written:]
                if rest:
                    self._kept.appendleft(rest)
        except BlockingIOError:
            pass  # it is full: the next line tries again
        except OSError:
            self._kept.clear()
            self._size = 0
            raise
        return taken


def _opened(stream: TextIO) -> tuple[Callable[[bytes], int], Callable[[], None]] | None:
    """Return what writes to `stream` without a wait, and what closes that; None: a file needs none.

    A pipe or terminal is opened once more: to make ours non-blocking would make that of all who
    share it so, the shell's among them.
    """
    try:
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISSOCK(mode):
            end = socket.socket(fileno=os.dup(descriptor))
            return (lambda data: end.send(data, socket.MSG_DONTWAIT)), end.close
        if not (stat.S_ISFIFO(mode) or os.isatty(descriptor)):
            return None
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        again = os.open(f"/proc/self/fd/{descriptor}", flags)
    except (OSError, ValueError, AttributeError):
        return None  # no descriptor, or none that may be opened again: it is written to as it is
    return partial(os.write, again), partial(os.close, again)
