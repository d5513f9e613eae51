"""The state machine of one client request: inputs in, actions out. The only maker of a Commit.

It knows no socket and no clock: every input carries `now`, monotonic seconds. The client's half
and the endings stand in `client_side.py`.
"""

from __future__ import annotations

import json

from streamgauge.core.actions import (
    Action,
    EndClient,
    OpenUpstream,
    RememberRefusal,
    SendAnswer,
    SendRequest,
    WakeAt,
)
from streamgauge.core.answer import Answer, AnswerKind, answer_kind
from streamgauge.core.attempt import Attempt
from streamgauge.core.client_side import ClientSide
from streamgauge.core.closing import metadata_of
from streamgauge.core.deadlines import LATE_USAGE, MARKER_GRACE, Stamps
from streamgauge.core.passage import Passage, Turn
from streamgauge.core.passages import new_passage
from streamgauge.core.record import Anomaly
from streamgauge.core.refusal import (
    error_of,
    error_of_stream,
    names_option,
    redacted_bytes,
)
from streamgauge.core.sse import FrameTooLarge
from streamgauge.core.starting import asks_usage, request_body, running_option
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

__all__ = ["Exchange"]

# Read per frame: off its class an Enum's member takes a look-up each time.
_DONE, _ERROR = State.DONE, Turn.ERROR


class Exchange(ClientSide):
    """One client request with all its attempts: the upstream's half of the machine."""

    __slots__ = ()

    def start(self, now: float) -> list[Action]:
        """Begin the row and connect."""
        return self._begin_attempt(self.attempt, now)

    def _begin_attempt(self, attempt: Attempt, now: float) -> list[Action]:
        self.attempt = attempt
        self.state = State.CONNECTING
        begin = self._books.begin(attempt, now)
        self._begun = not self.facts.begin_first
        self._connected = False
        self._upstream_open = True
        self._answer = self._relaying = None
        if self._begun:
            self._books.begun(now)
        self._stamps = Stamps(self._stamps.started)
        return [begin, OpenUpstream(len(self._books.attempts))]

    def begun(self, now: float) -> list[Action]:
        """The open rows are committed."""
        if self.state is not State.CONNECTING or self._begun:
            return []
        self._begun = True
        self._books.begun(now)
        return self._send_request(now)

    def begin_failed(self, now: float) -> list[Action]:
        """The open rows could not be committed: nothing may go upstream (SPEC §8.1)."""
        if self.state is not State.CONNECTING:  # `begin: async`: it has gone, and close writes all
            return []
        return self._fail(LEDGER_UNAVAILABLE, now)

    def connected(self, now: float) -> list[Action]:
        """A socket to the upstream is ready."""
        if self.state is not State.CONNECTING:
            return []
        self._connected = True
        return self._send_request(now)

    def _send_request(self, now: float) -> list[Action]:
        if not (self._begun and self._connected):
            return []
        request, attempt = self.facts.request, self.attempt
        # Unread, its frame could not be hidden from a client that did not ask.
        self._asked_usage = self.facts.metering and asks_usage(attempt, request)
        self._stamps.sent = self._stamps.progress = now
        self._books.sent()
        self.state = State.HOLDING
        body = request_body(attempt, request, self._asked_usage)
        return [SendRequest(len(self._books.attempts), body)]

    def attempt_failed(self, kind: str, now: float) -> list[Action]:
        """The call got no head; `kind` names the failure."""
        if self.state is State.DONE:
            return []
        self._upstream_open = False
        return self._fail(failed(kind), now)

    def attempt_head(
        self, status: int, content_type: str | None, retry_after: str | None, now: float
    ) -> list[Action]:
        """The head of the answer came."""
        if self.state is State.DONE:
            return []
        self._books.head(status, now)
        kind = answer_kind(status, content_type, self.facts.request.stream)
        if isinstance(kind, Verdict):
            return self._fail(kind, now)
        self._answer = Answer(kind, status, content_type, retry_after)
        if kind is AnswerKind.STREAM:
            self._relaying = self._new_passage()
        else:
            self._stamps.content, self._stamps.progress = True, now
        return []

    def _new_passage(self) -> Passage:
        passage = new_passage(
            self.facts,
            self.attempt,
            self._books.meter,
            hide_usage=self._asked_usage,
            metadata=self._metadata,
            released=self._head_sent,
        )
        if self._client_over:
            passage.mute()
        return passage

    def _metadata(self) -> bytes:
        self._books.marked(self.attempt, self._stamps.progress)
        payload = json.dumps(metadata_of(self.record), separators=(",", ":")).encode()
        return self._dialect.metadata(self.facts.metadata, payload, self.record)

    def upstream_data(self, data: bytes, now: float) -> list[Action]:
        """Body bytes came."""
        answer = self._answer
        if answer is None or self.state is _DONE:
            return []
        if self.record.bytes_in:
            self.record.bytes_in += len(data)
        else:
            self._books.data(len(data), now)
        if self._relaying is not None:
            return self._relay(self._relaying, data, now)
        self._stamps.progress = now
        if answer.collect(data):
            return []
        if answer.kind is AnswerKind.REFUSED:
            return self._refuse(answer, now)
        return self._fail(protocol_error("the upstream's answer is larger than 32 MiB"), now)

    def _relay(self, relaying: Passage, data: bytes, now: float) -> list[Action]:
        if not self.facts.metering:
            return self._relay_unread(data, now)
        meter, stamps = relaying.meter, self._stamps
        marked = meter.ended
        stamp, stamps.progress = stamps.progress, now
        try:
            turn, out = relaying.feed(data, now)
        except FrameTooLarge:
            meter.note(Anomaly.OVERSIZE_FRAME)
            return self._fail(protocol_error("a frame of the upstream is larger than 32 MiB"), now)
        if relaying.progress:
            stamps.content = meter.first_content is not None
        else:
            stamps.progress = stamp
            if relaying.flooded:
                return self._fail(protocol_error("the upstream sends nothing but comments"), now)
        actions = self._send(out, now) if out else []
        if turn is _ERROR:
            return actions + self._error_frame(relaying, now)
        if meter.ended and not marked:
            return actions + self._marked(now)
        capped = self._left_at is not None and self._drained_enough()
        return actions + self._cap_drain(now) if capped else actions

    def _relay_unread(self, data: bytes, now: float) -> list[Action]:
        """`metering: off`: bytes pass as they come, nothing is parsed (SPEC §4.9)."""
        self._stamps.content, self._stamps.progress = True, now
        if self._client_over:
            return []
        self._unread_tail = (self._unread_tail + data[-4:])[-4:]
        return self._send(data, now)

    def _marked(self, now: float) -> list[Action]:
        """The end marker came: the client's part is over, late usage may still come (§5.4)."""
        if self._books.stream_end is None:
            self._books.marked(self.attempt, now)
        ends: list[Action] = [] if self._client_over else [EndClient()]
        self._client_over = True
        known = self._books.meter.booked().usage_source in ("provider", "timings")
        self.state = State.DRAINING
        self._until = now + (MARKER_GRACE if known else LATE_USAGE)
        return [*ends, *self._read_on(now), WakeAt(self._until)]

    def _error_frame(self, relaying: Passage, now: float) -> list[Action]:
        """An error object came in the stream: it is the last thing the client gets (§5.3)."""
        verdict = refused(error_of_stream(relaying.meter.failed, self.attempt))
        # The client is there: a relay that is over, or muted, tells of no error.
        own = relaying.own_error(self._dialect.name) if self._head_sent else None
        if own is not None:
            relaying.frames_out += 1
            actions = [*self._send(redacted_bytes(own, self.attempt.secrets), now), EndClient()]
        else:
            actions = self._end_client(verdict, now, None)
        self._client_over = True
        self._verdict = verdict
        self.state = State.DRAINING
        self._until = now + LATE_USAGE
        return [*actions, *self._read_on(now), WakeAt(self._until)]

    def upstream_end(self, kind: str, now: float) -> list[Action]:
        """The body is over; `kind`: complete, cut, reset or protocol."""
        if self.state is State.DONE:
            return []
        self._upstream_open = False
        meter, answer = self._books.meter, self._answer
        if meter.ended and kind != "complete":
            meter.note(Anomaly.MISSING_LAST_CHUNK)
        if answer is None:
            return self._fail(failed(kind), now)
        if answer.kind is AnswerKind.REFUSED:
            return self._refuse(answer, now)
        if self.state is State.DRAINING and answer.kind is AnswerKind.STREAM:
            return self._finish(self._verdict, now)
        if answer.kind is AnswerKind.WHOLE:
            return self._whole(answer, kind, now)
        if self._unread_tail and kind == "complete":
            self._client_over = True
            return [EndClient(), *self._finish(COMPLETED, now)]
        finished = meter.finish_reason is not None
        return self._fail(after_end(kind, finished=finished, began=meter.frames > 0), now)

    def _whole(self, answer: Answer, kind: str, now: float) -> list[Action]:
        """A JSON answer has come whole, or was cut (SPEC §5.1)."""
        if kind != "complete":
            return self._fail(after_end(kind, finished=False, began=bool(answer.body)), now)
        request, body, meter = self.facts.request, bytes(answer.body), self._books.meter
        events = self._dialect.read_answer(request.endpoint, self.attempt.kind, body)
        if events is None:
            return self._fail(protocol_error("the upstream's answer is not valid JSON"), now)
        if request.stream and not self._client_over:
            return self._whole_as_stream(body, now)
        meter.observe(events, now)
        meter.frames = 1
        if meter.failed is not None:
            return self._fail(refused(error_of_stream(meter.failed, self.attempt)), now)
        self._books.marked(self.attempt, now)
        meter.ended = True
        if self._client_over:
            return self._finish(self._verdict, now)
        self._client_over = True
        self.record.http_status = answer.status
        self._books.to_client(len(body))
        return [SendAnswer(answer.status, body), *self._finish(COMPLETED, now)]

    def _whole_as_stream(self, body: bytes, now: float) -> list[Action]:
        """A JSON answer to a stream request becomes a stream of its own dialect (F34)."""
        stream = self._dialect.stream_of(self.facts.request.endpoint, body)
        if stream is None:
            return self._fail(protocol_error("the upstream's answer is not a chat answer"), now)
        self._relaying = self._new_passage()
        actions = self._relay(self._relaying, stream, now)
        if not self._client_over:  # unread: nothing has seen its marker
            self._client_over = True
            actions.append(EndClient())
        return actions if self.state is State.DONE else actions + self._finish(self._verdict, now)

    def _refuse(self, answer: Answer, now: float) -> list[Action]:
        """An error status: once more without our option where that was the cause (SPEC §3.2)."""
        body, attempt = bytes(answer.body), self.attempt
        ours = self._asked_usage or running_option(attempt, self.facts.request) is not None
        if answer.status == 400 and ours and not self._client_over and names_option(body):
            return self._again_without_option(now)
        return self._fail(refused(error_of(answer, attempt)), now, retry_after=answer.retry_after)

    def _again_without_option(self, now: float) -> list[Action]:
        closing = self._close_upstream()
        self._books.close_refused(now, "upstream_error")
        plain = self.attempt.without_usage_option()
        return [RememberRefusal(plain.upstream), *closing, *self._begin_attempt(plain, now)]
