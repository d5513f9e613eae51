"""A client's request as far as the gateway reads it, and the patches it may get on its way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamgauge.core.errors import RequestError
from streamgauge.core.json_text import read_object, set_key, without_bom

__all__ = [
    "ENDPOINTS",
    "MAX_LABEL",
    "ChatRequest",
    "DialectName",
    "UpstreamDialect",
    "named_session",
    "read_chat_request",
    "upstream_body",
]

DialectName = Literal["openai", "anthropic", "simple", "frames"]
"""What clients speak."""

UpstreamDialect = Literal["openai", "anthropic", "ollama"]
"""What upstreams speak."""

ENDPOINTS: Mapping[str, DialectName] = {
    "chat/completions": "openai",
    "completions": "openai",
    "responses": "openai",
    "embeddings": "openai",
    "messages": "anthropic",
}
"""The endpoints that are metered (SPEC §1.2), without `/v1/`, and the dialect each one speaks."""

MAX_LABEL = 256
"""Longest model name or session id in characters: both become labels, in rows and on screens."""

_COMPLETIONS = frozenset({"chat/completions", "completions"})
"""Only these know `stream_options` and `n`."""
_SESSION_HEADERS = (b"x-streamgauge-session", b"x-claude-code-session-id", b"x-session-id")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request, read once. `raw` is its body without a byte order mark, otherwise untouched.

    `include_usage` is what the client said, None when it said nothing. `fields` is the whole body
    and is never changed. `n`: answers asked for.
    """

    dialect: DialectName
    endpoint: str
    model: str | None
    stream: bool
    raw: bytes = field(repr=False)
    n: int = 1
    include_usage: bool | None = None
    session_id: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def as_is(self) -> bool:
        """Whether an upstream can read it; `{"prompt": …}` in a chat is only ours (SPEC §13.1)."""
        asked = "prompt" in self.fields and "messages" not in self.fields
        return not (asked and self.endpoint == "chat/completions")


def read_chat_request(
    endpoint: str,
    raw: bytes,
    headers: Callable[[bytes], str | None],
    protocol: DialectName | None = None,
) -> ChatRequest:
    """Return the request that `raw` is. `headers` gives the value of a header by lower-case name.

    `protocol`: what the answer shall be told in, None for the endpoint's own dialect.

    Raises RequestError where the body is no strict JSON or a field that the gateway itself acts
    on is unusable; everything else is left for the upstream to judge.
    """
    fields = read_object(raw)
    completions = endpoint in _COMPLETIONS
    return ChatRequest(
        protocol or ENDPOINTS[endpoint],
        endpoint,
        _model(fields.get("model")),
        _stream(fields.get("stream")) and endpoint != "embeddings",
        without_bom(raw),
        _answers(fields["n"]) if completions and "n" in fields else 1,
        _include_usage(fields["stream_options"]) if "stream_options" in fields else None,
        _session_id(headers, fields.get("metadata")),
        fields,
    )


def _model(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise RequestError("model must be a non-empty string", param="model")
    if len(value) > MAX_LABEL:
        raise RequestError(f"model is longer than {MAX_LABEL} characters", param="model")
    if not value.isprintable():  # also NUL, lone surrogates, and spaces that only look like one
        odd = next(ord(char) for char in value if not char.isprintable())
        raise RequestError(
            f"model has a character that cannot be printed: U+{odd:04X}", param="model"
        )
    return value


def _stream(value: object) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise RequestError("stream must be true or false", param="stream")
    return value


def _answers(value: object) -> int:
    return value if isinstance(value, int) and value > 1 else 1  # True is 1 as well


def _include_usage(options: object) -> bool | None:
    stated = options.get("include_usage") if isinstance(options, dict) else None
    return stated if isinstance(stated, bool) else None


def _session_id(headers: Callable[[bytes], str | None], metadata: object) -> str | None:
    """Return the session by SPEC §11.7's order, the first that is not empty, or None."""
    if session := named_session(headers, _SESSION_HEADERS):
        return _label(session)
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    session = _session_of_user(user) if isinstance(user, str) else None
    return None if session is None else _label(session)


def named_session(headers: Callable[[bytes], str | None], names: Iterable[bytes]) -> str | None:
    """Return the session in the first of these headers that is not empty, whole.

    Rows show less of a long one (MAX_LABEL), of which two may begin alike.
    """
    for name in names:
        if (text := headers(name)) and (found := _printable(text)):
            return found
    return None


def _session_of_user(user_id: str) -> str | None:
    """Return the session in Claude Code's `metadata.user_id`: JSON, or behind `_session_`."""
    if user_id.lstrip().startswith("{"):
        try:
            stated = json.loads(user_id)
        except (ValueError, RecursionError):
            return None
        session = stated.get("session_id") if isinstance(stated, dict) else None
        return session if isinstance(session, str) else None
    _, mark, session = user_id.rpartition("_session_")
    return session if mark else None


def _label(text: str) -> str | None:
    """Return `text` fit for a row: printable characters only, at most MAX_LABEL, or None."""
    return _printable(text)[:MAX_LABEL] or None


def _printable(text: str) -> str:
    text = text.strip()
    if text.isprintable():
        return text
    return "".join([c for c in text if c.isprintable()])


def upstream_body(
    request: ChatRequest,
    *,
    model: str | None = None,
    include_usage: bool = False,
    running_usage: str | None = None,
) -> bytes:
    """Return the body for a same-dialect upstream: as it came, but for named patches (SPEC §3.1).

    `model` replaces the name, None keeps it. `include_usage` switches the usage frame on (never
    off), `running_usage` the running counts of that upstream kind (`llamacpp`, `vllm`; others
    have none), both only in streams of endpoints that know them.
    """
    body = request.raw
    if model is not None and model != request.model:
        body = set_key(body, ("model",), _json(model))
    if request.stream and request.endpoint in _COMPLETIONS:
        for path in _switched_on(request, include_usage, running_usage):
            body = set_key(body, path, b"true")
    return body


def _switched_on(
    request: ChatRequest, include_usage: bool, running_usage: str | None
) -> Iterator[tuple[str, ...]]:
    """Yield the options to set to true. What the client stated about the running ones stands."""
    if running_usage == "llamacpp" and "timings_per_token" not in request.fields:
        yield ("timings_per_token",)
    options = request.fields.get("stream_options")
    if options is not None and not isinstance(options, dict):
        return  # no object: the upstream's refusal is the client's answer
    if include_usage and request.include_usage is not True:
        yield ("stream_options", "include_usage")
    stated = options is not None and "continuous_usage_stats" in options
    if running_usage == "vllm" and (include_usage or request.include_usage) and not stated:
        yield ("stream_options", "continuous_usage_stats")


def _json(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()
