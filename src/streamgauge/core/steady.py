"""Takes in frames that equal one before in all but their text, without decoding them again.

A stream mostly says the same JSON round ever new words. The frame that was decoded is the pattern;
of the next ones what stands round the text is compared, byte by byte. Nothing is searched for, but
in a read of many frames what parts them. Translated, the client's frame is such a pattern too. It
counts what the whole way counts, some frames at a time, and knows no action.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streamgauge.core.deadlines import Stamps
from streamgauge.core.dialects.base import PlainDecoder, PlainEncoder
from streamgauge.core.events import ReasoningDelta, TextDelta
from streamgauge.core.integrity import HASHED_AT_ONCE, Stamper
from streamgauge.core.record import Anomaly, ExchangeRecord
from streamgauge.core.relaying import Relaying
from streamgauge.core.replay_watch import LONG_FRAME
from streamgauge.core.runs import Piece, behind_frames, frame_within, run_of, texts_of
from streamgauge.core.sse import plain_frame
from streamgauge.core.text_run import TextRun
from streamgauge.core.translating import Translating

__all__ = ["Steady"]

_PROBE = "streamgauge"
"""Put in the place of a text, it must be what is read: else that place is not the text's."""
_QUOTED = b'"%b"' % _PROBE.encode()
_POOR = 4
"""A pattern that fits fewer frames than this was not worth its making."""
_MOST_POOR = 8
"""So many poor ones in a row, and this stream's frames differ in more than their text."""
_MANY = 4
"""Frames in a read that are worth a search for those of a pattern among them."""
_SHORTEST = 32
"""Bytes of payload before the text, which tell an end marker and a ping from a frame of text."""
_BATCH = 32
"""Frames that are counted at a time: what is done at once is cheap, and what waits stays small."""


class Steady:
    """The pattern of one attempt's frames, and of the client's where it is translated.

    `ready`: all that came so far has been passed on, and it ended with a frame of the pattern.
    Whoever gives the stream bytes that `take` refused sets it to False first, and calls `learn`
    behind them where there was content in them. Signs of life between two reads change
    nothing: they are whole. What was taken is counted by `settle`, which whoever asks or changes
    anything that it counts calls first.
    """

    __slots__ = (
        "_begin",
        "_begin_size",
        "_decoder",
        "_encoder",
        "_end",
        "_end_at",
        "_hash_at",
        "_inside",
        "_meter",
        "_most",
        "_passage",
        "_poor",
        "_reading",
        "_record",
        "_room",
        "_run",
        "_said_begin",
        "_said_end",
        "_stamper",
        "_stamps",
        "_times",
        "_used",
        "_watch",
        "ready",
    )

    def __init__(
        self,
        passage: Relaying | Translating,
        decoder: PlainDecoder,
        encoder: PlainEncoder | None,
        stamper: Stamper | None,
        books: tuple[ExchangeRecord, Stamps],
        most_frames: int,
    ) -> None:
        """`encoder`: what translates; without one frames are sent as they came.

        `books`: what bytes and times are written to. `most_frames`: of content, at which the stream
        is ended; the last one is not taken.
        """
        self.ready = False
        self._meter = passage.meter
        self._passage = passage
        self._reading = passage.reading
        self._decoder = decoder
        self._encoder = encoder
        self._watch = passage.reading.watch
        self._run: TextRun | None = None
        self._stamper = stamper
        self._record, self._stamps = books
        self._most = most_frames
        self._inside: list[bytes] = []  # the texts of the frames that are not counted yet
        self._times: list[float] = []  # and when each came
        self._room = 0
        self._begin = self._end = self._said_begin = self._said_end = b""
        self._begin_size = self._hash_at = 0
        self._end_at = -1
        self._used = self._poor = 0

    def take(self, data: bytes, now: float) -> bytes | None:
        """Return what to send of `data`, if all of it are frames of the pattern; `settle` counts it.

        None: it is not, and nothing has changed.
        """
        if data[: self._begin_size] != self._begin or data[self._end_at :] != self._end:
            return None
        inside = data[self._begin_size : self._end_at]
        try:
            text = inside.decode()
        except UnicodeDecodeError:
            return None
        # Just as it stands it is the inside of a string: `is_plain`, whose call is worth saving.
        if not text or '"' in text or "\\" in text or not text.isprintable():
            texts = texts_of(inside, self._end + self._begin)
            return None if texts is None else self.take_run(data, texts, now)
        if len(text) >= LONG_FRAME:
            return None
        self._inside.append(inside)
        self._times.append(now)
        if len(self._times) >= self._room:
            self.settle()
        if self._encoder is None:
            return data
        return b"".join((self._said_begin, inside, self._said_end))

    def take_run(self, data: bytes, texts: Sequence[bytes], now: float) -> bytes | None:
        """Do as `take` does: `data` are frames of the pattern, and `texts` what is within them."""
        counted = self._meter.content_frames + len(self._times)
        if not self.ready or counted + len(texts) >= self._most:
            return None
        self._inside += texts
        self._times += [now] * len(texts)
        if len(self._times) >= self._room:
            self.settle()
        if self._encoder is None:
            return data
        between = self._said_end + self._said_begin
        return b"".join((self._said_begin, between.join(texts), self._said_end))

    def pieces(self, data: bytes) -> Iterator[Piece] | None:
        """Return a read of many frames in pieces, of which some may be taken; None: it has few.

        What was learnt of a piece is used for those behind it.
        """
        return None if behind_frames(data, _MANY) is None else self._pieces(data)

    def _pieces(self, data: bytes) -> Iterator[Piece]:
        few = _MANY
        while data:
            found = run_of(data, self._begin, self._end) if self._begin_size else None
            if found is not None:
                yield from found
                return
            at = behind_frames(data, few)
            yield data[:at], None
            data = b"" if at is None else data[at:]
            few *= 2

    def settle(self) -> None:
        """Count what was taken since the last time."""
        if not self._times:
            return
        inside, times = self._inside, self._times
        self._inside, self._times = [], []
        count, size = len(times), sum(map(len, inside))
        record = self._record
        assert record.bytes_in is not None  # the pattern went before
        assert record.bytes_out is not None
        record.bytes_in += size + count * (self._begin_size - self._end_at)
        record.bytes_out += size + count * (len(self._said_begin) + len(self._said_end))
        self._stamps.progress = self._stamps.told = times[-1]
        self._used += count
        self._reading.parsed += count
        self._passage.frames_out += count
        self._meter.frames += count
        try:
            if self._stamper is not None:
                self._stamper.hand_on(self._hashed(inside, size), count)
            self._meter.observe_texts(times)
            if self._watch is not None and self._run is not None:
                self._watch.observe_texts(inside, self._run)
        except Exception:  # as in reading.py (SPEC §4.8): the frames are whole, and have passed
            self._meter.note(Anomaly.METER_ERROR)
        self.ready = self._make_room()

    def _hashed(self, inside: list[bytes], size: int) -> Iterator[bytes]:
        """Yield the payloads that the client was sent, each followed by LF; `size` bytes are inside.

        So many at a time as are hashed at once: the room for them is used again while it is warm.
        """
        begin, end = self._said_begin[self._hash_at :], self._said_end[:-1]
        between, count = end + begin, len(inside)
        many = HASHED_AT_ONCE * count // (size + count * len(between)) or 1
        for at in range(0, count, many):
            yield b"".join((begin, between.join(inside[at : at + many]), end))

    def _make_room(self) -> bool:
        """Settle on how many frames are taken before they are counted; return whether any may be.

        Streams that began together take turns at it, by the time of their beginning: all at once
        would keep each other's frames waiting.
        """
        counted = self._meter.content_frames
        turn = _BATCH - (counted + int(self._meter.started * 1e6)) % _BATCH
        self._room = min(turn, self._most - 1 - counted)
        return self._room > 0

    def learn(self, data: bytes, said: bytes) -> None:
        """Make `data`, or a frame within it, the pattern; the client was sent `said` for it."""
        if self._begin_size and self._holds(data, said):
            self.ready = self._make_room()
        elif self._poor < _MOST_POOR:
            plain = self._reading.whole(data)
            if plain is not None:
                self._forget()
                self.ready = self._cut(data, *plain, said) and self._make_room()
            elif (within := frame_within(data)) is not None:
                # Of a read of many frames the next one is parted by the pattern of this.
                plain = None if within.startswith(self._begin or b"\n") else plain_frame(within)
                if plain is not None:
                    self._forget()
                    self._cut(within, *plain, within)

    def _forget(self) -> None:
        self._poor = 0 if self._used >= _POOR else self._poor + 1
        self._used, self._begin_size, self._begin = 0, 0, b""

    def _holds(self, data: bytes, said: bytes) -> bool:
        """Whether what came meanwhile has changed neither what is read of `data` nor what is sent.

        Translated, a call without arguments is no content, and opens another block of its client's.
        """
        if data[: self._begin_size] != self._begin or data[self._end_at :] != self._end:
            return False
        sent = data
        if self._encoder is not None:
            inside = data[self._begin_size : self._end_at]
            sent = b"".join((self._said_begin, inside, self._said_end))
        return sent == said and (self._stamper is None or self._stamper.fast)

    def _cut(self, data: bytes, payload: bytes, event: bytes, said: bytes) -> bool:
        """Find where the text of a frame stands; return whether that is certain."""
        told = self._decoder.plain(payload, event)
        if told is None or told.choice or not told.text:
            return False
        if isinstance(told, ReasoningDelta) and b'"role"' in payload:
            return False  # which the watch wants to see in every frame
        quoted = b'"' + told.text.encode("utf-8", "replace") + b'"'
        before, found, behind = payload.partition(quoted)
        if not found or len(before) < _SHORTEST:
            return False
        probe = self._decoder.plain(b"".join((before, _QUOTED, behind)), event)
        if type(probe) is not type(told) or probe is None or probe.text != _PROBE:
            return False
        if not self._cut_said(data, told, said):
            return False
        self._begin = data[: len(data) - len(payload) - 2] + before + b'"'
        self._begin_size = len(self._begin)
        self._end = b'"' + behind + b"\n\n"
        self._end_at = -len(self._end)
        if self._encoder is None:
            self._said_begin, self._said_end = self._begin, self._end
        if self._watch is not None:
            self._run = self._watch.run_of(told)
        return True

    def _cut_said(self, data: bytes, told: TextDelta | ReasoningDelta, said: bytes) -> bool:
        """Find the text in what the client is sent; return whether that is certain."""
        if self._encoder is not None:
            probe = self._encoder.plain(type(told)(_PROBE)) or b""
            begin, _, end = probe.partition(_QUOTED)
            self._said_begin, self._said_end = begin + b'"', b'"' + end
            said = b"".join((self._said_begin, told.text.encode(), self._said_end))
        elif said is not data:
            return False
        plain = plain_frame(said)
        if plain is None:
            return False
        self._hash_at = len(said) - len(plain[0]) - 2
        return self._stamper is None or self._stamper.hands_on(*plain)
