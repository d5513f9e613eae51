"""Which failed exchange a request repeats (SPEC §11.6). It knows no ledger and no clock."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from streamgauge.core.chat import ChatRequest
from streamgauge.core.record import ExchangeRecord, Status

__all__ = ["MAX_BODY", "MAX_FAILURES", "REPEAT_SECONDS", "Repeats"]

MAX_FAILURES = 10_000
REPEAT_SECONDS = 600.0
"""How long a failure is remembered, from its end."""
MAX_BODY = 1 << 20
"""Bodies beyond this are not compared: 1 MiB takes about a millisecond of the loop."""

_BY_WISH = frozenset({Status.CANCELLED, Status.SUPERSEDED})
"""Ends that somebody wanted: the same request again is a new one."""
_STREAMING = frozenset({"stream", "stream_options"})
"""Claude Code repeats a stream that failed as a call without one."""

_Asker = tuple[str | None, str | None]
"""Key and session."""


@dataclass(frozen=True, slots=True)
class _Failure:
    id: str
    ended: float


class Repeats:
    """The failures of the last ten minutes, at most `most` of them; the oldest is forgotten first."""

    __slots__ = ("_askers", "_failures", "_most", "_seconds")

    def __init__(self, most: int = MAX_FAILURES, seconds: float = REPEAT_SECONDS) -> None:
        self._failures: dict[tuple[_Asker, bytes], _Failure] = {}  # the oldest first
        self._askers: Counter[_Asker] = Counter()
        self._most = most
        self._seconds = seconds

    def __len__(self) -> int:
        return len(self._failures)

    def find(self, key_id: str | None, request: ChatRequest, now: float) -> str | None:
        """Return the id of the last failed exchange that `request` repeats, or None.

        `now`: monotonic seconds. A body is looked at only where its key and session have failed.
        """
        self._forget_old(now)
        asker = (key_id, request.session_id)
        if asker not in self._askers or len(request.raw) > MAX_BODY:
            return None
        failure = self._failures.get((asker, _digest(request)))
        return None if failure is None else failure.id

    def ended(self, record: ExchangeRecord, request: ChatRequest, now: float) -> None:
        """Remember an exchange that failed; of others nothing is kept."""
        if record.success is not False or record.status in _BY_WISH or len(request.raw) > MAX_BODY:
            return
        self._forget_old(now)
        asker = (record.key_id, request.session_id)
        name = (asker, _digest(request))
        if self._failures.pop(name, None) is None:
            self._askers[asker] += 1
        self._failures[name] = _Failure(record.id, now)
        while len(self._failures) > self._most:
            self._forget_first()

    def _forget_old(self, now: float) -> None:
        while self._failures:
            if next(iter(self._failures.values())).ended > now - self._seconds:
                return
            self._forget_first()

    def _forget_first(self) -> None:
        asker, _ = name = next(iter(self._failures))
        del self._failures[name]
        self._askers[asker] -= 1
        if not self._askers[asker]:
            del self._askers[asker]


def _digest(request: ChatRequest) -> bytes:
    """Return a hash of what is asked for: endpoint and body, but not whether it is streamed."""
    asked = {name: value for name, value in request.fields.items() if name not in _STREAMING}
    try:
        text = msgspec.json.encode(asked)
    except (UnicodeEncodeError, OverflowError):  # a lone surrogate, an integer beyond 64 bits
        text = json.dumps(asked).encode()
    return blake2b(request.endpoint.encode() + b"\n" + text, digest_size=16).digest()
