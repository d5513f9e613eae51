"""Takes in frames that equal one before in all but their text, without decoding them again.

A stream mostly says the same JSON round ever new words. The frame that was decoded is the pattern;
of the next ones what stands round the text is compared, byte by byte, and nothing is searched for.
It counts what the whole way counts, and knows no action.
"""

from __future__ import annotations

from streamgauge.core.dialects.base import PlainDecoder
from streamgauge.core.events import ReasoningDelta
from streamgauge.core.integrity import Stamper
from streamgauge.core.passage import Passage
from streamgauge.core.record import Anomaly
from streamgauge.core.relaying import Relaying
from streamgauge.core.replay_watch import LONG_FRAME, TextRun

__all__ = ["Steady", "steady_of"]

_PROBE = "streamgauge"
"""Put in the place of a text, it must be what is read: else that place is not the text's."""
_POOR = 4
"""A pattern that fits fewer frames than this was not worth its making."""
_MOST_POOR = 8
"""So many poor ones in a row, and this stream's frames differ in more than their text."""
_SHORTEST = 32
"""Bytes of payload before the text, which tell an end marker and a ping from a frame of text."""


class Steady:
    """The pattern of one attempt's frames, while it is relayed as it is.

    `ready`: all that came so far has been passed on, and the last read was a frame of the pattern.
    Whoever gives the stream a read that `take` refused sets it to False first, and calls `learn`
    after it where the read was one whole frame of content.
    """

    __slots__ = (
        "_begin",
        "_begin_size",
        "_decoder",
        "_end",
        "_end_at",
        "_hash_at",
        "_poor",
        "_reading",
        "_relaying",
        "_run",
        "_stamper",
        "_update",
        "_used",
        "_watch",
        "meter",
        "ready",
    )

    def __init__(self, relaying: Relaying, decoder: PlainDecoder, stamper: Stamper | None) -> None:
        self.ready = False
        self.meter = relaying.meter
        self._relaying = relaying
        self._reading = relaying.reading
        self._decoder = decoder
        self._watch = relaying.reading.watch
        self._run: TextRun | None = None
        self._stamper = stamper
        self._update = None if stamper is None else stamper.update
        self._begin = self._end = b""
        self._begin_size = self._hash_at = 0
        self._end_at = -1
        self._used = self._poor = 0

    def take(self, data: bytes, now: float) -> bool:
        """Count `data` if it is one frame of the pattern; else return False, and change nothing."""
        if data[: self._begin_size] != self._begin or data[self._end_at :] != self._end:
            return False
        try:
            text = data[self._begin_size : self._end_at].decode()
        except UnicodeDecodeError:
            return False
        # Printable, without quote and backslash: just as it stands it is the inside of a string.
        if not text or '"' in text or "\\" in text or not text.isprintable():
            return False
        if len(text) >= LONG_FRAME:
            return False
        stamper, watch = self._stamper, self._watch
        if stamper is not None:
            stamper.seq += 1
        self._used += 1
        self._reading.parsed += 1
        self._relaying.frames_out += 1
        self.meter.frames += 1
        try:
            if self._update is not None:
                self._update(data[self._hash_at : -1])  # the payload, and the LF behind it
            self.meter.observe_text(now)
            if watch is not None and (run := self._run) is not None:
                watch.frames += 1
                run.parts.append(text)
                run.size += len(text)
                if run.size >= run.wanted:
                    watch.look(run)
        except Exception:
            # As round the meter in reading.py (SPEC §4.8): the frame is whole, and passes.
            self.meter.note(Anomaly.METER_ERROR)
        return True

    def learn(self, data: bytes) -> None:
        """Make `data`, one whole frame of content just passed on, the pattern if it can be one."""
        if self._begin_size and self._fits(data):
            self.ready = True
        elif self._poor < _MOST_POOR:
            self._poor = 0 if self._used >= _POOR else self._poor + 1
            self._used = self._begin_size = 0
            plain = self._reading.whole(data)
            if plain is not None and self._passes_as_it_is(*plain):
                self.ready = self._cut(data, *plain)

    def _fits(self, data: bytes) -> bool:
        return data[: self._begin_size] == self._begin and data[self._end_at :] == self._end

    def _passes_as_it_is(self, payload: bytes, event: bytes) -> bool:
        return self._stamper is None or self._stamper.hands_on(payload, event)

    def _cut(self, data: bytes, payload: bytes, event: bytes) -> bool:
        """Find where the text of a frame stands; return whether that is certain."""
        said = self._decoder.plain(payload, event)
        if said is None or said.choice or not said.text:
            return False
        if isinstance(said, ReasoningDelta) and b'"role"' in payload:
            return False  # which the watch wants to see in every frame
        quoted = b'"' + said.text.encode("utf-8", "replace") + b'"'
        before, found, behind = payload.partition(quoted)
        if not found or len(before) < _SHORTEST:
            return False
        probe = self._decoder.plain(b'%b"%b"%b' % (before, _PROBE.encode(), behind), event)
        if type(probe) is not type(said) or probe is None or probe.text != _PROBE:
            return False
        self._hash_at = len(data) - len(payload) - 2
        self._begin = data[: self._hash_at] + before + b'"'
        self._begin_size = len(self._begin)
        self._end = b'"' + behind + b"\n\n"
        self._end_at = -len(self._end)
        if self._watch is not None:
            self._run = self._watch.run_of(said)
        return True


def steady_of(passage: Passage, stamper: Stamper | None) -> Steady | None:
    """Return what may take in the frames of `passage`; None where each has to be changed or told."""
    if not isinstance(passage, Relaying) or not passage.reading.hands_on:
        return None
    decoder = passage.reading.decoder
    if not isinstance(decoder, PlainDecoder) or (stamper is not None and not stamper.plain):
        return None
    return Steady(passage, decoder, stamper)
