"""Drives one Exchange between a client's responder and an upstream's call. It decides nothing.

It belongs to the server, not to the client's connection: a client that leaves cannot take it along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from streamgauge.core.actions import (
    Action,
    AttemptOver,
    BeginAttempt,
    BeginRecord,
    CloseUpstream,
    Commit,
    EndClient,
    OpenUpstream,
    PauseUpstream,
    RememberRefusal,
    ResumeUpstream,
    SendAnswer,
    SendData,
    SendHead,
    SendRequest,
    WakeAt,
)
from streamgauge.core.exchange import Exchange
from streamgauge.core.limit_terms import Standing
from streamgauge.gateway.http import EndKind, FailKind, Header, Responder, UpstreamCall
from streamgauge.gateway.legs import Leg, Trial, header_text
from streamgauge.gateway.relay_owner import RelayOwner
from streamgauge.gateway.response_headers import (
    answer_headers,
    lossy_headers,
    retry_after,
    stream_headers,
)
from streamgauge.gateway.steering import Steering
from streamgauge.gateway.timers import Timer
from streamgauge.gateway.upstreams import UpstreamRuntime
from streamgauge.ledger.base import LedgerError

__all__ = ["Relay"]


class Relay(Steering):
    """One exchange in motion. Implements ClientEvents and UpstreamEvents; every input has one line."""

    __slots__ = (
        "__weakref__",
        "_call",
        "_candidates",
        "_drains",
        "_head",
        "_history",
        "_leg",
        "_legs",
        "_owner",
        "_standing",
        "_trial",
        "_wake",
    )

    def __init__(
        self,
        owner: RelayOwner,
        exchange: Exchange,
        responder: Responder,
        legs: Sequence[Leg],
        candidates: bytes = b"",
        standing: Standing | None = None,
    ) -> None:
        """For the head of the answer: the planned tries' names, and how its key's limits stand."""
        super().__init__(exchange, responder)
        self._owner = owner
        self._legs = legs
        self._candidates = candidates
        self._standing = standing
        self._leg = legs[0]
        self._call: UpstreamCall | None = None
        self._trial: Trial | None = None
        self._head: tuple[Header, ...] = ()
        self._history: list[str] = []
        self._drains = False
        self._wake: Timer | None = None

    def __repr__(self) -> str:
        return f"<Relay {self.exchange!r}>"

    @property
    def upstream(self) -> UpstreamRuntime:
        """The upstream of the current attempt."""
        return self._leg.upstream

    def start(self, now: float) -> None:
        """Begin the exchange; from now on a client that leaves is noticed."""
        self._give(self.exchange.start, now)
        self._responder.subscribe(self)

    # --- from the client -----------------------------------------------------------------------

    def client_gone(self) -> None:
        """The client left."""
        upstream = self._leg.upstream
        may_drain = upstream.drains < upstream.config.drain.max_streams
        slow = bool(getattr(self._responder, "slow_reader", False))
        self._give(self.exchange.client_gone, monotonic(), may_drain=may_drain, slow_reader=slow)
        if self.exchange.draining and not self._drains:
            self._drains = True
            upstream.drains += 1

    def client_blocked(self) -> None:
        """The client's write buffer is full."""
        self._give(self.exchange.client_blocked, monotonic())

    def client_writable(self) -> None:
        """The client's write buffer has room."""
        self._give(self.exchange.client_writable, monotonic())

    def client_away(self) -> None:
        """The client lost its connection, and may come back."""
        self._give(self.exchange.client_away, monotonic())

    def client_back(self) -> None:
        """The client has all that was sent."""
        self._give(self.exchange.client_back, monotonic())

    # --- from the upstream ---------------------------------------------------------------------

    def upstream_connected(self) -> None:
        """A socket is ready."""
        self._give(self.exchange.connected, monotonic())

    def upstream_failed(self, kind: FailKind, message: str, sent: bool) -> None:
        """No head came."""
        if self._trial is not None:
            self._trial.failed(kind, message)
        self._call = None
        self._give(self.exchange.attempt_failed, kind, monotonic())

    def upstream_head(self, status: int, headers: tuple[Header, ...]) -> None:
        """The head of the answer came."""
        self._head, now, kind = headers, monotonic(), header_text(headers, b"content-type")
        if self._trial is not None:
            self._trial.answered(status, headers, now)
        wait = retry_after(header_text(headers, b"retry-after")) if status >= 400 else None
        self._give(self.exchange.attempt_head, status, kind, wait, now)

    def upstream_data(self, data: bytes) -> None:
        """Body bytes came."""
        now = monotonic()
        try:
            said = self.exchange.passes(data, now)
            if said is not None:  # nearly always: one frame of text, as the one before
                self._responder.send(said)
                return
            actions = self.exchange.upstream_data(data, now)
            if len(actions) == 1 and type(actions[0]) is SendData:
                self._responder.send(actions[0].data)
                return
        except Exception:  # as in `_give`, which would be one call more for each frame
            self._break()
            return
        if actions:
            self._do(actions)

    def upstream_end(self, kind: EndKind, message: str) -> None:
        """The body is over."""
        self._call = None
        self._give(self.exchange.upstream_end, kind, monotonic())

    # --- from the server -----------------------------------------------------------------------

    def tick(self) -> None:
        """Look at the clock."""
        now = monotonic()
        if self._trial is not None and self.exchange.delivers:
            self._trial.goes_on(now)
        self._give(self.exchange.tick, now)

    def stop(self) -> None:
        """End it: the stop endpoint or an admin asks for it."""
        self._give(self.exchange.stop, monotonic())

    def supersede(self) -> None:
        """End it: a newer stream of its session begins."""
        self._give(self.exchange.supersede, monotonic())

    def shutdown(self) -> None:
        """End it: the gateway stops."""
        self._give(self.exchange.shutdown, monotonic())

    # --- what the machine wants ----------------------------------------------------------------

    def _begun(self, error: LedgerError | None) -> None:
        exchange = self.exchange
        self._give(exchange.begun if error is None else exchange.begin_failed, monotonic())

    def _open(self, action: OpenUpstream) -> None:
        self._leg = leg = self._legs[action.place]
        self._head = ()
        self._history.append(leg.upstream.name)
        self._trial = Trial(leg.upstream, monotonic())
        self._call = self._owner.open_upstream(leg.upstream, self)

    def _judge(self, action: AttemptOver) -> None:
        """Tell the upstream what its attempt says of it."""
        if self._trial is not None:
            self._trial.over(action.attempt, monotonic())

    def _send_request(self, action: SendRequest) -> None:
        if self._call is None:
            return
        leg, key = self._leg, f"{self.exchange.facts.id}-{action.n}"
        request = leg.upstream.request(
            "POST", leg.path, action.body, client=leg.client_headers, idempotency_key=key
        )
        self._call.send(request)

    def _send_head(self, action: SendHead) -> None:
        record, secrets = self.exchange.record, self.exchange.attempt.secrets
        headers = stream_headers(record, self._history, self._head, self._standing, secrets)
        self._responder.send_head(200, self._completed(headers), None)

    def _send_answer(self, action: SendAnswer) -> None:
        record, secrets = self.exchange.record, self.exchange.attempt.secrets
        retry = action.retry_after
        headers = answer_headers(record, self._history, self._head, retry, self._standing, secrets)
        self._responder.send_head(action.status, self._completed(headers), len(action.body))
        if action.body:
            self._responder.send(action.body)
        self._responder.end()

    def _completed(self, headers: list[Header]) -> list[Header]:
        """Return `headers` with the planned tries, and with what was lost in translation."""
        headers.append((b"x-streamgauge-candidates", self._candidates))
        return headers + lossy_headers(self.exchange.lost) if self.exchange.lost else headers

    def _pause_call(self, action: PauseUpstream) -> None:
        if self._call is not None:
            self._call.pause()

    def _resume_call(self, action: ResumeUpstream) -> None:
        if self._call is not None:
            self._call.resume()

    def _close_call(self, action: CloseUpstream) -> None:
        if self._call is not None:
            self._call.close()
            self._call = None

    def _remember_refusal(self, action: RememberRefusal) -> None:
        self._leg.upstream.note_refusal(unsigned=action.unsigned)

    def _wake_at(self, action: WakeAt) -> None:
        delay = max(0.0, action.when - monotonic()) + 0.001  # more: the loop's timers round down
        self._forget_wake()
        self._wake = self._owner.call_later(delay, self.tick)

    def _forget_wake(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    def _commit(self, action: Commit) -> None:
        self._forget_wake()
        if self._drains:
            self._drains = False
            self._leg.upstream.drains -= 1
        # Nobody waits for it: a close is never given up by the ledger, and a failure is counted.
        try:
            self._owner.ledger.close(action.record, action.attempts)
            if self._trial is not None and action.attempts:
                self._trial.over(action.attempts[-1], monotonic())
        finally:  # else what its key holds would be held for good
            self._owner.relay_ended(self.exchange, action.record)


_DOING: Mapping[type[Action], Callable[[Relay, Any], None]] = {
    SendData: lambda relay, action: relay._responder.send(action.data),
    SendHead: Relay._send_head,
    EndClient: lambda relay, _: relay._responder.end(),
    SendAnswer: Relay._send_answer,
    BeginRecord: lambda relay, a: relay._owner.ledger.begin(a.record, a.attempt, relay._begun),
    BeginAttempt: lambda relay, a: relay._owner.ledger.attempt(a.attempt, relay._begun, a.over),
    OpenUpstream: Relay._open,
    AttemptOver: Relay._judge,
    SendRequest: Relay._send_request,
    PauseUpstream: Relay._pause_call,
    ResumeUpstream: Relay._resume_call,
    CloseUpstream: Relay._close_call,
    WakeAt: Relay._wake_at,
    RememberRefusal: Relay._remember_refusal,
    Commit: Relay._commit,
}
"""What each action is done by, looked up by its type: that costs the same for all."""
Relay.doing = _DOING
