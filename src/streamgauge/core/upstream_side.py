"""The streaming half of an exchange: what is made of the bytes of an upstream's stream.

It knows no attempt's beginning and no answer that is no stream; `exchange.py` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from streamgauge.core.actions import Action, EndClient, SendData, WakeAt
from streamgauge.core.answer import UNASKED, Answer, AnswerKind, kind_by_body
from streamgauge.core.client_side import ClientSide
from streamgauge.core.closing import metadata_of
from streamgauge.core.deadlines import LATE_USAGE, MARKER_GRACE
from streamgauge.core.integrity import Integrity
from streamgauge.core.passage import Hold, Passage, Turn
from streamgauge.core.passages import new_passage, steady_of
from streamgauge.core.record import Anomaly
from streamgauge.core.refusal import error_of_stream, redacted_bytes
from streamgauge.core.replay_watch import ReplayWatch, Suspicion
from streamgauge.core.runs import Piece
from streamgauge.core.sse import FrameTooLarge
from streamgauge.core.steady import Steady
from streamgauge.core.verdict import State, Verdict, limit_reached, protocol_error, refused

__all__ = ["UpstreamSide"]

# Read per frame: off its class an Enum's member takes a look-up each time.
_ERROR = Turn.ERROR
_UNPROVED = Integrity.OFF
_STREAM = AnswerKind.STREAM
_STREAMING = State.STREAMING


class UpstreamSide(ClientSide):
    """Reads a stream on through its passage, and ends the client's part at its marker or error."""

    __slots__ = ()

    def _new_passage(self) -> Passage:
        if not self.facts.reads(self.attempt):
            self._stamper = None
        passage = new_passage(
            self.facts,
            self.attempt,
            self._books.meter,
            hide_usage=self._asked_usage,
            metadata=self._metadata,
            hold=self._hold(),
            watch=self._watch(),
            tool_names=self._tool_names,
        )
        if self._client_over:
            passage.mute()
        books = self.record, self._stamps
        self._steady = steady_of(passage, self._stamper, books, self._most_frames)
        return passage

    def _watch(self) -> ReplayWatch | None:
        """Return what looks at each frame of the upstream beside the meter, or None."""
        if self.facts.proof.mode is _UNPROVED or not self.facts.reads(self.attempt):
            return None
        stamper = self._stamper
        if stamper is None:
            return ReplayWatch(self._suspect)
        watch = ReplayWatch(self._suspect, stamper.received if stamper.watches else None)
        stamper.last_read = watch
        return watch

    def _suspect(self, suspicion: Suspicion) -> None:
        self._books.meter.note(Anomaly.REPLAY_SUSPECTED)
        if self.facts.proof.suspected is not None:
            self.facts.proof.suspected(suspicion)

    def _hold(self) -> Hold:
        if self._tries.another() and not self._client_over:
            return Hold.FRAMES
        return Hold.NOTHING if self._head_sent else Hold.COMMENTS

    def _metadata(self) -> bytes:
        self._books.marked(self.attempt, self._stamps.progress)
        record = self.record
        payload = msgspec.json.encode(metadata_of(record))
        if self.attempt.dialect is not None:  # its chunk names the model as the other chunks do
            record = replace(record, response_model=self.facts.telling(self.attempt).model)
        beside = b"" if self._relaying is None else self._relaying.beside
        return self._dialect.metadata(self.facts.metadata, payload, record, beside)

    def _judge(self, answer: Answer, data: bytes) -> Verdict | None:
        """See whether what calls itself a stream of events is one (F34); the verdict if it is nothing.

        A JSON document is collected from here on.
        """
        named_events = answer.named_events and self.attempt.dialect != "ollama"
        kind = kind_by_body(data) if named_events else answer.kind
        answer.judged = kind is not None
        if kind is None or not named_events:
            return None
        if isinstance(kind, Verdict):
            return kind
        if kind is _STREAM and answer.kind is not _STREAM:
            return UNASKED
        if kind is not _STREAM:
            answer.kind, self._relaying, self._steady = kind, None, None
            self._stamps.content = True
        return None

    def passes(self, data: bytes, now: float) -> bytes | None:
        """Take in body bytes, and return at once what to send the client, where that is certain.

        None: nothing has changed, and they are to be given to `upstream_data`.
        """
        steady = self._steady
        if steady is None or not steady.ready or self.state is not _STREAMING:
            return None
        return steady.take(data, now)

    def _relay(self, relaying: Passage, data: bytes, now: float) -> list[Action]:
        if not self.facts.metering and self.attempt.dialect is None:
            return self._relay_unread(data, now)
        self._settle()
        if relaying.meter.content_frames + len(data) >= self._most_frames and b"\n" in data[:-1]:
            return self._relay_by_line(relaying, data, now)
        steady = None if self.state is State.DRAINING else self._steady
        if steady is not None and (pieces := steady.pieces(data)) is not None:
            return self._relay_pieces(relaying, steady, pieces, now)
        return self._relay_piece(relaying, data, now)

    def _relay_pieces(
        self, relaying: Passage, steady: Steady, pieces: Iterable[Piece], now: float
    ) -> list[Action]:
        """Most frames of one read are of the pattern: those are taken, and the others decoded."""
        actions: list[Action] = []
        for data, texts in pieces:
            said = None
            if texts is not None and self.state is _STREAMING:
                said = steady.take_run(data, texts, now)
            if said is None:
                self._settle()
                actions += self._relay_piece(relaying, data, now)
            else:
                assert self.record.bytes_in is not None
                self.record.bytes_in -= len(data)  # it was counted with its read
                actions.append(SendData(said))
            if self.state is State.DONE or self._relaying is not relaying:
                break
        return _in_one_write(actions)

    def _relay_piece(self, relaying: Passage, data: bytes, now: float) -> list[Action]:
        meter, stamps, steady = relaying.meter, self._stamps, self._steady
        if steady is not None:
            steady.ready = False
        marked = meter.ended
        stamp, stamps.progress = stamps.progress, now
        try:
            turn, out = relaying.feed(data, now)
        except FrameTooLarge:
            meter.note(Anomaly.OVERSIZE_FRAME)
            return self._fail(protocol_error("a frame of the upstream is larger than 32 MiB"), now)
        if relaying.progress:
            stamps.content = meter.first_content is not None
            if meter.finish_reason is not None:
                self._note_finish(relaying, now)
        else:
            stamps.progress = stamp
            if relaying.flooded:
                return self._fail(protocol_error("the upstream sends nothing but comments"), now)
        actions = self._send(out, now) if out else []
        if steady is not None and meter.last_content == now and meter.finish_reason is None:
            steady.learn(data, out)
        if turn is _ERROR:
            return actions + self._error_frame(relaying, now)
        if meter.ended and not marked:
            return actions + self._marked(now)
        if meter.content_frames >= self._most_frames:
            return actions + self._enough(now)
        return actions

    def _relay_by_line(self, relaying: Passage, data: bytes, now: float) -> list[Action]:
        """A bound is near: one read may hold many frames, and none behind the bound may pass."""
        actions: list[Action] = []
        for line in data.splitlines(keepends=True):
            actions += self._relay(relaying, line, now)
            if self.state is State.DONE or self._relaying is not relaying:
                break
        return actions

    def _enough(self, now: float) -> list[Action]:
        """As many frames of content came as may be: for a drain, or for the client's key."""
        allowance = self.facts.allowance
        if self._left_at is not None or allowance is None:
            return self._cap_drain(now)
        return self._fail(limit_reached(allowance.error), now)

    def _note_finish(self, relaying: Passage, now: float) -> None:
        stamps = self._stamps
        if not relaying.awaits_marker:
            stamps.finished = None
        elif stamps.finished is None or relaying.meter.last_content == now:
            stamps.finished = now  # content behind a finish: another choice still speaks

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
        failure = relaying.meter.failed
        status = None if failure is None else failure.status
        verdict = refused(error_of_stream(failure, self.attempt), status)
        if (following := self._follow(verdict, now)) is not None:
            return following
        self._books.stream_end = now  # what is read on for are numbers
        # The client is there: a relay that is over, or muted, tells of no error.
        own = relaying.own_error(self._dialect.name) if self._head_sent else None
        if own is not None:
            self._before_error = self._frames_sent()
            relaying.frames_out += 1
            actions = [*self._send(redacted_bytes(own, self.attempt.secrets), now), EndClient()]
        else:
            actions = self._end_client(verdict, now, None)
        self._client_over = True
        self._verdict = verdict
        self.state = State.DRAINING
        self._until = now + LATE_USAGE
        return [*actions, *self._read_on(now), WakeAt(self._until)]


def _in_one_write(actions: Sequence[Action]) -> list[Action]:
    """Return `actions` with bytes that follow each other joined: a read is one write (SPEC §4.1)."""
    joined: list[Action] = []
    for action in actions:
        last = joined[-1] if joined else None
        if isinstance(action, SendData) and isinstance(last, SendData):
            joined[-1] = SendData(last.data + action.data)
        else:
            joined.append(action)
    return joined
