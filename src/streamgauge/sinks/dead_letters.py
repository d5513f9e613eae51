"""A file of rows that a destination refused for good, one JSON object a line. Knows no destination."""

from __future__ import annotations

import json
import os
from pathlib import Path

__all__ = ["DeadLetters"]

_MOST_BYTES = 64 << 20
"""The rows themselves stay in the ledger; a destination that refuses everything must not fill the disk."""


class DeadLetters:
    """Lines are in the order of closing, and no row comes twice, also when rows are sent again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # By id: `seq` begins anew with a new ledger, the file goes on.
        self._there: set[str] | None = None
        self._cut = False

    def add(self, seq: int, id: str, reason: str, point: str) -> None:
        """Write one row and have it on the disk, unless it is there. Raises OSError.

        Above 64 MiB nothing more is written.
        """
        if self._there is None:
            self._there = self._ids()
        if id in self._there:
            return
        letter = {"seq": seq, "id": id, "reason": reason, "point": point}
        line = b"\n" * self._cut + json.dumps(letter).encode() + b"\n"
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "ab") as file:
            if file.tell() + len(line) <= _MOST_BYTES:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
                self._there.add(id)
        self._cut = False

    def _ids(self) -> set[str]:
        found: set[str] = set()
        if self.path.exists():
            with self.path.open("rb") as file:
                for line in file:
                    self._cut = not line.endswith(b"\n")
                    try:
                        found.add(str(json.loads(line)["id"]))
                    except (ValueError, KeyError, TypeError):
                        continue  # A crash cut it.
        return found
