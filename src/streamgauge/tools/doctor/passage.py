"""Examines one stream through a public URL: headers, frames held, compression, comments, its end."""

from __future__ import annotations

from typing import Any

from streamgauge.tools.doctor.asking import SHORT, Pace, Wanted, is_simulated
from streamgauge.tools.doctor.catalogue import Proxy, proxy_of
from streamgauge.tools.doctor.hearing import Heard
from streamgauge.tools.doctor.visit import Visit, has_ended
from streamgauge.tools.doctor.wire import Answer, Unanswered

__all__ = ["examine_passage", "held_ms"]

_OK = 200
_KEY_REFUSED = 401
_ROW_SECONDS = 3.0
_LONGER = Wanted(SHORT.max_tokens * 8, Pace(tokens=12, gap_ms=100, first_ms=100))
"""Asked for where a model was too quick to show anything, and before frames are said to be held."""
_SPREAD_MS = 250.0
"""A stream that took less at the gateway cannot show that it was held: machines are busy."""
_HELD_SHARE, _HELD_MS = 0.5, 150.0
_CACHE_WORDS = ("no-cache", "no-store", "no-transform")
_SILENT_PROXIES = (Proxy.NGINX, Proxy.CLOUDFLARE)
"""They take X-Accel-Buffering for themselves, and may stand before one that shows its own name."""


async def examine_passage(visit: Visit, model: str) -> bool:
    """Examine a short stream; False where one that is left could show nothing more."""
    try:
        answer, heard = await visit.stream(model, SHORT)
    except Unanswered as error:
        visit.find("stream_not_given", f"no answer to a chat request: {error}")
        return False
    if heard.refusal is not None:
        id = "key_refused" if answer.status == _KEY_REFUSED else "stream_not_given"
        visit.find(id, heard.refusal, proxy_of(answer.headers), http_status=answer.status)
        return False
    _judge_headers(visit, answer)
    if not _judge_end(visit, answer, heard):
        return True
    row = await _row(visit, answer, heard)
    _judge_comments(visit, heard)
    if row is not None:
        if _is_unsure(model, row, heard):
            visit.say("once more, for longer, to be sure of its pace")
            answer, heard, row = await _longer(visit, model, (answer, heard, row))
        held = _judge_pace(visit, answer, heard, row)
        _judge_books(visit, row, heard)
        return not held
    return True


async def _longer(
    visit: Visit, model: str, first: tuple[Answer, Heard, dict[str, Any]]
) -> tuple[Answer, Heard, dict[str, Any]]:
    """Return a longer stream with its row, or the first where it did not come whole."""
    try:
        answer, heard = await visit.stream(model, _LONGER)
    except Unanswered:
        return first
    if heard.refusal is not None or heard.end_at is None:
        return first
    row = await _row(visit, answer, heard)
    return first if row is None else (answer, heard, row)


# --- the head -----------------------------------------------------------------------------------


def _judge_headers(visit: Visit, answer: Answer) -> None:
    """Compare the head with SPEC §4.5 and §4.6."""
    headers, proxy = answer.headers, proxy_of(answer.headers)
    before = len(visit.report.findings)
    if answer.media_type != "text/event-stream":
        kind = answer.media_type or "none"
        visit.find("content_type_changed", f"the stream's content type is {kind}", proxy)
    cache = headers.get("cache-control", "").lower()
    if missing := [word for word in _CACHE_WORDS if word not in cache]:
        text = f"cache-control came without {', '.join(missing)}"
        visit.find("cache_headers_changed", text, proxy)
    if headers.get("x-accel-buffering") != "no" and proxy not in _SILENT_PROXIES:
        visit.find("accel_header_missing", "X-Accel-Buffering: no did not arrive", proxy)
    own, request_id = (headers.get(n) for n in ("x-streamgauge-stream-id", "x-request-id"))
    if own is None or request_id != own:
        what = "x-streamgauge-stream-id is missing" if own is None else "x-request-id is another's"
        visit.find("own_headers_missing", what, proxy)
    if coding := headers.get("content-encoding"):
        visit.find("compressed", f"the stream came with content-encoding: {coding}", proxy)
    if len(visit.report.findings) == before:
        visit.note("the stream's headers are all there")


# --- the end, and what was told on the way ------------------------------------------------------


def _judge_end(visit: Visit, answer: Answer, heard: Heard) -> bool:
    """Return whether the stream came to its end."""
    if heard.failed is not None:
        visit.find("stream_not_given", f"the stream ended with an error: {heard.failed}")
        return False
    if heard.end_at is None or not answer.whole:
        ended = answer.ended_at or answer.sent_at
        seconds = ended - answer.sent_at
        why = answer.cut or "the body ended without the end marker"
        text = f"cut after {seconds:.1f} s and {len(heard.content)} frames: {why}"
        visit.find("stream_cut", text, proxy_of(answer.headers), after_seconds=round(seconds, 1))
        return False
    return True


def _judge_comments(visit: Visit, heard: Heard) -> None:
    if heard.metadata is None:
        text = "the gateway's record, asked for as a comment, did not arrive"
        visit.find("comments_stripped", text, comments=heard.comments)
    else:
        visit.note("comments pass", comments=heard.comments)


async def _row(visit: Visit, answer: Answer, heard: Heard) -> dict[str, Any] | None:
    """Return the gateway's own row of the stream: the state page's, else the comment's."""
    stream_id = answer.headers.get("x-streamgauge-stream-id")
    if stream_id is None:
        return heard.metadata
    row = await visit.state(stream_id, has_ended, _ROW_SECONDS)
    if row is None:
        proxy = proxy_of(answer.headers)
        visit.find("stream_unknown", "its page of the stream that just ended is a 404", proxy)
        return heard.metadata
    return row


# --- the pace -----------------------------------------------------------------------------------


def _spread_ms(row: dict[str, Any]) -> float:
    """Return from the first content to the end marker, as the gateway sent them; 0 where unknown."""
    first, last = row.get("ttft_ms"), row.get("stream_duration_ms")
    if not isinstance(first, int | float) or not isinstance(last, int | float):
        return 0.0
    return float(last - first)


def held_ms(sent_ms: float, heard: Heard) -> float | None:
    """Return for how long the first content was held, measured by its distance to the end.

    `sent_ms`: that distance at the gateway. A way that only delays keeps the distance; one that
    collects frames shrinks it. None where no content or no end was heard.
    """
    spread = heard.spread
    return None if spread is None else sent_ms - spread * 1000


def _is_unsure(model: str, row: dict[str, Any], heard: Heard) -> bool:
    """Return whether a second look is needed: a pause of this machine looks like a held frame."""
    sent = _spread_ms(row)
    if sent < _SPREAD_MS:
        return not is_simulated(model)
    return _are_held(sent, held_ms(sent, heard))


def _are_held(sent: float, held: float | None) -> bool:
    return held is not None and held >= max(_HELD_MS, _HELD_SHARE * sent)


def _judge_pace(visit: Visit, answer: Answer, heard: Heard, row: dict[str, Any]) -> bool:
    """Return whether frames were held on the way."""
    sent = _spread_ms(row)
    held = held_ms(sent, heard)
    if held is None or sent < _SPREAD_MS:
        text = f"frames held on the way: the answer took only {sent:.0f} ms; --model names a slower"
        visit.report.leave_out(visit.subject, text)
        return False
    reads = len(set(heard.content))
    figures = {
        "frames": len(heard.content),
        "reads": reads,
        "sent_ms": round(sent),
        "arrived_ms": round(sent - held),
        "held_ms": round(held),
    }
    times = f"sent within {sent:,.0f} ms, came within {sent - held:,.0f} ms"
    text = f"{len(heard.content)} frames, {times}"
    if _are_held(sent, held):
        text = f"{text}, in {reads} piece{'' if reads == 1 else 's'}"
        visit.find("frames_held", text, proxy_of(answer.headers), **figures)
        return True
    visit.note(f"frames are not held: {text}", **figures)
    return False


def _judge_books(visit: Visit, row: dict[str, Any], heard: Heard) -> None:
    told = heard.metadata or {}
    if row.get("input_tokens") is None or row.get("usage_source") not in ("provider", "timings"):
        source = row.get("usage_source")
        visit.find("usage_missing", f"the gateway's row has usage_source {source}")
    else:
        visit.note(f"usage arrives: {row['input_tokens']} in, {row['output_tokens']} out")
    if told and told.get("context_total") is None:
        visit.report.leave_out(visit.subject, "context size: the gateway does not know it (yet)")
