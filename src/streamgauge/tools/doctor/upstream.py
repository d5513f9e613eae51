"""Examines one configured upstream: streams, usage, end, context, closing (SPEC §18.3)."""

from __future__ import annotations

from streamgauge.config.upstream import Kind, Upstream
from streamgauge.gateway.discovery import Discovery
from streamgauge.gateway.pool import Pool
from streamgauge.gateway.upstreams import UpstreamRuntime
from streamgauge.tools.doctor.asking import PAID, SHORT, chat_body, dialect_of, wants_newer_name
from streamgauge.tools.doctor.closing import examine_closing
from streamgauge.tools.doctor.hearing import Heard, hear
from streamgauge.tools.doctor.listing import KEY_REFUSED, chosen_model, examine_list
from streamgauge.tools.doctor.patient import Patient
from streamgauge.tools.doctor.report import Report
from streamgauge.tools.doctor.wire import Answer, Unanswered

__all__ = ["examine_upstream", "is_burst"]

_STREAM_SECONDS = 60.0
"""Until the end of a short answer: a model that must be loaded first takes half of it."""
_BURST = 0.005
"""Seconds: content that came within them came at once. No model writes four tokens in that time."""
_ENOUGH = 4
"""Frames of content from which on a burst says something."""
_TYPES = frozenset({"text/event-stream", "application/x-ndjson"})
_TELLING = frozenset({Kind.LLAMACPP, Kind.OLLAMA, Kind.SIM, Kind.VLLM})
"""Kinds that tell their context size."""


async def examine_upstream(
    config: Upstream, pool: Pool, report: Report, *, spend: bool, model: str | None = None
) -> None:
    """Examine one upstream. `spend`: leave to make calls that cost money. `model`: to ask for."""
    patient = Patient(UpstreamRuntime(config), report)
    report.progress(f"{patient.subject}: asking for its models")
    listed = await examine_list(patient)
    if listed is None:
        return
    chosen = chosen_model(config, listed, model)
    if chosen is None:
        report.leave_out(patient.subject, "its streams: no model is known; --model names one")
    elif config.kind in PAID and not spend:
        report.leave_out(patient.subject, "its streams cost money: --spend allows two short ones")
    else:
        await _examine_answers(patient, pool, chosen)


async def _examine_answers(patient: Patient, pool: Pool, model: str) -> None:
    progress = patient.report.progress
    progress(f"{patient.subject}: asking {model} for a short stream")
    try:
        answer, heard = await _short_stream(patient, model)
    except Unanswered as error:
        patient.find("stream_refused", f"no answer to a chat request: {error}")
        return
    if not judge_stream(patient, answer, heard):
        return
    progress(f"{patient.subject}: leaving a long stream")
    await examine_closing(patient, model)
    if patient.kind in _TELLING:
        progress(f"{patient.subject}: asking for its context size")
        await _examine_context(patient, pool, model)


async def _short_stream(patient: Patient, model: str) -> tuple[Answer, Heard]:
    dialect = dialect_of(patient.kind)
    newer = patient.kind is Kind.OPENAI
    while True:
        path, body = chat_body(dialect, model, SHORT, newer_name=newer)
        request = patient.request(path, body)
        answer, heard = await hear(patient.address, request, dialect, seconds=_STREAM_SECONDS)
        if newer or not wants_newer_name(heard.refusal):
            return answer, heard
        newer = True


def judge_stream(patient: Patient, answer: Answer, heard: Heard) -> bool:
    """Note what a short stream shows; False where there was none, or nothing in it."""
    if answer.status in KEY_REFUSED:
        patient.find("upstream_key_refused", f"a chat request got {heard.refusal}")
    elif heard.refusal is not None:
        patient.find("stream_refused", heard.refusal, http_status=answer.status)
    elif answer.media_type not in _TYPES:
        kind = answer.media_type or "no content type"
        patient.find("not_a_stream", f"a streamed chat request was answered with {kind}")
    elif heard.failed is not None:
        patient.find("stream_failed", f"after {len(heard.content)} frames: {heard.failed}")
    else:
        _judge_pace(patient, answer, heard)
        _judge_end(patient, answer, heard)
        return not answer.late or bool(heard.content)
    return False


def is_burst(heard: Heard) -> bool:
    """Return whether the content came at once: all within 5 ms, or many tokens in one frame."""
    content, usage = heard.content, heard.usage
    if len(content) >= _ENOUGH:
        return content[-1] - content[0] < _BURST
    tokens = None if usage is None else usage.output
    return bool(content) and tokens is not None and tokens >= _ENOUGH * len(content)


def _judge_pace(patient: Patient, answer: Answer, heard: Heard) -> None:
    if not heard.content:
        return patient.note("its stream had no text to time")
    first_ms = (heard.content[0] - answer.sent_at) * 1000
    spread_ms = (heard.content[-1] - heard.content[0]) * 1000
    figures = {
        "frames": len(heard.content),
        "first_ms": round(first_ms, 1),
        "spread_ms": round(spread_ms, 1),
    }
    text = f"{len(heard.content)} frames of content within {spread_ms:,.0f} ms"
    if is_burst(heard):
        return patient.find("not_streaming", f"{text}, after {first_ms:,.0f} ms", **figures)
    return patient.note(f"streams: {text}, the first after {first_ms:,.0f} ms", **figures)


def _judge_end(patient: Patient, answer: Answer, heard: Heard) -> None:
    if heard.end_at is None:
        how = answer.cut or "the body ended properly"
        id = "stream_unfinished" if answer.late else "end_marker_missing"
        patient.find(id, f"no end marker after {len(heard.content)} frames: {how}")
        if answer.cut is not None:
            return  # usage comes last, if it would have
    usage = heard.usage
    if usage is None or usage.input is None or usage.output is None:
        text = f"no token counts in a stream of {len(heard.content)} frames, though asked for"
        patient.find("usage_missing", text)
    else:
        text = f"sends usage: {usage.input} in, {usage.output} out"
        patient.note(text, input_tokens=usage.input, output_tokens=usage.output)


async def _examine_context(patient: Patient, pool: Pool, model: str) -> None:
    """Learn the context size as the gateway does, after a call: some load their model for one."""
    discovery = Discovery(pool)
    try:
        discovery.refresh(patient.runtime, model)
        await discovery.settle()
        size = discovery.context_of(patient.runtime, model)
    finally:
        await discovery.aclose()
    if size is None:
        patient.find("context_unknown", f"its pages tell no context size for {model}")
    else:
        patient.note(f"context of {size:,} tokens", context_total=size)
