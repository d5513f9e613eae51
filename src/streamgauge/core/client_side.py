"""The client's half of an exchange: its state, what it is sent, how it leaves, how it all ends.

It never reads the upstream's bytes; `exchange.py` does.
"""

from __future__ import annotations

from streamgauge.core.actions import (
    Action,
    CloseUpstream,
    EndClient,
    PauseUpstream,
    ResumeUpstream,
    SendAnswer,
    SendData,
    SendHead,
    WakeAt,
)
from streamgauge.core.answer import Answer
from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.books import Books
from streamgauge.core.deadlines import Stamps
from streamgauge.core.dialects.registry import SPOKEN
from streamgauge.core.passage import Passage
from streamgauge.core.record import Anomaly, Delivered, Disposition, ExchangeRecord, Status
from streamgauge.core.verdict import (
    CLIENT_LEFT,
    COMPLETED,
    OVERLOADED,
    SHUTDOWN,
    STOPPED,
    State,
    Verdict,
)

__all__ = ["ClientSide"]

_LOCAL = frozenset({"llamacpp", "ollama", "vllm", "sim"})
"""Kinds that cost nothing once they are cut, so that a drain would only waste them (§11.1)."""


class ClientSide:
    """State of one exchange. Exactly one Commit; in DONE every input answers with no action.

    `record`: the row, closed once the state is DONE. `lost`: what the translation of the request
    could not carry, once it was sent (SPEC §13.3).
    """

    __slots__ = (
        "_answer",
        "_asked_usage",
        "_begun",
        "_books",
        "_client_over",
        "_connected",
        "_dialect",
        "_head_sent",
        "_left_at",
        "_relaying",
        "_stamps",
        "_told_at",
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
        self.state = State.PLANNING
        self.attempt: Attempt = facts.attempts[0]
        self._dialect = SPOKEN[facts.request.dialect]
        self._books = Books(facts, now)
        self.record: ExchangeRecord = self._books.record
        self._stamps = Stamps(now)
        self._begun = self._connected = False
        self._upstream_open = False
        self._asked_usage = False
        self._answer: Answer | None = None
        self._relaying: Passage | None = None
        self._verdict = COMPLETED  # how it will end, once the client's part is over
        self._until: float | None = None
        self._left_at: float | None = None
        self._client_over = False
        self._head_sent = False
        self._unread_tail = b""  # the last bytes that passed with `metering: off`
        self._told_at = now  # the last bytes to the client
        self.lost: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Exchange {self.facts.id} {self.state.name}>"

    @property
    def parsed_frames(self) -> int:
        """Frames decoded so far; 0 where `metering: off` reads none (SPEC §4.9)."""
        return 0 if self._relaying is None else self._relaying.parsed

    @property
    def draining(self) -> bool:
        """Whether the upstream is read on for a client that has left."""
        return self.state is State.DRAINING and self._left_at is not None

    @property
    def _inside(self) -> bool:
        """Whether the client has a part of a frame, in which nothing of ours may stand."""
        if tail := self._unread_tail:
            return not tail.endswith((b"\n\n", b"\n\r\n", b"\r\r"))
        return self._relaying is not None and self._relaying.inside

    def _send(self, data: bytes, now: float) -> list[Action]:
        self._told_at = now
        if self.record.bytes_out:
            self.record.bytes_out += len(data)
        else:
            self._books.to_client(len(data))
        if self._head_sent:
            return [SendData(data)]
        self._head_sent = True
        self.state = State.STREAMING
        self.record.http_status = 200
        return [SendHead(), SendData(data)]

    # --- the client ----------------------------------------------------------------------------

    def client_blocked(self, now: float) -> list[Action]:
        """The client's buffer is full: its own upstream waits, and nobody else's (SPEC §4.3)."""
        if self._client_over or not self._upstream_open:
            return []
        self._stamps.pause(now)
        return [PauseUpstream()]

    def client_writable(self, now: float) -> list[Action]:
        """The client's buffer has room again."""
        return [] if self.state is State.DONE else self._read_on(now)

    def _read_on(self, now: float) -> list[Action]:
        if self._stamps.paused is None:
            return []
        self._stamps.resume(now)
        return [ResumeUpstream()] if self._upstream_open else []

    def client_gone(
        self, now: float, *, may_drain: bool = True, slow_reader: bool = False
    ) -> list[Action]:
        """The client left. `may_drain`: there is room for one more drain (SPEC §11.1)."""
        if self.state is State.DONE or self._client_over:
            return []
        self._client_over = True
        self._left_at = now
        self._verdict = CLIENT_LEFT
        if slow_reader:
            self._books.meter.note(Anomaly.SLOW_READER)
        if self._stamps.sent is None or not self._upstream_open or not self._drains():
            return self._finish(CLIENT_LEFT, now)
        if not may_drain:
            return self._cap_drain(now)
        self.state = State.DRAINING
        if self._relaying is not None:
            self._relaying.mute()
        self._until = now + self.attempt.drain.max_seconds
        return [*self._read_on(now), WakeAt(self._until)]

    def _drains(self) -> bool:
        attempt = self.attempt
        if attempt.on_disconnect != "auto":
            return attempt.on_disconnect == "drain"
        priced = attempt.price is not None and not attempt.price.is_free
        return priced and attempt.kind not in _LOCAL and self._delivered_something()

    def _delivered_something(self) -> bool:
        told = self._relaying is not None and self._relaying.frames_out > 0
        return told or bool(self._unread_tail)

    def _drained_enough(self) -> bool:
        return self._books.meter.content_frames >= self.attempt.drain.max_tokens

    def _cap_drain(self, now: float) -> list[Action]:
        self._books.meter.note(Anomaly.DRAIN_CAPPED)
        return self._finish(CLIENT_LEFT, now)

    def stop(self, now: float) -> list[Action]:
        """The stop endpoint or an admin ends the stream (SPEC §11.2)."""
        return self._end_from_outside(STOPPED, now)

    def shutdown(self, now: float) -> list[Action]:
        """We stop before it has ended (SPEC §18.4)."""
        return self._end_from_outside(SHUTDOWN, now)

    def _end_from_outside(self, verdict: Verdict, now: float) -> list[Action]:
        if self.state is State.DONE:
            return []
        if self._client_over:
            return self._finish(self._verdict, now)
        return self._fail(verdict, now)

    # --- time ----------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Action]:
        """Look at the clock: about once a second, and at the times asked for by WakeAt."""
        if self.state is State.DONE:
            return []
        if self._until is not None and now >= self._until:
            if self.draining and not self._books.meter.ended:
                return self._cap_drain(now)
            return self._finish(self._verdict, now)
        if self._client_over:
            return []
        verdict = self._stamps.overdue(self.attempt.limits, now)
        if verdict is not None:
            return self._fail(verdict, now)
        return self._keep_alive(now)

    def _keep_alive(self, now: float) -> list[Action]:
        """After a silence the client gets a line that counts in nothing (SPEC §4.4)."""
        wait = self.facts.keepalive_seconds
        if not (self.facts.request.stream and wait) or now - self._told_at < wait:
            return []
        relaying = self._relaying
        if self._inside or self._stamps.paused is not None or self._stamps.sent is None:
            return []
        told = [self._dialect.keepalive()]
        if relaying is not None:
            told = [*relaying.take_held(), relaying.keepalive() or told[0]]
            relaying.released = True
        return self._send(b"".join(told), now)

    # --- the end -------------------------------------------------------------------------------

    def _fail(
        self, verdict: Verdict, now: float, *, retry_after: str | None = None
    ) -> list[Action]:
        """End with `verdict`; the client, where it is still there, is told in its dialect."""
        if self.state is State.DRAINING:
            return self._finish(self._verdict, now)
        told = [] if self._client_over else self._end_client(verdict, now, retry_after)
        self._client_over = True
        return [*told, *self._finish(verdict, now)]

    def _end_client(self, verdict: Verdict, now: float, retry_after: str | None) -> list[Action]:
        relaying, error = self._relaying, verdict.error
        if error is None:
            closing = b"" if relaying is None else relaying.close()
            told = self._send(closing, now) if closing else []
            return [*told, EndClient()] if self._head_sent else []
        if not self._head_sent:
            self.record.http_status = self._dialect.error_status(error)
            body = self._dialect.error_body(error, self.facts.id)
            self._books.to_client(len(body))
            wait = "1" if verdict is OVERLOADED else retry_after
            return [SendAnswer(self.record.http_status, body, wait)]
        frame = None if relaying is None else relaying.fail(error)
        if frame is None:
            frame = self._dialect.error_frame(error, self.facts.id, self.facts.request.endpoint)
            if relaying is not None:
                relaying.frames_out += 1
        if self._inside:
            frame = b"\n\n" + frame
        return [*self._send(frame, now), EndClient()]

    def _close_upstream(self) -> list[Action]:
        if not self._upstream_open:
            return []
        self._upstream_open = False
        return [CloseUpstream()]

    def _finish(self, verdict: Verdict, now: float) -> list[Action]:
        """The one place where an exchange ends."""
        disposition = self._disposition()
        closing = self._close_upstream()
        self.state = State.DONE
        if self._left_at is not None:
            self.record.drain_ms = round((now - self._left_at) * 1000, 3)
        if self._relaying is not None and self.facts.reads(self.attempt):
            self.record.frames_out = self._relaying.frames_out
        commit = self._books.close(
            verdict,
            self.attempt,
            now,
            delivered=self._delivered(verdict),
            disposition=disposition,
        )
        return [*closing, commit]

    def _disposition(self) -> Disposition:
        meter = self._books.meter
        if Anomaly.DRAIN_CAPPED in meter.anomalies:
            return Disposition.DRAIN_CAPPED
        if self._upstream_open and not meter.ended:
            return Disposition.CANCELLED
        return Disposition.READ_TO_END if self._left_at is None else Disposition.DRAINED

    def _delivered(self, verdict: Verdict) -> Delivered:
        if verdict.status is Status.COMPLETED:
            return Delivered.ALL
        return Delivered.PART if self._delivered_something() else Delivered.NONE
