"""Notices an upstream that says something twice (SPEC §12.2). It flags, and never touches a byte.

Doubt is for the benefit of the text: what is periodic, short or of several choices is no replay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from streamgauge.core.events import Event, ReasoningDelta, Started, TextDelta, ToolCallDelta
from streamgauge.core.integrity_finding import ReadStamp, stamp_in, stamp_in_comment
from streamgauge.core.integrity_order import Order
from streamgauge.core.integrity_stamp import LastRead
from streamgauge.core.text_run import MOST_PLACES, TextRun

__all__ = ["LONG_FRAME", "ReplayWatch", "Suspected", "Suspicion"]

LONG_FRAME = 256
"""Characters of a frame that nobody says twice in a row by chance."""
_SMALL = 4096
"""Bytes of a frame that may be kept for a later one."""


class Suspected(StrEnum):
    """What looks like a replay."""

    RESTART = "restart"
    """The answer starts again from its beginning."""
    LONG_FRAME = "long_frame"
    """The same long frame twice in a row."""
    SECOND_START = "second_start"
    """A second `message_start`, or a new chunk id together with a role in mid-stream.

    A role beside text is not looked at, which would cost every frame: a text that comes again is
    seen as such.
    """
    SEQ = "seq"
    """A repeated or missing number in the upstream's own stamps."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A place. `seq`: the upstream's frame with data, from 1; `offset`: characters before it."""

    kind: Suspected
    seq: int
    offset: int


class _Id(msgspec.Struct, gc=False):
    id: str | None = None


_decode_id = msgspec.json.Decoder(_Id).decode


def _id_in(payload: bytes) -> str | None:
    try:
        return _decode_id(payload).id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


class ReplayWatch(LastRead):
    """Watches one attempt's stream. `suspect` is told each place, at most a handful."""

    __slots__ = (
        "_id",
        "_long",
        "_long_at",
        "_opening",
        "_order",
        "_reasoning",
        "_received",
        "_role_at",
        "_started",
        "_suspect",
        "_text",
        "_told",
        "frames",
    )

    def __init__(
        self,
        suspect: Callable[[Suspicion], None],
        received: Callable[[bytes, str], None] | None = None,
    ) -> None:
        """`received` is told the payload of each frame, and its text."""
        super().__init__()
        self._suspect = suspect
        self._received = received
        self._told = 0
        self.frames = 0
        self._text = TextRun()
        self._reasoning: TextRun | None = None
        self._long = ""
        self._long_at = 0
        self._opening = b""  # the first frame with a role, until another one has come
        self._id: str | None = None
        self._role_at = 0
        self._started = False
        self._order: Order | None = None

    def observe(self, payload: bytes, events: Sequence[Event]) -> None:
        """Take in the next frame with data."""
        self.frames += 1
        if self._received is not None:
            self._received(payload, _text_of(events))
        if len(events) == 1 and type(event := events[0]) is TextDelta and not event.choice:
            # Measured: nearly every frame is one piece of text.
            if text := event.text:
                self._add(text, self._text)
        else:
            self._read(payload, events)

    def _read(self, payload: bytes, events: Sequence[Event]) -> None:
        if b'"role"' in payload:
            self._role(payload)
        for event in events:
            match event:
                case TextDelta(choice=0) if event.text:
                    self._add(event.text, self._text)
                case ReasoningDelta(choice=0) if event.text:
                    self._add(event.text, self._reasoning_run())
                case ToolCallDelta():
                    if len(event.arguments) >= LONG_FRAME:
                        self._long_frame(event.arguments)
                case Started():
                    self._start()
        if not events and payload.startswith(b'{"done":'):
            self._numbered(stamp_in(payload))

    def _add(self, text: str, run: TextRun) -> None:
        if run.add(text):
            self._look(run)
        if len(text) >= LONG_FRAME:
            self._long_frame(text)

    def observe_texts(self, texts: Sequence[bytes], run: TextRun) -> None:
        """Take in frames that say one piece of text each, none of them long, of the kind of `run`."""
        self.frames += len(texts)
        if run.add_frames(texts):
            self._look(run)

    def run_of(self, event: TextDelta | ReasoningDelta) -> TextRun:
        """Return the run that the texts of the first choice belong to, as `observe` adds them."""
        return self._text if isinstance(event, TextDelta) else self._reasoning_run()

    def _reasoning_run(self) -> TextRun:
        if self._reasoning is None:
            self._reasoning = TextRun()
        return self._reasoning

    def _look(self, run: TextRun) -> None:
        """Look for the beginning of `run` in what came to it: as many as it wanted have."""
        for offset, behind in run.look():
            self._tell(Suspected.RESTART, self.frames - behind, offset)

    def _long_frame(self, text: str) -> None:
        repeated = self._long_at == self.frames - 1 and text == self._long
        self._long, self._long_at = text, self.frames
        if repeated and text.find(text[: len(text) // 2], 1) < 0:
            self._tell(Suspected.LONG_FRAME, self.frames, self._characters() - len(text))

    def _role(self, payload: bytes) -> None:
        """A role opens an answer; some upstreams say it in every frame."""
        plain_between = self.frames - self._role_at > 1
        first, self._role_at = not self._role_at, self.frames
        if first and len(payload) <= _SMALL:
            self._opening = payload  # most answers have one, whose id nobody asks for
            return
        if self._opening:
            self._id, self._opening = _id_in(self._opening), b""
        told = _id_in(payload)
        if self._id is not None and told not in (None, self._id) and plain_between:
            self._tell(Suspected.SECOND_START, self.frames, self._characters())
        self._id = told or self._id

    def _start(self) -> None:
        if self._started:
            self._tell(Suspected.SECOND_START, self.frames, self._characters())
        self._started = True

    def stamped(self, raw: bytes) -> None:
        """Take in a frame before which comment lines stand: they may be another gateway's stamps."""
        self._numbered(stamp_in_comment(raw))

    def _numbered(self, stamp: ReadStamp | None) -> None:
        if stamp is None:
            return
        if self._order is None:
            self._order = Order()
        if self._order.take(stamp.seq):
            self._tell(Suspected.SEQ, self.frames + 1, self._characters())

    def _characters(self) -> int:
        reasoned = 0 if self._reasoning is None else self._reasoning.characters
        return self._text.characters + reasoned

    def _tell(self, kind: Suspected, seq: int, offset: int) -> None:
        self._told += 1
        if self._told <= MOST_PLACES:
            self._suspect(Suspicion(kind, seq, offset))


def _text_of(events: Sequence[Event]) -> str:
    return "".join(
        event.arguments if isinstance(event, ToolCallDelta) else event.text
        for event in events
        if isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta)
    )
