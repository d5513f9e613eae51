"""Parts a user's turn for dialects where a tool's result is a message of its own, text only."""

from __future__ import annotations

from collections.abc import Sequence

from streamgauge.core.conversation import Document, Image, Part, Text, ToolResult
from streamgauge.core.dialects.losses import Loss, Losses

__all__ = ["Content", "SplitResults"]

Content = Text | Image | Document
"""What a user says beside the results of tools."""


class SplitResults:
    """Splits the turns of one request, in order: it numbers the images of all results.

    A result's images move into the user's turn behind it, under the name that the result has in
    their place (WIRE §5.4); so do documents.
    """

    __slots__ = ("_count", "_losses")

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._count = 0

    def split(self, parts: Sequence[Part]) -> tuple[list[tuple[str, str]], list[Content]]:
        """Return the results as call id and text, in their order, and what the user says after.

        A result that is an error begins with `Error: `; an empty one stays empty.
        """
        answers: list[tuple[str, str]] = []
        moved: list[Content] = []
        for part in parts:
            if isinstance(part, ToolResult):
                answers.append((part.call_id, self._text(part, moved)))
        rest = [part for part in parts if isinstance(part, Text | Image | Document)]
        return answers, moved + rest

    def _text(self, result: ToolResult, moved: list[Content]) -> str:
        self._losses.note(Loss.CACHE_CONTROL, result.cache)
        pieces = [self._piece(part, moved) for part in result.parts]
        text = "\n".join(pieces)
        return f"Error: {text}" if result.is_error else text

    def _piece(self, part: Content, moved: list[Content]) -> str:
        if isinstance(part, Text):
            self._losses.note(Loss.CACHE_CONTROL, part.cache)
            return part.text
        if isinstance(part, Document) and part.text is not None:
            self._losses.note(Loss.CACHE_CONTROL, part.cache)
            self._losses.note(Loss.DOCUMENT_TITLE, part.title)
            return part.text
        self._count += 1
        name = f"[{'image' if isinstance(part, Image) else 'document'} {self._count}]"
        moved += [Text(name), part]
        return name
