"""Writes log lines to stderr, from our own events and from the standard library's logging."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TextIO

from streamgauge.cli.log_formats import Entry, look_of
from streamgauge.cli.log_outlet import Outlet
from streamgauge.sinks.logline import LEVELS

__all__ = ["LogWriter", "Soon", "route_logging"]

Soon = Callable[[Callable[[], None]], object]
"""Runs a call once, soon, on the thread that asks for it."""

_AT_ONCE = frozenset({"warning", "error"})
_LAST_SECONDS = 1.0
"""How long the end waits for a reader who has not taken all: it may be a pager that nobody looks at."""
_LEVEL_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class LogWriter:
    """Lines of one format, from one level on. `style`: auto is logfmt on a terminal, else JSON."""

    def __init__(
        self,
        style: str,
        level: str,
        stream: TextIO | None = None,
        *,
        clock: Callable[[], datetime] = datetime.now,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """`clock`: local time, for the format that shows it. `environ`: NO_COLOR is obeyed."""
        stream = sys.stderr if stream is None else stream
        look = look_of(style, stream, environ)
        self._outlet = Outlet(stream)
        self._lost = 0  # lines for which there was no room any more
        self._counting = threading.Lock()
        self._clock = clock
        self._tells_time = look.tells_time
        self._line = look.line
        self._shown = _from(level)
        self._soon: Soon | None = None
        self._gatherer = 0
        self._lines: list[str] = []

    def gather(self, soon: Soon | None) -> None:
        """From now on write the lines of one turn of this thread's loop together, at its end.

        `soon`: the loop's `call_soon`; None writes what waits, and each line at once again: the end. Other
        threads' lines, warnings and errors never wait. One write a line, each of which lets other
        threads in between, was measured at a tenth of a short request.
        """
        self._soon = soon
        self._gatherer = threading.get_ident()
        self._write_waiting()
        if soon is None:
            self._outlet.finish(_LAST_SECONDS)

    def set_level(self, level: str) -> None:
        """From now on write lines from `level` on."""
        self._shown = _from(level)

    def shows(self, level: str) -> bool:
        """Return whether lines of `level` are written."""
        return level in self._shown

    def __call__(self, level: str, event: str, fields: list[tuple[str, str]]) -> None:
        """Write one line; an exchange's own line has no event word in front (SPEC §9.1)."""
        if level not in self._shown:
            return
        line = self._line(Entry(level, event, fields, self._now()))
        if self._soon is None or threading.get_ident() != self._gatherer:
            self._write(line)
            return
        self._lines.append(line)
        if level in _AT_ONCE:
            self._write_waiting()
        elif len(self._lines) == 1:
            self._soon(self._write_waiting)

    def _now(self) -> datetime | None:
        return self._clock() if self._tells_time else None

    def _write_waiting(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self._write("\n".join(lines))

    def _write(self, text: str) -> None:
        lost, told = 0, text
        if self._lost and self._outlet.has_room:
            with self._counting:
                lost, self._lost = self._lost, 0
        if lost:
            entry = Entry("warning", "log_lost", [("lines", str(lost))], self._now())
            told = f"{self._line(entry)}\n{text}"
        if not self._outlet.write(f"{told}\n"):
            with self._counting:
                self._lost += lost + text.count("\n") + 1


def _from(level: str) -> frozenset[str]:
    return frozenset(LEVELS[LEVELS.index(level) :])


class _Handler(logging.Handler):
    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        level = "debug" if record.levelno < 20 else record.levelname.lower()
        level = level if level in LEVELS else "error"
        fields = [("logger", record.name), ("message", record.getMessage())]
        if record.exc_info:
            fields.append(("error", self.format(record)))
        self._writer(level, "log", fields)


def route_logging(writer: LogWriter, level: str) -> None:
    """Send the standard library's log records through `writer`."""
    root = logging.getLogger()
    root.handlers[:] = [_Handler(writer)]
    root.setLevel(max(_LEVEL_NUMBERS[level], 20))
