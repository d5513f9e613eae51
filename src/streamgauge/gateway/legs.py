"""The ways that one exchange may go, and what each one tells of its upstream. Knows no stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, overload

import msgspec

from streamgauge.core.record import AttemptRecord
from streamgauge.core.routing.outcome import Outcome, outcome_of
from streamgauge.gateway.http import FailKind, Header
from streamgauge.gateway.response_headers import seconds_of
from streamgauge.gateway.upstreams import UpstreamRuntime

__all__ = ["Leg", "Made", "Trial", "header_text"]

_Item = TypeVar("_Item")

_REFUSED = 400
_ANSWERED_BADLY = 500
_COOLING = frozenset({429, 503})
"""With these an upstream says when it wants to be asked again."""


class Leg(msgspec.Struct, frozen=True):
    """Where one attempt goes: the upstream, the path there, the client's headers as they fit it."""

    upstream: UpstreamRuntime
    path: str
    client_headers: tuple[Header, ...]


class Made(Sequence[_Item], Generic[_Item]):
    """Items of which each is made when it is first asked for, and then kept; the first is there.

    What a fallback needs, most requests never do.
    """

    __slots__ = ("_count", "_first", "_make", "_others")

    def __init__(self, first: _Item, make: Callable[[int], _Item], count: int) -> None:
        """`make` gives the item of a place, from 1 on."""
        self._first = first
        self._others: dict[int, _Item] | None = None
        self._make = make
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> _Item: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[_Item]: ...

    def __getitem__(self, place: int | slice) -> _Item | Sequence[_Item]:
        if place == 0:
            return self._first
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(self._count))]
        if not -self._count <= place < self._count:
            raise IndexError(f"there are {self._count} items")
        return self._other(place % self._count)

    def _other(self, place: int) -> _Item:
        if not place:
            return self._first
        if self._others is None:
            self._others = {}
        if place not in self._others:
            self._others[place] = self._make(place)
        return self._others[place]


class Trial:
    """One attempt as its upstream is judged by it: begun when it is made, judged once."""

    __slots__ = ("_began", "_ticket", "_upstream")

    def __init__(self, upstream: UpstreamRuntime, now: float) -> None:
        self._upstream = upstream
        self._began = now
        self._ticket: int | None = upstream.began(now)

    def failed(self, kind: FailKind, message: str) -> None:
        """No head came. That we had no descriptor left says nothing of the upstream."""
        if kind is not FailKind.EXHAUSTED:
            self._upstream.note_call(message)

    def answered(self, status: int, headers: Sequence[Header], now: float) -> None:
        """The head of an answer came."""
        upstream = self._upstream
        if status < _REFUSED:  # who refuses at once is not the quickest
            upstream.answered(now - self._began)
        upstream.note_call(f"status {status}" if status >= _ANSWERED_BADLY else None)
        if status in _COOLING:
            wait = header_text(headers, b"retry-after") or ""
            if (seconds := seconds_of(wait, upstream.longest_wait)) is not None:
                upstream.breaker.cool(now + seconds)

    def goes_on(self, now: float) -> None:
        """Something of the answer was delivered: a probe need not end before others are let in."""
        if self._ticket is not None:
            self._upstream.breaker.answered(now, self._ticket)

    def over(self, attempt: AttemptRecord, now: float) -> None:
        """The attempt has ended."""
        if self._ticket is not None:
            outcome = outcome_of(attempt)
            self._upstream.ended(outcome, self._ticket, now)
            self._ticket = None
            status = attempt.http_status
            if outcome is Outcome.FAULTY and status is not None and status < _ANSWERED_BADLY:
                self._upstream.newest_error = f"status {status}, then {attempt.outcome}"


def header_text(headers: Sequence[Header], name: bytes) -> str | None:
    """Return the first value of a header, None without it; `name` in lower case."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None
