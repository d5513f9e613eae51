"""Carries our record to an OpenAI client (SPEC §10.1). It reads the record's names only."""

from __future__ import annotations

import msgspec

from streamgauge.core.dialects.framing import comment_line, json_bytes
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.sse import encode_frame

__all__ = ["metadata_bytes"]

_CHUNKS = {"chat/completions": "chat.completion.chunk", "completions": "text_completion"}


class _Named(msgspec.Struct, gc=False):
    id: str | None = None
    created: int | None = None


_decode_named = msgspec.json.Decoder(_Named).decode


def metadata_bytes(mode: str, payload: bytes, record: ExchangeRecord, beside: bytes = b"") -> bytes:
    """Return a comment, a chunk without choices or a named event with `payload`, by `mode`.

    `beside`: the payload of another chunk of the stream, whose id all have. The Responses API has no
    chunk that says nothing, so that its `chunk` is the comment.
    """
    if mode in ("event", "after_done"):
        return encode_frame(payload, b"streamgauge")
    if mode == "chunk" and (kind := _CHUNKS.get(record.endpoint or "")) is not None:
        return encode_frame(_chunk(kind, payload, record, _named_in(beside)))
    return comment_line(b"streamgauge", payload) if mode in ("comment", "chunk") else b""


def _named_in(beside: bytes) -> _Named:
    try:
        return _decode_named(beside)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _Named()


def _chunk(kind: str, payload: bytes, record: ExchangeRecord, named: _Named) -> bytes:
    began = record.started_at // 1_000_000
    head = json_bytes(
        {
            "id": named.id or f"chatcmpl-{record.id}",
            "object": kind,
            "created": began if named.created is None else named.created,
            "model": record.response_model or record.upstream_model or record.requested_model or "",
            "choices": [],
        }
    )
    return head[:-1] + b',"streamgauge":' + payload + b"}"
