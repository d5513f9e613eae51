"""Turns a call into the steps of its answer: dialect, pacing, fault. No socket here."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from streamgauge.core.usage import TokenUsage
from streamgauge.tools.simulator.anthropic import PING, MessageAnswer
from streamgauge.tools.simulator.calls import Call
from streamgauge.tools.simulator.captures import Case, capture_steps, case_steps, load_capture
from streamgauge.tools.simulator.completions import EmbeddingsAnswer, TextAnswer
from streamgauge.tools.simulator.faults import (
    AFTER,
    PLAIN_ENDS,
    REFUSALS,
    Setting,
    faulty,
    gzip_frames,
)
from streamgauge.tools.simulator.flavours import (
    Flavour,
    error_body,
    error_frame,
    head,
    json_head,
    stream_head,
)
from streamgauge.tools.simulator.ollama import NATIVE, NativeAnswer, error_line, native_refusal
from streamgauge.tools.simulator.openai import ChatAnswer, frame_of_done
from streamgauge.tools.simulator.plan import Plan
from streamgauge.tools.simulator.responses import ResponsesAnswer
from streamgauge.tools.simulator.script import (
    End,
    Frame,
    Kind,
    Schedule,
    Step,
    Write,
    plain_steps,
    single_bytes,
    stream_steps,
)
from streamgauge.tools.simulator.signatures import forged_thinking

__all__ = ["Answer", "Composer", "endpoints_of", "is_anthropic"]

_ENDPOINTS = frozenset({"chat/completions", "messages", "completions", "responses", "embeddings"})
_HTML = b"<!doctype html><title>Portal</title><p>Please sign in to this network.</p>\n"
_GZIP = (("Content-Encoding", "gzip"),)
_PING_GAP = 0.2
_FAILED = "Simulated failure."
_PING_COMMENT = Frame(b":\n\n", Kind.PING)
_BLANK_LINE = Frame(b"\n", Kind.PING)
_BROKEN_LINE = b'{"model":"sim","message":{"content":\n'


class Answer(Protocol):
    """An answer in some dialect."""

    def frames(self) -> Iterator[Frame]:
        """Yield the stream's frames, end marker included."""

    def body(self) -> tuple[bytes, TokenUsage | None]:
        """Return the non-stream answer and the counts it states."""


def endpoints_of(flavour: Flavour) -> frozenset[str]:
    """Return the endpoints whose calls are journaled."""
    return _ENDPOINTS | {NATIVE} if flavour is Flavour.OLLAMA else _ENDPOINTS


def is_anthropic(endpoint: str) -> bool:
    """Whether `endpoint` speaks Anthropic's dialect."""
    return endpoint.partition("/")[0] == "messages"


class Composer:
    """Plays one flavour. `captures`: a folder of recordings; `cases`: scripted answers by id."""

    def __init__(self, flavour: Flavour, captures: Path | None, cases: dict[str, Case]) -> None:
        self._flavour = flavour
        self._captures = captures
        self._cases = cases

    def steps(self, call: Call) -> Iterator[Step]:
        """Return the steps that answer `call`, its fault included."""
        if call.target.case is not None or call.target.capture is not None:
            return self._recorded(call)
        if call.control.fault == "stall_head":
            return iter((End.HOLD,))
        steps = self._refusal(call)
        if steps is None:
            streams = call.stream and call.target.endpoint != "embeddings"
            steps = self._stream(call) if streams else self._plain(call)
        return single_bytes(steps) if call.control.fault == "split_bytes" else steps

    def error(self, endpoint: str, call: str, status: int, message: str) -> Iterator[Step]:
        """Return the steps of an error answer in the dialect that `endpoint` looks like."""
        return self._json(call, status, self._error_body(endpoint, status, message))

    def _error_body(self, endpoint: str, status: int, message: str) -> bytes:
        if self._flavour is Flavour.OLLAMA and endpoint.startswith("api/"):
            return error_line(message).rstrip()
        return error_body(self._flavour, status, message, anthropic=is_anthropic(endpoint))

    def _recorded(self, call: Call) -> Iterator[Step]:
        target = call.target
        # A recording's counts are what it says, if anything: the prompt that was read is not its.
        call.entry.prompt_tokens = call.entry.completion_tokens = None
        if target.case is not None:
            case = self._cases.get(target.case)
            if case is not None:
                return case_steps(case)
            return self.error(target.endpoint, call.id, 404, f"no case {target.case}")
        name = "" if target.capture is None else target.capture
        capture = None if self._captures is None else load_capture(self._captures, name)
        if capture is None:
            return self.error(target.endpoint, call.id, 404, f"no capture {name}")
        gap = 0.0 if call.control.gap_ms is None else call.control.gap_ms / 1e3
        # The recorded server closed after each streamed answer and each error (WIRE.md §6.5).
        closes = capture.chunked or b"connection: close" in capture.head.lower()
        end = End.CLOSE if closes else End.KEEP
        return capture_steps(capture, gap, call.control.split, end)

    def _refusal(self, call: Call) -> Iterator[Step] | None:
        fault = call.control.fault
        if fault == "html":
            fields = (("Content-Type", "text/html"), ("Content-Length", str(len(_HTML))))
            return plain_steps(head(200, fields), _HTML, 0.0, End.KEEP)
        if fault == "redirect":
            fields = (("Location", "/sim/canary"), ("Content-Length", "0"))
            return plain_steps(head(307, fields), b"", 0.0, End.KEEP)
        if fault == "refuse_usage_option" and "stream_options" in call.body:
            message = "Unrecognized request argument supplied: stream_options"
            return self.error(call.target.endpoint, call.id, 400, message)
        if (objection := self._objection(call)) is not None:
            return self.error(call.target.endpoint, call.id, 400, objection)
        if fault is None or fault not in REFUSALS:
            return None
        status, message = REFUSALS[fault]
        said = message.format(key=_key_of(call))
        body = self._error_body(call.target.endpoint, status, said)
        extra = (("Retry-After", "1"),) if status == 429 else ()
        return self._json(call.id, status, body, extra=extra)

    def _objection(self, call: Call) -> str | None:
        """Return what the played server would not take in this body, None where it is fine."""
        if call.target.endpoint == NATIVE:
            return native_refusal(call.body)
        if call.target.endpoint == "messages" and self._flavour is Flavour.ANTHROPIC:
            return forged_thinking(call.body)
        return None

    def _stream(self, call: Call) -> Iterator[Step]:
        fault = call.control.fault
        frames = faulty(fault, self._answer(call).frames(), self._setting(call))
        extra = _GZIP if fault == "gzip" else ()
        if fault == "gzip":
            frames = gzip_frames(frames)
        closes = self._flavour is Flavour.LLAMACPP
        ends = {"hold_open": End.HOLD, "no_last_chunk": End.CLOSE}
        end = ends.get(fault or "", End.CLOSE if closes else End.KEEP)
        return stream_steps(
            stream_head(self._flavour, call.id, extra, native=call.target.endpoint == NATIVE),
            frames,
            _schedule(call),
            end,
            last_chunk=fault not in ends,
        )

    def _plain(self, call: Call) -> Iterator[Step]:
        fault = call.control.fault
        if fault in ("error_first", "error_mid"):
            return self.error(call.target.endpoint, call.id, 500, _FAILED)
        body, usage = self._answer(call).body()
        plan = self._plan(call)
        tokens = 0 if call.target.endpoint == "embeddings" else plan.total
        at = _schedule(call).content(max(tokens - 1, 0))
        if fault == "garbage":
            body = body[: len(body) // 2]
        if fault in PLAIN_ENDS:
            part = json_head(self._flavour, 200, len(body), call.id) + body[: len(body) // 2]
            return iter((Write(part, at, len(body) // 2), PLAIN_ENDS[fault]))
        extra = _GZIP if fault == "gzip" else ()
        if fault == "gzip":
            body = zlib.compress(body, wbits=31)
        whole = json_head(self._flavour, 200, len(body), call.id, extra)
        end = End.HOLD if fault == "hold_open" else End.KEEP
        return plain_steps(whole, body, at, end, tokens=tokens, usage=usage)

    def _plan(self, call: Call) -> Plan:
        """Return what the answer says; Ollama gives one choice, whatever was asked."""
        plan = call.plan()
        return replace(plan, choices=1) if self._flavour is Flavour.OLLAMA else plan

    def _answer(self, call: Call) -> Answer:
        plan = self._plan(call)
        match call.target.endpoint:
            case "api/chat":
                return NativeAnswer(plan)
            case "messages":
                return MessageAnswer(self._flavour, plan)
            case "responses":
                return ResponsesAnswer(self._flavour, plan)
            case "completions":
                return TextAnswer(self._flavour, plan, call.body)
            case "embeddings":
                return EmbeddingsAnswer(plan, call.body.get("input"))
            case _:
                return ChatAnswer(self._flavour, plan, call.body)

    def _setting(self, call: Call) -> Setting:
        anthropic = is_anthropic(call.target.endpoint)
        gap = call.control.gap_ms
        named = anthropic and self._flavour is not Flavour.LLAMACPP
        after = AFTER if call.control.after is None else max(call.control.after, 0)
        if call.target.endpoint == NATIVE:
            every = gap / 1e3 if gap else _PING_GAP
            return Setting(after, error_line(_FAILED), _BLANK_LINE, every, garbage=_BROKEN_LINE)
        return Setting(
            after=after,
            error=error_frame(self._flavour, _FAILED, anthropic=anthropic),
            ping=PING if named else _PING_COMMENT,
            gap=gap / 1e3 if gap else _PING_GAP,
            # Measured of vLLM: the marker follows an error frame. It is no whole answer for that.
            tail=() if self._flavour is not Flavour.VLLM or anthropic else (_done_after_error(),),
        )

    def _json(
        self, call: str, status: int, body: bytes, *, extra: tuple[tuple[str, str], ...] = ()
    ) -> Iterator[Step]:
        closes = self._flavour is Flavour.LLAMACPP and status >= 400
        whole = json_head(self._flavour, status, len(body), call, extra)
        return plain_steps(whole, body, 0.0, End.CLOSE if closes else End.KEEP)


def _done_after_error() -> Frame:
    return Frame(frame_of_done().data, Kind.OTHER)


def _schedule(call: Call) -> Schedule:
    asked = call.control
    return Schedule.of_ms(asked.head_ms, asked.role_ms, asked.first_ms, asked.gap_ms)


def _key_of(call: Call) -> str:
    bearer = call.request.header("authorization")
    key = call.request.header("x-api-key") if bearer is None else bearer.removeprefix("Bearer ")
    return "" if key is None else key
