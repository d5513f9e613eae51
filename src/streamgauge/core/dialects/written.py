"""Writes the JSON of an upstream's request: whatever a client said can be encoded."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import msgspec

from streamgauge.core.dialects.loose import clean_value

__all__ = ["NO_ARGUMENTS", "argument_object", "encode_body", "json_text"]

NO_ARGUMENTS = msgspec.Raw(b"{}")
_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def encode_body(value: Any) -> bytes:
    """Return `value` as JSON in UTF-8. Lone surrogates become U+FFFD, every other text stays."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(clean_value(value))


def json_text(value: Any) -> str:
    """Return `value` as compact JSON text."""
    return encode_body(value).decode()


def argument_object(text: str) -> msgspec.Raw | None:
    """Return a call's arguments as the JSON object that `text` is, to the byte; "" is `{}`.

    None where `text` is no JSON object: a model may write anything.
    """
    if not text.strip():
        return NO_ARGUMENTS
    try:
        _decode_object(text)
        return msgspec.Raw(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return _tolerant(text)


def _tolerant(text: str) -> msgspec.Raw | None:
    """Read what is JSON for others though: lone surrogate escapes, numbers beyond a double."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
        return msgspec.Raw(encode_body(value)) if type(value) is dict else None
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
