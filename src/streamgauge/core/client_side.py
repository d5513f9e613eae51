"""The client's half of an exchange, and the clock's: how it is slow, leaves, is stopped, runs late.

It never reads the upstream's bytes; `exchange.py` does.
"""

from __future__ import annotations

from dataclasses import replace

from streamgauge.core.actions import Action, PauseUpstream, ResumeUpstream, WakeAt
from streamgauge.core.ending import Ending
from streamgauge.core.record import Anomaly, ExchangeRecord, Status
from streamgauge.core.verdict import (
    BROKEN,
    CLIENT_LEFT,
    FAILED,
    SHUTDOWN,
    STOPPED,
    SUPERSEDED,
    Breaking,
    State,
    Verdict,
)

__all__ = ["ClientSide"]

_LOCAL = frozenset({"llamacpp", "ollama", "vllm", "sim"})
"""Kinds that cost nothing once they are cut, so that a drain would only waste them (§11.1)."""


class ClientSide(Ending):
    """Inputs of the client, of those who may stop it, and of the clock."""

    __slots__ = ()

    # --- the client ----------------------------------------------------------------------------

    def client_blocked(self, now: float) -> list[Action]:
        """The client's buffer is full: its own upstream waits, and nobody else's (SPEC §4.3)."""
        self._blocked = True
        if self._client_over or not self._upstream_open:
            return []
        self._stamps.pause(now)
        return [PauseUpstream()]

    def client_writable(self, now: float) -> list[Action]:
        """The client's buffer has room again."""
        self._blocked = False
        return [] if self.state is State.DONE else self._read_on(now)

    def _read_on(self, now: float) -> list[Action]:
        if self._stamps.paused is None:
            return []
        self._settle()
        self._stamps.resume(now)
        return [ResumeUpstream()] if self._upstream_open else []

    def client_gone(
        self, now: float, *, may_drain: bool = True, slow_reader: bool = False
    ) -> list[Action]:
        """The client left. `may_drain`: there is room for one more drain (SPEC §11.1)."""
        if self.state is State.DONE:
            return []
        self._settle()
        if self._client_over:
            return self._never_fetched(now)
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
        most = self._books.meter.content_frames + self.attempt.drain.max_tokens
        self._most_frames = min(self._most_frames, most)
        return [*self._read_on(now), WakeAt(self._until)]

    def client_away(self, now: float) -> list[Action]:
        """The client lost its connection and may come back; `client_gone` if not (SPEC §11.5)."""
        self._away = self.state is not State.DONE
        return []

    def client_back(self, now: float) -> list[Action]:
        """The client has all that was sent, with the end if there is one."""
        self._away = False
        return self._finish(self._verdict, now) if self._parked else []

    def _never_fetched(self, now: float) -> list[Action]:
        """The time is up for an end that the client, who was away, has not come for."""
        if self._away and self._verdict.status is Status.COMPLETED:
            self._verdict = CLIENT_LEFT
        self._away = False
        return self._finish(self._verdict, now) if self._parked else []

    def _drains(self) -> bool:
        attempt = self.attempt
        if attempt.on_disconnect != "auto":
            return attempt.on_disconnect == "drain"
        priced = attempt.price is not None and not attempt.price.is_free
        return priced and attempt.kind not in _LOCAL and self._delivered_something()

    def _cap_drain(self, now: float) -> list[Action]:
        self._books.meter.note(Anomaly.DRAIN_CAPPED)
        return self._finish(CLIENT_LEFT, now)

    def stop(self, now: float) -> list[Action]:
        """The stop endpoint or an admin ends the stream (SPEC §11.2)."""
        return self._end_from_outside(STOPPED, now)

    def supersede(self, now: float) -> list[Action]:
        """A newer stream of the session takes its place (SPEC §11.3).

        Where the client has its answer already, or has left, what is still read are numbers.
        """
        return [] if self._client_over else self._end_from_outside(SUPERSEDED, now)

    def shutdown(self, now: float) -> list[Action]:
        """We stop before it has ended (SPEC §18.4)."""
        return self._end_from_outside(SHUTDOWN, now)

    def broken(self, now: float, way: Breaking = Breaking.TOLD) -> list[Action]:
        """A fault of our own ends it, whatever was sent so far."""
        self._settle()
        verdict = self._of_fault()
        if way is Breaking.TOLD or self.state is State.DONE:
            return self._end_from_outside(verdict, now)
        self._client_over = True
        if way is Breaking.MUTE:
            return self._finish(verdict, now)
        self.state, self._parked = State.DONE, False
        return [*self._close_upstream(), self._books.abandon(verdict, now)]

    def _of_fault(self) -> Verdict:
        """Return how a fault ends it; for a client that has its end it is as it was told."""
        if not self._client_over:
            self._verdict = FAILED if self._stamps.sent is not None else BROKEN
        return self._verdict

    def _end_from_outside(self, verdict: Verdict, now: float) -> list[Action]:
        if self.state is State.DONE:
            return []
        self._settle()
        if self._client_over:
            return self._never_fetched(now) or self._finish(self._verdict, now)
        return self._fail(verdict, now)

    # --- those who look ------------------------------------------------------------------------

    @property
    def connecting(self) -> bool:
        """Whether no upstream has the request: it is being called, or will be called again."""
        return self.state in (State.PLANNING, State.CONNECTING) or self._retry_at is not None

    @property
    def may_have_been_billed(self) -> bool:
        """Whether an upstream may charge for one of its attempts that are over."""
        return True in [attempt.may_have_been_billed for attempt in self._books.attempts]

    @property
    def awaits_content(self) -> bool:
        """Whether nothing has come of what was asked for: the prompt is being read (SPEC §2.5)."""
        return not self._stamps.content

    @property
    def last_content_at(self) -> float | None:
        """When the newest content of the current attempt came, monotonic seconds; None before any."""
        self._settle()
        return self._books.meter.last_content

    def so_far(self, now: float) -> ExchangeRecord:
        """Return the row as it stands, with what has been read until `now`; a copy."""
        if self.state is State.DONE:
            return self.record
        self._settle()
        row, relaying = self._books.so_far(self.attempt, now), self._relaying
        if relaying is not None and self.facts.reads(self.attempt):
            row.frames_out = relaying.frames_out if relaying.released else 0
        return row

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
        self._settle()
        verdict = self._stamps.overdue(self.attempt.limits, now)
        if verdict is None:
            return self._keep_alive(now)
        if self._finished():  # the client has its whole answer: no error is added to it (§5.3)
            verdict = replace(verdict, error=None, quiet=True)
        return self._fail(verdict, now)

    def _finished(self) -> bool:
        """Whether all was said but the end marker; a translation's encoder knows, by choice."""
        if self.attempt.dialect is not None:
            return self._relaying is not None and self._relaying.awaits_marker
        return self._relaying is not None and self._books.meter.finish_reason is not None

    def _keep_alive(self, now: float) -> list[Action]:
        """After a silence the client gets a line that counts in nothing (SPEC §4.4)."""
        wait = self.facts.keepalive_seconds
        if not (self.facts.request.stream and wait) or now - self._stamps.told < wait:
            return []
        relaying = self._relaying
        if self._inside or self._blocked or (self._stamps.sent is None and not self._head_sent):
            return []
        alive = self._dialect.keepalive()
        if relaying is None:
            return self._send(alive, now, alive=True)
        return self._send(relaying.keep_alive(alive), now, alive=True)
