"""Reads what a stream used: tokens, times and speeds, with the source of each. It knows no dialect."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from streamgauge.core.events import (
    Ended,
    Event,
    Failed,
    Finished,
    ModelNamed,
    Noted,
    ReasoningDelta,
    Shown,
    TextDelta,
    TimingsReported,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from streamgauge.core.record import Anomaly
from streamgauge.core.tool_arguments import ToolArguments
from streamgauge.core.usage import MAX_COUNT, Booked, Timings, TokenUsage

__all__ = ["Booked", "Meter"]

STALL_SECONDS = 1.0
"""A gap between content frames beyond this is a stall (SPEC §6.5)."""
_GAPS_KEPT = 4096
_NOTHING_STATED = TokenUsage()
_NOTHING_BOOKED = Booked(_NOTHING_STATED, "none", "none")


class Meter:
    """Sums up one answer. `started`: monotonic seconds at the last byte of the client's request.

    `choices`: how many were asked for. `finish_reason` is the last stated, once each has one: of an
    answer that was cut before, nobody can say that it had finished (SPEC §5.3).
    """

    __slots__ = (
        "_covered",
        "_finished",
        "_gap_max",
        "_gap_skip",
        "_gap_step",
        "_gaps",
        "_provider_output",
        "_reason",
        "_running",
        "_stated",
        "_timed",
        "anomalies",
        "booked_as_of",
        "calls",
        "choices",
        "content_frames",
        "cost",
        "ended",
        "failed",
        "finish_reason",
        "first_content",
        "frames",
        "last_content",
        "model",
        "service_tier",
        "shown",
        "stalls",
        "started",
        "streaming",
        "sum_choices",
        "timings",
        "usage_at",
    )

    def __init__(
        self,
        started: float,
        *,
        streaming: bool = True,
        choices: int = 1,
        sum_choices: bool = False,
    ) -> None:
        self.started = started
        self.streaming = streaming
        self.choices = choices
        self.sum_choices = sum_choices
        self.frames = 0
        self.content_frames = 0
        self.first_content: float | None = None
        self.last_content: float | None = None
        self.stalls = 0
        self.finish_reason: str | None = None
        self.model: str | None = None
        self.service_tier: str | None = None
        self.cost: str | None = None
        self.shown = False  # something beside words was in the answer
        self.timings: Timings | None = None
        self.usage_at: float | None = None  # when usage or timings were last stated
        self.ended = False
        self.failed: Failed | None = None
        self.anomalies: dict[str, None] = {}
        # Of which end the row was last filled in and with what, with nothing observed since.
        self.booked_as_of: tuple[float, bool, Booked] | None = None
        self._stated = _NOTHING_STATED
        self._provider_output = False  # a final output count was stated
        self._running = False  # the last count stated came on a frame that more was to follow
        self._covered: int | None = 0  # content frames up to the last count; None inside its own
        self._gaps: array[float] | None = None
        self._gap_step = 1
        self._gap_skip = 0
        self._gap_max: float | None = None
        self.calls: ToolArguments | None = None  # of the tool calls, where there is one
        self._finished: set[int] = set()  # the choices that have, of those asked for
        self._reason: str | None = None  # the last stated, of any choice
        self._timed: tuple[int, int, Timings | None] = 0, 0, None  # finished choices, their outputs

    def note(self, anomaly: str) -> None:
        """Remember an anomaly, once."""
        self.anomalies[anomaly] = None

    def observe(self, events: Iterable[Event], now: float) -> bool:
        """Take in the events of one frame; return whether it held content (SPEC §6.5)."""
        self.booked_as_of = None
        content = False
        for event in events:
            if (observe := _OBSERVING.get(type(event))) is not None:
                observe(self, event, now)
            elif type(event) is TextDelta or type(event) is ReasoningDelta:
                content = content or bool(event.text)
            elif type(event) is ToolCallDelta:
                content = content or bool(event.arguments)
                self._observe_call(event, now)
        if content:
            self.observe_texts((now,))
        if self._covered is None:
            self._covered = self.content_frames
        return content

    def _observe_call(self, event: ToolCallStarted | ToolCallDelta, now: float) -> None:
        if self.calls is None:
            self.calls = ToolArguments()
        if type(event) is ToolCallDelta:
            self.calls.add(event)

    def _observe_timings(self, event: TimingsReported, now: float) -> None:
        self.timings, self.usage_at = event.timings, now
        if self.sum_choices and event.timings.predicted_n is not None:
            timed, written, _ = self._timed
            if len(self._finished) > timed:
                timed, written = timed + 1, written + event.timings.predicted_n
                self._timed = timed, written, event.timings

    def _observe_model(self, event: ModelNamed, now: float) -> None:
        if self.model is not None and self.model != event.model:
            self.note(Anomaly.MODEL_CHANGED)
        self.model = event.model

    def _observe_end(self, event: Ended, now: float) -> None:
        self.ended = True
        self.finish_reason = self._reason
        if self.calls is not None and not self.calls.legal():
            self.note(Anomaly.BAD_TOOL_JSON)

    def _observe_failure(self, event: Failed, now: float) -> None:
        self.failed = self.failed or event  # the client is told the first, however they are read

    def _observe_shown(self, event: Shown, now: float) -> None:
        self.shown = True

    def _observe_note(self, event: Noted, now: float) -> None:
        self.note(event.anomaly)

    def _observe_finish(self, event: Finished, now: float) -> None:
        self._reason = event.reason
        if event.choice < self.choices:
            self._finished.add(event.choice)
        if len(self._finished) >= self.choices:
            self.finish_reason = event.reason

    def observe_texts(self, times: Sequence[float]) -> None:
        """Take in frames of which it is known that all they say is a piece of text, by their times."""
        self.booked_as_of = None
        self.content_frames += len(times)
        last, self.last_content = self.last_content, times[-1]
        if last is None:
            self.first_content = last = times[0]
            times = times[1:]
        for now in times:
            gap, last = now - last, now
            if self._gap_max is None or gap > self._gap_max:
                self._gap_max = gap
            if gap > STALL_SECONDS:
                self.stalls += 1
            self._gap_skip += 1
            if self._gap_skip >= self._gap_step:
                self._gap_skip = 0
                self._keep(gap)

    def _keep(self, gap: float) -> None:
        if (gaps := self._gaps) is None:
            gaps = self._gaps = array("f")
        gaps.append(gap)
        if len(gaps) >= _GAPS_KEPT:  # memory per stream stays flat: keep every second one
            self._gaps = gaps[::2]
            self._gap_step *= 2

    def _observe_usage(self, event: UsageReported, now: float) -> None:
        # Before the last word an output count is a placeholder (Anthropic's `message_start`).
        new = event.usage if event.final else replace(event.usage, output=None)
        if new != _NOTHING_STATED:
            self.usage_at = now
        if event.service_tier is not None:
            self.service_tier = event.service_tier
        if event.cost is not None:
            self.cost = event.cost
        before = self._stated
        if new.output is not None:
            if before.output is not None:
                new = self._again(before.output, new.output, event)
            self._provider_output = True
            self._running = event.running
            self._covered = None
        self._stated = new if before is _NOTHING_STATED else before.updated(new)

    def _again(self, before: int, output: int, event: UsageReported) -> TokenUsage:
        """Return what a repeated output count states: the newer value, or one more choice's part."""
        new = event.usage
        if self.sum_choices and event.alone:
            # llama.cpp with n > 1: a usage frame a choice, each with its own output (§6.1).
            return replace(new, output=min(before + output, MAX_COUNT))
        if output < before:
            self.note(Anomaly.USAGE_DECREASED)
        return new

    def booked(self) -> Booked:
        """Return the counts to book and where they come from (SPEC §6.3)."""
        stated, unfinished = self._stated, self._is_unfinished()
        # A frame of content is a token or more: a count that they have outrun is none of them all.
        outrun = unfinished and self.content_frames > (stated.output or 0)
        if self._provider_output and not outrun:
            source = "running" if unfinished else "provider"
            return Booked(stated, source, "none" if stated.input is None else source)
        if (by_timings := self._by_timings()) is not None:
            source = "timings" if self.finish_reason is not None or self.ended else "running"
            return Booked(by_timings, source, "none" if by_timings.input is None else source)
        if stated.input is not None and not self.streaming:
            return Booked(stated, "none", "provider")
        if stated.input is not None or (self.streaming and self.content_frames):
            counted = stated.updated(TokenUsage(output=self.content_frames))
            return Booked(counted, "counted", "none" if stated.input is None else "provider")
        return _NOTHING_BOOKED

    def _is_unfinished(self) -> bool:
        """Whether the last count stated was not the answer's last (SPEC §6.3).

        Many servers state the final usage on a frame that has choices, without a finish reason.
        """
        if self._covered is not None and self.content_frames > self._covered:
            return self._running or not self.ended
        more = self._running or self.choices > 1
        return more and not self.ended and self.finish_reason is None

    def _by_timings(self) -> TokenUsage | None:
        """Return llama.cpp's own counts, where `timings` came without usage."""
        t = self.timings
        if t is None or t.predicted_n is None:
            return None
        read = None if t.prompt_n is None or t.cache_n is None else t.prompt_n + t.cache_n
        _, written, last = self._timed  # with n > 1 each choice has timings of its own (§6.1)
        output = written if t is last else written + t.predicted_n
        return TokenUsage(input=read, output=output, cache_read=t.cache_n)

    def gaps(self) -> tuple[float, float, float] | None:
        """Return p50, p95 and the largest gap between content frames in seconds, or None."""
        if self._gap_max is None or self._gaps is None:
            return None
        ordered = sorted(self._gaps)  # never empty: the first is kept, and of 4096 every second
        p50, p95 = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.95))
        # Kept in single precision, a gap may be rounded up beyond the largest.
        return min(p50, self._gap_max), min(p95, self._gap_max), self._gap_max


_OBSERVING: Mapping[type[Event], Callable[[Meter, Any, float], None]] = {
    ToolCallStarted: Meter._observe_call,
    UsageReported: Meter._observe_usage,
    TimingsReported: Meter._observe_timings,
    ModelNamed: Meter._observe_model,
    Finished: Meter._observe_finish,
    Ended: Meter._observe_end,
    Failed: Meter._observe_failure,
    Noted: Meter._observe_note,
    Shown: Meter._observe_shown,
}
"""What takes in an event that is no delta; the others, such as Started, say nothing metered."""
