"""How an exchange stands and how it ends: its state, what the client is sent, the one Commit.

It reads neither clock nor upstream; `client_side.py` and `exchange.py` tell it when.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace

from streamgauge.core.actions import (
    Action,
    AttemptOver,
    CloseUpstream,
    EndClient,
    SendAnswer,
    SendData,
    SendHead,
)
from streamgauge.core.answer import Answer
from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.books import Books
from streamgauge.core.deadlines import Stamps
from streamgauge.core.dialects.registry import SPOKEN
from streamgauge.core.integrity import Integrity, Stamper
from streamgauge.core.integrity_text import new_stamper
from streamgauge.core.passage import Passage
from streamgauge.core.record import Anomaly, Delivered, Disposition, ExchangeRecord, Status
from streamgauge.core.steady import Steady
from streamgauge.core.trying import Tries
from streamgauge.core.verdict import COMPLETED, LEDGER_UNAVAILABLE, OVERLOADED, State, Verdict

__all__ = ["Ending"]

_UNBOUNDED = 1 << 62
# Off its class an Enum's member takes a look-up each time.
_PLANNING = State.PLANNING
_STREAMING = State.STREAMING
_DRAINING = State.DRAINING
_DONE = State.DONE
_COMPLETED = Status.COMPLETED
_UNPROVED = Integrity.OFF


class Ending(ABC):
    """State of one exchange. Exactly one Commit; in DONE every input answers with no action.

    `record`: the row, closed once the state is DONE. `lost`: what the translation of the request
    could not carry, once it was sent (SPEC §13.3).
    """

    __slots__ = (
        "_answer",
        "_asked_usage",
        "_away",
        "_before_error",
        "_begins",
        "_begun",
        "_blocked",
        "_books",
        "_client_over",
        "_connected",
        "_dialect",
        "_earlier",
        "_head_sent",
        "_left_at",
        "_most_frames",
        "_parked",
        "_relaying",
        "_retry_at",
        "_stamper",
        "_stamps",
        "_steady",
        "_tool_names",
        "_tries",
        "_unread_tail",
        "_until",
        "_upstream_open",
        "_verdict",
        "attempt",
        "facts",
        "lost",
        "record",
        "state",
    )

    def __init__(self, facts: Facts, now: float) -> None:
        self.facts = facts
        self.state = _PLANNING
        self.attempt: Attempt = facts.attempts[0]
        self._dialect = SPOKEN[facts.request.dialect]
        self._books = Books(facts, self.attempt, now)
        self.record: ExchangeRecord = self._books.record
        self._stamps = Stamps(now, told=now)
        self._begun = self._connected = False
        self._begins = 0  # rows on their way to the ledger
        self._tries = Tries(facts)
        self._earlier: Verdict | None = None  # on an attempt that was sent, and is over
        self._retry_at: float | None = None
        self._blocked = False  # the client reads nothing just now
        self._upstream_open = False
        self._asked_usage = False
        self._answer: Answer | None = None
        self._relaying: Passage | None = None
        self._stamper = _stamper_of(facts)
        self._steady: Steady | None = None
        self._verdict = COMPLETED  # how it will end, once the client's part is over
        self._until: float | None = None
        self._left_at: float | None = None
        self._client_over = False
        self._away = self._parked = False  # its client may come back (SPEC §11.5)
        self._head_sent = False
        self._unread_tail = b""  # the last bytes that passed with `metering: off`
        # The content frames after which a limit is reached, or a drain over.
        self._most_frames = _UNBOUNDED if facts.allowance is None else facts.allowance.frames
        self._before_error: int | None = None  # frames sent before one that told of an error
        self.lost: tuple[str, ...] = ()
        self._tool_names: Mapping[str, str] = {}  # the client's, by what the upstream was told

    def __repr__(self) -> str:
        return f"<Exchange {self.facts.id} {self.state.name}>"

    @property
    def parsed_frames(self) -> int:
        """Frames decoded so far; 0 where `metering: off` reads none (SPEC §4.9)."""
        self._settle()
        return 0 if self._relaying is None else self._relaying.parsed

    @property
    def draining(self) -> bool:
        """Whether the upstream is read on for a client that has left."""
        return self.state is _DRAINING and self._left_at is not None

    @property
    def _inside(self) -> bool:
        """Whether the client has a part of a frame, in which nothing of ours may stand."""
        if tail := self._unread_tail:
            return not tail.endswith((b"\n\n", b"\n\r\n", b"\r\r"))
        return self._relaying is not None and self._relaying.inside

    def _settle(self) -> None:
        """Count what has passed. Who asks or changes what is counted begins with it."""
        if self._steady is not None:
            self._steady.settle()

    def _send(self, data: bytes, now: float, *, alive: bool = False) -> list[Action]:
        """Send `data`; `alive`: it ends with a sign of life. The one way of bytes of a stream."""
        self._stamps.told = now
        if (stamper := self._stamper) is not None:
            data = stamper.alive(data) if alive else stamper.stamp(data)
            if not data:
                return []  # part of a large frame, which waits for its stamp
        if self.record.bytes_out:
            self.record.bytes_out += len(data)
        else:
            self._books.to_client(len(data))
        if self._head_sent:
            return [SendData(data)]
        self._head_sent = True
        self.state = _STREAMING
        self.record.http_status = 200
        return [SendHead(), SendData(data)]

    def _fail(
        self, verdict: Verdict, now: float, *, retry_after: str | None = None
    ) -> list[Action]:
        """End with `verdict`; the client, where it is still there, is told in its dialect.

        Where another attempt may mend it, that one begins instead.
        """
        if self.state is _DRAINING:
            return self._finish(self._verdict, now)
        if (following := self._follow(verdict, now)) is not None:
            return following
        verdict, over = self._blamed(verdict, now)
        told = [] if self._client_over else self._end_client(verdict, now, retry_after)
        self._client_over, self._verdict = True, verdict
        return [*over, *told, *self._finish(verdict, now)]

    def _blamed(self, verdict: Verdict, now: float) -> tuple[Verdict, list[Action]]:
        """Return how it ends: «rejected» is said only where no upstream was called (SPEC §5.1)."""
        books, earlier = self._books, self._earlier
        if verdict is LEDGER_UNAVAILABLE and len(books.attempts) == 1:
            return verdict, [AttemptOver(books.uncalled(verdict, now))]
        if verdict.status is not Status.REJECTED or earlier is None:
            return verdict, []
        # The attempt that we refused ourselves is over with that; the one before it was called.
        told = earlier if earlier.error is not None else replace(verdict, status=earlier.status)
        return told, [AttemptOver(books.close_failed(verdict, now))]

    def _end_client(self, verdict: Verdict, now: float, retry_after: str | None) -> list[Action]:
        relaying, error = self._relaying, verdict.error
        if error is None:
            closing = b"" if relaying is None else b"".join(relaying.take_held()) + relaying.close()
            if relaying is not None and closing:
                relaying.released = True  # what was held, or first said now, counts as sent
            told = self._send(closing, now) if closing else []
            return [*told, EndClient()] if self._head_sent else []
        if not self._head_sent:
            self.record.http_status = self._dialect.error_status(error)
            body = self._dialect.error_body(error, self.facts.id)
            self._books.to_client(len(body))
            wait = "1" if verdict is OVERLOADED else retry_after
            return [SendAnswer(self.record.http_status, body, wait)]
        start, frame = b"", None
        if relaying is not None and self._inside:
            start = b"\n\n"  # what the client has of a frame becomes one
            relaying.frames_out += relaying.inside_data
        self._before_error = self._frames_sent()
        if relaying is not None and (frame := relaying.fail(error)) is None:
            relaying.frames_out += 1
        if frame is None:
            frame = self._dialect.error_frame(error, self.facts.id, self.facts.request.endpoint)
        return [*self._send(start + frame, now), EndClient()]

    def _close_upstream(self) -> list[Action]:
        if not self._upstream_open:
            return []
        self._upstream_open = False
        return [CloseUpstream()]

    def _finish(self, verdict: Verdict, now: float) -> list[Action]:
        """The one place where an exchange ends."""
        if self._away and verdict.status is _COMPLETED:
            return self._park()
        disposition = self._disposition()
        if self._left_at is not None:
            self.record.drain_ms = round((now - self._left_at) * 1000, 3)
        if self.facts.reads(self.attempt):
            self._count_sent()
        if self._stamper is not None and self._head_sent:
            self._prove(self._stamper)
        commit = self._books.close(
            verdict,
            self.attempt,
            now,
            delivered=self._delivered(verdict),
            disposition=disposition,
        )
        self.state = _DONE  # only now: whatever failed before can be tried once more
        self._parked = False
        return [*self._close_upstream(), commit]

    def _park(self) -> list[Action]:
        """All is read but by the client, who may still come for it: the row waits (SPEC §11.5)."""
        self._parked = True
        self._until = self._answer = None
        self.state = _DRAINING
        return self._close_upstream()

    def _count_sent(self) -> None:
        error = self._before_error is not None
        if self._relaying is not None or error:  # what was held was never sent
            self.record.frames_out = self._frames_sent() or int(error)

    def _prove(self, stamper: Stamper) -> None:
        """Write down what was sent: seen on its way out, whatever it was made by."""
        self.record.frames_out = stamper.frames_out
        if self.facts.proof.mode is not _UNPROVED:
            self.record.stream_sha1 = stamper.stream_sha1

    def _disposition(self) -> Disposition:
        meter = self._books.meter
        if Anomaly.DRAIN_CAPPED in meter.anomalies:
            return Disposition.DRAIN_CAPPED
        if self._upstream_open and not meter.ended:
            return Disposition.CANCELLED
        return Disposition.READ_TO_END if self._left_at is None else Disposition.DRAINED

    @abstractmethod
    def _follow(self, verdict: Verdict, now: float) -> list[Action] | None:
        """Return the beginning of the attempt that follows a failure, None where none does."""

    @property
    def delivers(self) -> bool:
        """Whether the attempt's first content has come; unread, whether any of it was passed on."""
        if self.facts.reads(self.attempt):
            return self._books.meter.first_content is not None
        return self._delivered_something()

    def _delivered_something(self) -> bool:
        sent = self._frames_sent() if self._before_error is None else self._before_error
        return bool(sent or self._unread_tail)

    def _frames_sent(self) -> int:
        told = self._relaying
        return told.frames_out if told is not None and told.released else 0  # else it is held

    def _delivered(self, verdict: Verdict) -> Delivered:
        if verdict.status is _COMPLETED:
            return Delivered.ALL
        return Delivered.PART if self._delivered_something() else Delivered.NONE


def _stamper_of(facts: Facts) -> Stamper | None:
    request = facts.request
    if not request.stream:
        return None
    return new_stamper(facts.id, request.dialect, request.endpoint, facts.proof)
