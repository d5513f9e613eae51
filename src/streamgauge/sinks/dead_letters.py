"""A file of rows that a destination refused for good, one JSON object a line. Knows no destination."""

from __future__ import annotations

import json
import os
from pathlib import Path

__all__ = ["DeadLetters"]

_MOST_BYTES = 64 << 20
"""The rows themselves stay in the ledger; a destination that refuses everything must not fill the disk."""


class DeadLetters:
    """Lines are in the order of closing, and none comes twice, also when rows are sent again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: int | None = None
        self._cut = False

    def add(self, seq: int, id: str, reason: str, point: str) -> None:
        """Write one row and have it on the disk, unless it is there. Raises OSError.

        Above 64 MiB nothing more is written.
        """
        if self._last is None:
            self._last = self._last_seq()
        if seq <= self._last:
            return
        letter = {"seq": seq, "id": id, "reason": reason, "point": point}
        line = b"\n" * self._cut + json.dumps(letter).encode() + b"\n"
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "ab") as file:
            if file.tell() + len(line) <= _MOST_BYTES:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        self._last, self._cut = seq, False

    def _last_seq(self) -> int:
        last = 0
        if self.path.exists():
            with self.path.open("rb") as file:
                for line in file:
                    self._cut = not line.endswith(b"\n")
                    try:
                        last = max(last, int(json.loads(line)["seq"]))
                    except (ValueError, KeyError, TypeError):
                        continue  # A crash cut it.
        return last
