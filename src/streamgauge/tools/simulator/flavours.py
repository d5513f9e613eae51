"""Which server is played: its response heads and error bodies. It knows no token."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Self

import msgspec

__all__ = ["Flavour", "error_body", "error_frame", "head", "json_head", "keep_alive", "stream_head"]

Fields = Sequence[tuple[str, str]]


class Flavour(StrEnum):
    """The servers that can be played (WIRE.md §2, §4, §6, §7)."""

    LLAMACPP = "llamacpp"
    VLLM = "vllm"
    OPENAI = "openai"
    OPENROUTER = "openrouter"
    ANTHROPIC = "anthropic"
    OLLAMA = "ollama"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the flavour called `name`; raise ValueError for unknown names."""
        try:
            return cls(name)
        except ValueError as error:
            raise ValueError(f"flavour {name}: one of {', '.join(cls)}") from error


_LLAMACPP: Fields = (("Server", "llama.cpp"), ("Access-Control-Allow-Origin", ""))
_LLAMACPP_KEEP: Fields = (("Keep-Alive", "timeout=5, max=100"),)
_TYPES = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "invalid_request_error"),
    404: ("not_found_error", "invalid_request_error"),
    429: ("rate_limit_error", "rate_limit_error"),
    503: ("unavailable_error", "server_error"),
}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}

_OLLAMA_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


def keep_alive(flavour: Flavour) -> float:
    """Return how many seconds an idle connection stays open; 5 was measured of llama.cpp."""
    return 5.0 if flavour is Flavour.LLAMACPP else 60.0


def head(status: int, fields: Fields) -> bytes:
    """Return a response head, from the status line to the blank line."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def stream_head(flavour: Flavour, call: str, extra: Fields = (), *, native: bool = False) -> bytes:
    """Return the head of a stream as this server sends it: of events, or of Ollama's own lines."""
    if flavour is Flavour.LLAMACPP:
        kind = ("Content-Type", "text/event-stream")
        body = (("X-Accel-Buffering", "no"), kind, ("Transfer-Encoding", "chunked"))
        return head(200, (*_LLAMACPP, *body, *extra, *_LLAMACPP_KEEP))
    if native:
        lines = (("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked"))
        return head(200, (*lines, *extra))
    fields = (
        ("Content-Type", "text/event-stream; charset=utf-8"),
        ("Cache-Control", "no-cache"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "keep-alive"),
    )
    return head(200, (*fields, *_own(flavour, call), *extra))


def json_head(flavour: Flavour, status: int, length: int, call: str, extra: Fields = ()) -> bytes:
    """Return the head of a whole JSON answer; llama.cpp closes after an error."""
    if flavour is Flavour.LLAMACPP:
        kind = ("Content-Type", "application/json; charset=utf-8")
        last = _LLAMACPP_KEEP if status < 400 else (("Connection", "close"),)
        return head(status, (*_LLAMACPP, kind, ("Content-Length", str(length)), *extra, *last))
    kind_of = "application/json; charset=utf-8" if flavour is Flavour.OLLAMA else "application/json"
    fields = (("Content-Type", kind_of), ("Content-Length", str(length)))
    return head(status, (*fields, *_own(flavour, call), *extra))


def _own(flavour: Flavour, call: str) -> Fields:
    match flavour:
        case Flavour.ANTHROPIC:
            return (("request-id", f"req_{call}"),)
        case Flavour.OPENROUTER:
            return (("X-Generation-Id", f"gen-{call}"),)
        case Flavour.OLLAMA:
            return ()
        case _:
            return (("x-request-id", f"req_{call}"), ("openai-processing-ms", "1"))


def error_body(
    flavour: Flavour, status: int, message: str, *, anthropic: bool, code: str | None = None
) -> bytes:
    """Return an error body; llama.cpp's is the same on both routes (WIRE.md §6.5)."""
    return msgspec.json.encode(_error(flavour, status, message, anthropic, code))


def error_frame(flavour: Flavour, message: str, *, anthropic: bool) -> bytes:
    """Return an error frame; on llama.cpp's Anthropic route the bare object (WIRE.md §6.3)."""
    error = _error(flavour, 500, message, anthropic, None)
    if not anthropic:
        return b"data: " + msgspec.json.encode(error) + b"\n\n"
    bare = error["error"] if flavour is Flavour.LLAMACPP else error
    return b"event: error\ndata: " + msgspec.json.encode(bare) + b"\n\n"


def _error(
    flavour: Flavour, status: int, message: str, anthropic: bool, code: str | None
) -> dict[str, Any]:
    local, hosted = _TYPES.get(status, ("server_error", "server_error"))
    if flavour is Flavour.LLAMACPP:
        return {"error": {"code": status, "message": message, "type": local}}
    if anthropic:
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        inner = {"type": kind, "message": message}
        return {"type": "error", "error": inner, "request_id": "req_sim"}
    if flavour is Flavour.OPENROUTER:
        return {"error": {"code": status, "message": message}}
    if flavour is Flavour.OLLAMA:
        kind = _OLLAMA_TYPES.get(status, "api_error")
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}
    if flavour is Flavour.VLLM:
        return {"error": {"message": message, "type": hosted, "param": None, "code": status}}
    return {"error": {"message": message, "type": hosted, "param": None, "code": code}}
