"""An upstream's answer that is no stream: read, and written for the client's dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamgauge.core.assembly import Assembly
from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.dialects.anthropic.whole_repair import changed_content
from streamgauge.core.dialects.codecs import CLIENTS, UPSTREAMS
from streamgauge.core.dialects.loose import dump, load
from streamgauge.core.dialects.openai.whole_repair import changed_choices
from streamgauge.core.dialects.registry import dialect_of
from streamgauge.core.events import Event, Failed
from streamgauge.core.json_text import json_of, patch_keys
from streamgauge.core.meter import Meter
from streamgauge.core.refusal import error_of_stream
from streamgauge.core.transform.chain import Chain
from streamgauge.core.transform.frames import object_in
from streamgauge.core.transforming import event_transforms, transformed
from streamgauge.core.verdict import Verdict, protocol_error, refused

__all__ = ["read_whole", "says_nothing", "whole_body", "whole_stream"]

_ASKS_USAGE = frozenset({"chat/completions", "completions"})
"""Streams of these tell usage only to who asks for it."""
_COUNTS = frozenset({"usage", "timings"})


def read_whole(facts: Facts, attempt: Attempt, body: bytes) -> Sequence[Event] | None:
    """Return the events of an answer, `Ended` last; None where it is no JSON object."""
    endpoint = facts.request.endpoint
    if attempt.dialect is not None:
        return UPSTREAMS[attempt.dialect].read_answer(body)
    return dialect_of(endpoint).read_answer(endpoint, attempt.kind, body)


def whole_stream(
    facts: Facts, attempt: Attempt, body: bytes, events: Sequence[Event]
) -> bytes | Verdict:
    """Return the stream, of the upstream's dialect, that says the same as `body`, with its `events`.

    The verdict of what is no chat answer: it may still tell of an error.
    """
    endpoint = facts.request.endpoint
    if attempt.dialect is not None:
        stream = UPSTREAMS[attempt.dialect].stream_of(body)
    else:
        if endpoint in _ASKS_USAGE and not (facts.metering or facts.request.include_usage):
            body = _without_usage(body)  # its frame could not be hidden: nobody reads the stream
        stream = dialect_of(endpoint).stream_of(endpoint, body)
    if stream is not None:
        return stream
    for event in events:
        if isinstance(event, Failed):
            return refused(error_of_stream(event, attempt), event.status)
    return protocol_error("the upstream's answer is not a chat answer")


def _without_usage(body: bytes) -> bytes:
    loaded = load(body)  # as whoever makes the stream of it reads it: bad UTF-8 and a BOM pass
    members = loaded.value if loaded is not None and isinstance(loaded.value, dict) else {}
    told = {key: value for key, value in members.items() if key not in _COUNTS}
    return dump(told).encode("utf-8", "replace")


def says_nothing(meter: Meter) -> bool:
    """Return whether an answer had no content, call or finish: no dialect's answer is that."""
    return not meter.content_frames and meter.calls is None and meter.finish_reason is None


def whole_body(
    facts: Facts,
    attempt: Attempt,
    body: bytes,
    events: Sequence[Event],
    meter: Meter,
    tool_names: Mapping[str, str],
) -> bytes:
    """Return the body that the client gets: as it came, or translated from its `events`."""
    chain = attempt.transformers
    if attempt.dialect is None:
        return _rewritten(facts.request.endpoint, chain, body) if chain.reads_answers else body
    if chain.reads_answers:
        events = transformed(event_transforms(chain, meter.note), events)
    assembly = Assembly(tool_names)
    assembly.add(events)
    client = CLIENTS[facts.request.dialect]
    return client.whole(assembly.message, facts.telling(attempt), meter.booked().usage)


_ANSWERS: Mapping[str, Callable[[dict[str, Any], Chain], dict[str, Any]]] = {
    "chat/completions": changed_choices,
    "messages": changed_content,
}
"""What an upstream's transformers change in an answer of an endpoint."""


def _rewritten(endpoint: str, chain: Chain, body: bytes) -> bytes:
    rewrite, answer = _ANSWERS.get(endpoint), object_in(body)
    if rewrite is None or answer is None:
        return body
    changes = rewrite(answer, chain)
    if not changes:
        return body
    return patch_keys(body, {key: json_of(value) for key, value in changes.items()})
