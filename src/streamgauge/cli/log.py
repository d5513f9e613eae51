"""Writes log lines to stderr, from our own events and from the standard library's logging."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from streamgauge.sinks.logline import LEVELS, encode_json, encode_logfmt

__all__ = ["LogWriter", "route_logging"]

_LEVEL_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class LogWriter:
    """Lines of one format, from one level on. `style`: auto is logfmt on a terminal, else JSON."""

    def __init__(self, style: str, level: str, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        plain = style == "logfmt" or (style == "auto" and self._stream.isatty())
        self._plain = plain
        self._least = LEVELS.index(level)

    def __call__(self, level: str, event: str, fields: list[tuple[str, str]]) -> None:
        """Write one line; an exchange's own line has no event word in front (SPEC §9.1)."""
        if LEVELS.index(level) < self._least:
            return
        if not self._plain:
            line = encode_json(level, event, fields)
        elif event == "exchange":
            line = encode_logfmt(fields)
        else:
            line = f"{event} {encode_logfmt(fields)}".rstrip()
        try:
            print(line, file=self._stream, flush=True)
        except (BrokenPipeError, ValueError):
            return  # whoever read our stderr is gone: streams go on


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
