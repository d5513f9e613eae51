"""Writes the head of an upstream call: listed headers only, with that upstream's own key (§3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamgauge.core.chat import UpstreamDialect
from streamgauge.core.keys import PREFIX
from streamgauge.gateway.hop import HOP_HEADER, HOP_LINE
from streamgauge.gateway.http import Header

__all__ = ["CAPTURE_HEADER", "Credentials", "translated_headers", "upstream_request"]

CAPTURE_HEADER = b"x-streamgauge-capture"
"""Holds the admin token of who wants this request captured: it goes to nobody else."""
_PASSED = frozenset(
    {b"accept", b"anthropic-version", b"anthropic-beta", b"traceparent", b"tracestate", HOP_HEADER}
)
_OWN = frozenset({b"authorization", b"x-api-key", b"host", b"content-length", b"connection"})
_OURS = PREFIX.encode()
_VENDORS = (b"anthropic-", b"openai-")
_VERSION: Header = (b"anthropic-version", b"2023-06-01")
# With it llama.cpp generates on after a disconnect, and «cancelled» would be a lie (SPEC §3.6).
_NEVER = frozenset({b"x-conversation-id", CAPTURE_HEADER})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an upstream is shown: its `key` in its own header, or the client's passed through."""

    key: str | None = None
    anthropic: bool = False
    pass_through: bool = False


def upstream_request(
    method: str,
    path: str,
    host: str,
    body: bytes,
    *,
    client: Sequence[Header] = (),
    forward: frozenset[bytes] = frozenset(),
    added: Mapping[str, str] | None = None,
    credentials: Credentials = Credentials(),
    idempotency_key: str | None = None,
) -> bytes:
    """Return the whole request. `path` begins with a slash; `host` is the Host header's value."""
    own = {name.lower().encode("latin-1"): value for name, value in (added or {}).items()}
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), b"host: " + host.encode("latin-1")]
    if body or method == "POST":
        lines += [b"content-type: application/json", b"content-length: %d" % len(body)]
    lines.append(b"accept-encoding: identity")
    for name, value in client:
        listed = name in _PASSED or name in forward or name.startswith(b"openai-")
        if listed and name not in own and name not in _OWN and name not in _NEVER:
            lines.append(name + b": " + value)
    lines += _credential_lines(credentials, client, own.keys())
    lines += [name + b": " + value.encode("latin-1") for name, value in own.items()]
    lines.append(HOP_LINE)
    if idempotency_key is not None and b"idempotency-key" not in own:
        lines.append(b"idempotency-key: " + idempotency_key.encode("latin-1"))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def translated_headers(
    client: Sequence[Header], dialect: UpstreamDialect | None
) -> tuple[Header, ...]:
    """Return the client's headers for an upstream of `dialect`: not what its own dialect means."""
    if dialect is None:
        return tuple(client)
    kept = tuple(h for h in client if not h[0].startswith(_VENDORS) and h[0] != b"accept")
    return (*kept, _VERSION) if dialect == "anthropic" else kept


def _credential_lines(
    credentials: Credentials, client: Sequence[Header], own: object
) -> list[bytes]:
    if credentials.pass_through:
        # The client's own keys for the upstream, never one of ours (FAULTS S8).
        named = (b"authorization", b"x-api-key")
        return [n + b": " + v for n, v in client if n in named and _OURS not in v]
    if credentials.key is None:
        return []
    key = credentials.key.encode("latin-1")
    return [b"x-api-key: " + key if credentials.anthropic else b"authorization: Bearer " + key]
