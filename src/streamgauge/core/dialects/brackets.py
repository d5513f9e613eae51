"""Says whether JSON text that comes in pieces is whole, without keeping it. It builds no value."""

from __future__ import annotations

import re

__all__ = ["Brackets"]

_FOLD = 64
"""Pieces read at a time: looking at each by itself would cost more than to send it."""
_MARKS = re.compile(r'\\.|\\\Z|["{}\[\]]', re.DOTALL)


class Brackets:
    """The open brackets of one JSON object or list. Pieces may be cut anywhere."""

    __slots__ = ("_begun", "_depth", "_in_string", "_pending")

    def __init__(self) -> None:
        self._begun = False
        self._depth = 0
        self._in_string = False
        self._pending: list[str] = []

    def add(self, piece: str) -> None:
        """Take in the next piece."""
        self._pending.append(piece)
        if len(self._pending) >= _FOLD:
            self._fold()

    @property
    def closed(self) -> bool:
        """Whether an object or list has begun, and all that was opened is closed."""
        self._fold()
        return self._begun and not self._depth and not self._in_string

    def _fold(self) -> None:
        text = "".join(self._pending)
        self._pending.clear()
        for mark in _MARKS.findall(text):
            if mark == '"':
                self._in_string = not self._in_string
            elif mark == "\\":
                self._pending.append(mark)  # what it escapes has not come yet
            elif self._in_string or mark[0] == "\\":
                continue
            elif mark in "{[":
                self._begun = True
                self._depth += 1
            else:
                self._depth = max(0, self._depth - 1)
