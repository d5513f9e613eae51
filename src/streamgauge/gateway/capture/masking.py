"""Blots out secrets in what is captured, by value and by pattern (FAULTS S11). It writes nothing.

Every byte of a secret becomes `*`, so that lengths and places stay true.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from streamgauge.core.refusal import spellings
from streamgauge.gateway.http import Header
from streamgauge.ledger.rows import storable_text

__all__ = ["HIDDEN_HEADERS", "MaskedFlow", "Masking", "Piece", "credentials_in"]

HIDDEN_HEADERS = frozenset(
    {b"authorization", b"x-api-key", b"cookie", b"set-cookie", b"proxy-authorization"}
    | {b"x-streamgauge-capture", b"api-key", b"x-goog-api-key"}
)
"""Their values are secrets whatever they say."""
_SHORTEST = 6
"""A shorter «secret» is a placeholder, and blotting it out would eat words."""
_LONGEST = 1024
"""Bytes of a secret at most: as long a tail may have to wait for what follows it."""
_PATTERNS = (
    rb"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}",
    rb"(?i:\bbearer )[A-Za-z0-9._~+/=-]{16,}",
    rb"\bgh[pousr]_[A-Za-z0-9]{20,}",
    rb"\bAKIA[0-9A-Z]{16}\b",
    rb"\bAIza[0-9A-Za-z_-]{30,}",
    rb"\bxox[abprs]-[A-Za-z0-9-]{10,}",
)
_VISIBLE_END = re.compile(rb"[\x21-\x7e]{1,%d}\Z" % _LONGEST)


def credentials_in(headers: Iterable[Header]) -> set[str]:
    """Return what a client showed of its secrets, for masking by value."""
    found: set[str] = set()
    for name, value in headers:
        if name in HIDDEN_HEADERS:
            text = value.decode("latin-1").strip()
            found |= {text, text.partition(" ")[2].strip()}
    return {value for value in found if len(value) >= _SHORTEST}


class Masking:
    """Knows what to blot out in the capture of one exchange."""

    __slots__ = ("_hidden",)

    def __init__(self, secrets: Iterable[str]) -> None:
        values = sorted({s for s in secrets if len(s) >= _SHORTEST}, key=len, reverse=True)
        words = [spellings(value).encode("utf-8", "surrogateescape") for value in values]
        self._hidden = re.compile(b"|".join([*words, *_PATTERNS]))

    def apply(self, data: bytes) -> bytes:
        """Return `data` with every secret blotted out; it is as long as before."""
        return self._hidden.sub(lambda found: b"*" * len(found[0]), data)

    def values(self, value: Any) -> Any:
        """Return `value`, of JSON's types, with every secret in its texts blotted out.

        Not in its text as JSON: who calls a piece of that text their key would break it.
        """
        if isinstance(value, str):
            return self.apply(storable_text(value).encode()).decode()
        if isinstance(value, dict):
            return {name: self.values(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.values(each) for each in value]
        return value

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return where secrets begin and end in `data`."""
        return [found.span() for found in self._hidden.finditer(data)]

    def head(self, start: str, headers: Iterable[Header]) -> str:
        """Return a message's head as text, without what hidden headers say."""
        lines = [start.encode("latin-1", "replace")]
        for name, value in headers:
            shown = b"*" * len(value) if name.lower() in HIDDEN_HEADERS else value
            lines.append(name + b": " + shown)
        return self.apply(b"\r\n".join(lines)).decode("latin-1")


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that passed at `t` µs, before and after masking."""

    t: int
    data: bytes
    masked: bytes


class MaskedFlow:
    """Masks one direction's body. A secret that is cut between two pieces is seen all the same."""

    __slots__ = ("_held", "_masking")

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self._held: list[tuple[int, bytes]] = []

    def take(self, t: int, data: bytes) -> list[Piece]:
        """Take in what came; return the pieces that no secret can reach into any more."""
        self._held.append((t, data))
        joined = b"".join(piece for _, piece in self._held)
        tail = _VISIBLE_END.search(joined, max(0, len(joined) - _LONGEST))
        return self._release(joined, len(joined) if tail is None else tail.start())

    def rest(self) -> list[Piece]:
        """Return what is left: nothing follows."""
        joined = b"".join(piece for _, piece in self._held)
        return self._release(joined, len(joined))

    def _release(self, joined: bytes, until: int) -> list[Piece]:
        """Return the pieces that end by `until`, and no half of a secret with them."""
        spans = self._masking.spans(joined)
        ends = list(accumulate(len(data) for _, data in self._held))
        count = bisect_right(ends, until)
        while count and any(begin < ends[count - 1] < end for begin, end in spans):
            count -= 1
        masked, at, pieces = self._masking.apply(joined), 0, []
        for (t, data), end in zip(self._held[:count], ends, strict=False):
            pieces.append(Piece(t, data, masked[at:end]))
            at = end
        del self._held[:count]
        return pieces
