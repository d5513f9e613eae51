"""Writes our own JSON and SSE frames. It knows no dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streamgauge.core.dialects.loose import clean_text, dump
from streamgauge.core.sse import encode_frame

__all__ = ["comment_line", "json_bytes", "json_frame", "json_text"]

_encode = msgspec.json.Encoder().encode


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """Return `value` as JSON on one line; lone surrogates in it are replaced."""
    return dump(value).encode()


def json_text(text: str) -> bytes:
    """Return `text` as a JSON string on one line; lone surrogates in it are replaced."""
    try:
        return _encode(text)
    except UnicodeEncodeError:
        return _encode(clean_text(text))


def json_frame(value: Mapping[str, Any], event: bytes = b"") -> bytes:
    """Return a frame with `value` as its one data line."""
    return encode_frame(json_bytes(value), event)


def comment_line(name: bytes, payload: bytes) -> bytes:
    """Return a comment of one line with no blank line behind it (SPEC §4.4)."""
    return b": " + name + b" " + payload + b"\n"
