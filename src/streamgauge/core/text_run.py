"""The text of one kind as it comes, and where in it its own beginning comes again. It flags nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from streamgauge.core.integrity_stamp import characters

__all__ = ["MOST_PLACES", "PREFIX", "TextRun"]

PREFIX = 200
"""Characters of its beginning that an answer must repeat: shorter openings recur honestly."""
MOST_PLACES = 5
"""Places that are looked for at a time: the first ones tell, thousands do not."""
_PREFIX_MOST = 1600
"""A beginning that is periodic up to here, as a table's or a drawing's, is no longer looked for."""
_UNWATCHED = 4096
"""Characters after which a text that is not looked at any more is let go."""


class TextRun:
    """The text of one kind, of which its beginning is looked for further on.

    Cutting the text elsewhere changes nothing: frames are put together before they are searched.
    """

    __slots__ = (
        "_before",
        "_from",
        "_kept",
        "_length",
        "_lengths",
        "_parts",
        "_prefix",
        "_size",
        "_wanted",
    )

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._lengths: list[int] = []  # of the frames that `_parts` are from
        self._size = 0  # characters in `_parts`
        self._wanted = PREFIX * 3 // 2  # how many are, before it is worth a look
        self._kept = ""
        self._from = 0  # characters before `_kept`
        self._before: list[int] = []  # lengths of the frames that `_kept` is from
        self._length = PREFIX
        self._prefix: str | None = ""  # empty: not known yet; None: there is none

    @property
    def characters(self) -> int:
        """How many have come."""
        return self._from + len(self._kept) + self._size

    def add(self, text: str) -> bool:
        """Take in a frame's text; return whether it is time for a look."""
        self._parts.append(text)
        self._lengths.append(len(text))
        self._size += len(text)
        return self._size >= self._wanted

    def add_frames(self, texts: Sequence[bytes]) -> bool:
        """Do as `add` does for the text of each frame, in whole characters of UTF-8."""
        text = b"".join(texts).decode()
        self._parts.append(text)
        self._lengths += map(len if text.isascii() else characters, texts)
        self._size += len(text)
        return self._size >= self._wanted

    def look(self) -> Sequence[tuple[int, int]]:
        """Return where the beginning comes again: characters before it, and frames behind it."""
        text, lengths = self._kept + "".join(self._parts), self._lengths
        known = self._before + lengths
        self._parts, self._lengths, self._size = [], [], 0
        if self._prefix == "" and not self._begin(text):
            self._before = known
            return ()
        if self._prefix is None:
            self._before = []
            self._keep(text, 0)
            return ()
        self._before = lengths
        self._wanted = len(self._prefix)
        found: list[tuple[int, int]] = []
        seen = 0 if self._from else 1
        while len(found) < MOST_PLACES and (at := text.find(self._prefix, seen)) >= 0:
            found.append((self._from + at, _frames_behind(known, len(text) - at)))
            seen = at + 1
        self._keep(text, min(len(self._prefix) - 1, len(text) - seen))
        return found

    def _keep(self, text: str, count: int) -> None:
        self._from += len(text) - count
        self._kept = text[len(text) - count :]

    def _begin(self, text: str) -> bool:
        """Settle on the beginning to look for, one that is not periodic; False for not yet."""
        while len(text) >= self._length * 3 // 2:
            half = self._length // 2
            if text.find(text[:half], 1, self._length + half) < 0:
                self._prefix = text[: self._length]
                return True
            self._length *= 2
            if self._length > _PREFIX_MOST:
                self._prefix, self._wanted = None, _UNWATCHED
                return True
        self._kept = text
        self._wanted = self._length * 3 // 2 - len(text)
        return False


def _frames_behind(lengths: Sequence[int], characters: int) -> int:
    """Return how many frames follow the one in which the last `characters` begin."""
    return bisect_left([*accumulate(reversed(lengths))], characters)
