"""Whether the arguments of an answer's tool calls are JSON, once all have come. Knows no dialect."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from streamgauge.core.events import ToolCallDelta

__all__ = ["KEPT_CHARACTERS", "ToolArguments"]

KEPT_CHARACTERS = 1024 * 1024
"""Of all calls together. Beyond it nothing is kept and nothing is said: memory stays flat."""


@dataclass(slots=True)
class ToolArguments:
    """Collects what the calls of one answer are given, piece by piece, by choice and call."""

    _pieces: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    _left: int = KEPT_CHARACTERS

    def add(self, piece: ToolCallDelta) -> None:
        """Take in one piece; free text is never at fault."""
        if piece.free:
            return
        self._left -= len(piece.arguments)
        if self._left < 0:
            self._pieces.clear()
        else:
            self._pieces.setdefault((piece.choice, piece.index), []).append(piece.arguments)

    def legal(self) -> bool:
        """Return whether each call's arguments are JSON; none at all, or too much, is no fault."""
        return all(_is_json("".join(pieces)) for pieces in self._pieces.values())


def _is_json(text: str) -> bool:
    if not text:
        return True
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
