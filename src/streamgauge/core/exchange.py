"""The state machine of one client request: inputs in, actions out. The only maker of a Commit.

It knows no socket and no clock: every input carries `now`, monotonic seconds. The client's half
and the endings stand in `client_side.py`, the reading of streams in `upstream_side.py`.
"""

from __future__ import annotations

from streamgauge.core.actions import (
    Action,
    AttemptOver,
    EndClient,
    OpenUpstream,
    RememberRefusal,
    SendAnswer,
    SendRequest,
    WakeAt,
)
from streamgauge.core.answer import Answer, AnswerKind, answer_kind
from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.dialects.base import Written
from streamgauge.core.errors import RequestError
from streamgauge.core.passage import EMPTY
from streamgauge.core.record import Anomaly
from streamgauge.core.refusal import error_of, error_of_stream
from streamgauge.core.starting import asks_usage, plainer, request_body
from streamgauge.core.trying import may_be_mended
from streamgauge.core.upstream_side import UpstreamSide
from streamgauge.core.verdict import (
    COMPLETED,
    LEDGER_UNAVAILABLE,
    State,
    Verdict,
    after_end,
    failed,
    protocol_error,
    refused,
)
from streamgauge.core.whole import read_whole, says_nothing, whole_body, whole_stream

__all__ = ["Exchange"]

# Off its class an Enum's member takes a look-up each time.
_CONNECTING = State.CONNECTING
_HOLDING = State.HOLDING
_STREAMING = State.STREAMING
_DRAINING = State.DRAINING
_DONE = State.DONE
_STREAM = AnswerKind.STREAM
_WHOLE = AnswerKind.WHOLE
_REFUSED = AnswerKind.REFUSED


class Exchange(UpstreamSide):
    """One client request with all its attempts: the upstream's half of the machine.

    Making one raises RequestError where no upstream's dialect can say the request.
    """

    __slots__ = ("_paused_by", "_written")

    def __init__(self, facts: Facts, now: float) -> None:
        super().__init__(facts, now)
        self._paused_by = COMPLETED  # the failure behind which a repeat waits
        self._written: Written | None = None
        if self._tries.begin(self._unsaid):
            self.attempt = facts.attempts[self._tries.index]
            self._books.instead(self.attempt)

    def _write(self, attempt: Attempt) -> Written:
        # Unread, its frame could not be hidden from a client that did not ask.
        self._asked_usage = self.facts.reads(attempt) and asks_usage(attempt, self.facts.request)
        return request_body(self.facts, attempt, self._asked_usage)

    def start(self, now: float) -> list[Action]:
        """Begin the row and connect."""
        return self._begin_attempt(self.attempt, now)

    def _begin_attempt(self, attempt: Attempt, now: float) -> list[Action]:
        self.attempt = attempt
        self.state = _CONNECTING
        begin = self._books.begin(attempt, now)
        self._begins += 1
        self._begun = not self.facts.begin_first
        self._connected = False
        self._upstream_open = True
        self._answer = self._relaying = self._steady = self._retry_at = None
        if self._begun:
            self._books.begun(now)
        self._stamps = self._stamps.of_next(begin=None if self._begun else now)
        return [begin, OpenUpstream(len(self._books.attempts), self._tries.index)]

    def begun(self, now: float) -> list[Action]:
        """The open rows of an attempt are committed; it may be over by now."""
        self._begins = max(0, self._begins - 1)
        if self.state is not _CONNECTING or self._begun or self._begins:
            return []
        self._begun, self._stamps.begin = True, None
        self._books.begun(now)
        return self._send_request(now)

    def begin_failed(self, now: float) -> list[Action]:
        """The open rows could not be committed: nothing may go upstream (SPEC §8.1)."""
        self._begins = max(0, self._begins - 1)
        if self.state is not _CONNECTING:  # `begin: async`: it has gone, and close writes all
            return []
        return self._fail(LEDGER_UNAVAILABLE, now)

    def connected(self, now: float) -> list[Action]:
        """A socket to the upstream is ready."""
        if self.state is not _CONNECTING or not self._upstream_open:
            return []
        self._connected = True
        self._books.connected(now)
        return self._send_request(now)

    def _send_request(self, now: float) -> list[Action]:
        if not (self._begun and self._connected and self._upstream_open):
            return []
        written = self._written or self._write(self.attempt)
        self._written = None
        self.lost, self._tool_names = written.lost, written.tool_names
        self._stamps.sent = self._stamps.progress = now
        self._books.sent()
        self.state = _STREAMING if self._head_sent else _HOLDING
        return [SendRequest(len(self._books.attempts), written.body)]

    def attempt_failed(self, kind: str, now: float) -> list[Action]:
        """The call got no head; `kind` names the failure."""
        if self.state is _DONE or not self._upstream_open:
            return []
        self._settle()
        self._upstream_open = False
        return self._fail(failed(kind), now)

    def attempt_head(
        self, status: int, content_type: str | None, retry_after: str | None, now: float
    ) -> list[Action]:
        """The head of the answer came. There is one in each attempt."""
        if self.state is _DONE or self._answer is not None or not self._upstream_open:
            return []
        self._books.head(status, now)
        streaming, lines = self.facts.request.stream, self.attempt.dialect == "ollama"
        kind = answer_kind(status, content_type, streaming, lines=lines)
        if isinstance(kind, Verdict):
            return self._fail(kind, now)
        self._answer = Answer(kind, status, content_type, retry_after)
        if kind is _STREAM:
            self._relaying = self._new_passage()
        else:
            self._stamps.content, self._stamps.progress = True, now
        return self.client_blocked(now) if self._blocked else []

    def upstream_data(self, data: bytes, now: float) -> list[Action]:
        """Body bytes came."""
        answer = self._answer
        if answer is None or self.state is _DONE:
            return []
        self._books.data(len(data), now)
        if not answer.judged and (odd := self._judge(answer, data)) is not None:
            return self._fail(odd, now)
        if self._relaying is not None:
            return self._relay(self._relaying, data, now)
        self._stamps.progress = now
        if answer.collect(data):
            return []
        if answer.kind is _REFUSED:
            return self._refuse(answer, now)
        return self._fail(protocol_error("the upstream's answer is larger than 32 MiB"), now)

    def upstream_end(self, kind: str, now: float) -> list[Action]:
        """The body is over; `kind`: complete, cut, reset or protocol."""
        if self.state is _DONE or not self._upstream_open:
            return []
        self._settle()
        passage = self._relaying
        if kind == "complete" and self.attempt.dialect == "ollama" and passage is not None:
            # A body that is whole needs no line end behind its last line; a blank line says nothing.
            actions = self._relay(passage, b"\n", now)
            over = self._relaying is not passage or not self._upstream_open
            return actions if over else [*actions, *self._after_body(kind, now)]
        return self._after_body(kind, now)

    def _after_body(self, kind: str, now: float) -> list[Action]:
        self._upstream_open = False
        meter, answer = self._books.meter, self._answer
        if meter.ended and kind != "complete":
            meter.note(Anomaly.MISSING_LAST_CHUNK)
        if answer is None:
            return self._fail(failed(kind), now)
        if answer.kind is _REFUSED:
            return self._refuse(answer, now)
        if self.state is _DRAINING and answer.kind is _STREAM:
            return self._finish(self._verdict, now)
        if answer.kind is _WHOLE:
            return self._whole(answer, kind, now)
        if self._unread_tail and kind == "complete":
            self._client_over = True
            return [EndClient(), *self._finish(COMPLETED, now)]
        return self._fail(after_end(kind, finished=self._finished(), began=meter.frames > 0), now)

    def _whole(self, answer: Answer, kind: str, now: float) -> list[Action]:
        """A JSON answer has come whole, or was cut (SPEC §5.1)."""
        if kind != "complete":
            return self._fail(after_end(kind, finished=False, began=bool(answer.body)), now)
        request, body, meter = self.facts.request, answer.body, self._books.meter
        events = read_whole(self.facts, self.attempt, body)
        if events is None:
            return self._fail(protocol_error("the upstream's answer is not valid JSON"), now)
        if request.stream and not self._client_over:
            stream = whole_stream(self.facts, self.attempt, body, events)
            if isinstance(stream, Verdict):
                return self._fail(stream, now)
            return self._whole_as_stream(stream, now)
        meter.observe(events, now)
        meter.frames = 1
        if self.attempt.dialect is not None and meter.failed is None and says_nothing(meter):
            meter.failed = EMPTY
        if meter.failed is not None:
            error = error_of_stream(meter.failed, self.attempt)
            return self._fail(refused(error, meter.failed.status), now)
        meter.ended = True  # before it is booked: what is booked once is not booked again
        self._books.marked(self.attempt, now)
        if self._client_over:
            return self._finish(self._verdict, now)
        self._client_over = True
        self.record.http_status = answer.status
        body = whole_body(self.facts, self.attempt, body, events, meter, self._tool_names)
        self._books.to_client(len(body))
        return [SendAnswer(answer.status, body), *self._finish(COMPLETED, now)]

    def _whole_as_stream(self, stream: bytes, now: float) -> list[Action]:
        """A JSON answer to a stream request becomes a stream of its own dialect (F34)."""
        self._asked_usage = not self.facts.request.include_usage  # that frame is made here
        passage = self._relaying = self._new_passage()
        actions = self._relay(passage, stream, now)
        if self._relaying is not passage:  # it was an error, and another attempt follows
            return actions
        if not self._client_over:  # unread: nothing has seen its marker
            self._client_over = True
            actions.append(EndClient())
        return actions if self.state is _DONE else actions + self._finish(self._verdict, now)

    def _refuse(self, answer: Answer, now: float) -> list[Action]:
        """An error status: once more without what of ours was the cause (SPEC §3.2)."""
        attempt = self.attempt
        verdict = refused(error_of(answer, attempt), answer.status)
        if answer.status == 400 and not self._client_over:
            plain = plainer(self.facts, attempt, answer.body, asked_usage=self._asked_usage)
            if plain is not None:
                return self._again(plain, verdict, now)
        return self._fail(verdict, now, retry_after=answer.retry_after)

    def _again(self, plain: Attempt, verdict: Verdict, now: float) -> list[Action]:
        closing = self._close_upstream()
        over = AttemptOver(self._books.close_failed(verdict, now))
        self._earlier = Verdict(verdict.status)  # it blames what is ours: no client is told
        unsigned = plain.refuses_unsigned and not self.attempt.refuses_unsigned
        refusal = RememberRefusal(plain.upstream, unsigned)
        return [refusal, *closing, over, *self._begin_attempt(plain, now)]

    # --- one attempt after the other -----------------------------------------------------------

    def _follow(self, verdict: Verdict, now: float) -> list[Action] | None:
        """Go on with the next attempt, where one may mend it and nothing was shown (SPEC §14.2)."""
        if self._client_over or not may_be_mended(verdict) or self._delivered_something():
            return None
        sent = self._stamps.sent is not None
        following = self._tries.following(now, self._unsaid, sent=sent)
        if following is None:
            return None
        if sent:
            self._earlier = verdict
        closing = self._close_upstream()
        over = AttemptOver(self._books.close_failed(verdict, now))
        attempt = self.facts.attempts[following.index]
        if not following.delay:
            return [*closing, over, *self._begin_attempt(attempt, now)]
        self._retry_at, self._paused_by = now + following.delay, verdict
        self._answer = self._relaying = self._steady = None
        return [*closing, over, WakeAt(self._retry_at)]

    def _unsaid(self, place: int) -> RequestError | None:
        """Write the request for an attempt; return what its dialect cannot say, if so."""
        try:
            self._written = self._write(self.facts.attempts[place])
        except RequestError as refusal:
            self._written = None  # with the options of this one it says nothing of another
            return refusal
        return None

    def tick(self, now: float) -> list[Action]:
        """Look at the clock: about once a second, and at the times asked for by WakeAt."""
        if self._retry_at is None or self.state is _DONE or now < self._retry_at:
            return super().tick(now)
        if self._tries.admitted():
            return self._begin_attempt(self.facts.attempts[self._tries.index], now)
        self._retry_at = None  # its circuit has opened meanwhile: it ends as it stood
        return self._fail(self._paused_by, now)
