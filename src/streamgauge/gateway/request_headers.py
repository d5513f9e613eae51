"""Writes the head of an upstream call: listed headers only, with that upstream's own key (§3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamgauge.core.chat import UpstreamDialect
from streamgauge.core.keys import PREFIX
from streamgauge.gateway.hop import HOP_HEADER, HOP_LINE
from streamgauge.gateway.http import Header

__all__ = ["CAPTURE_HEADER", "Credentials", "RequestWriter", "translated_headers"]

CAPTURE_HEADER = b"x-streamgauge-capture"
"""Holds the admin token of who wants this request captured: it goes to nobody else."""
_PASSED = frozenset(
    {b"accept", b"anthropic-version", b"anthropic-beta", b"traceparent", b"tracestate", HOP_HEADER}
)
_OWN = frozenset({b"authorization", b"x-api-key", b"host", b"content-length", b"connection"})
_OURS = PREFIX.encode()
_ACCOUNT = frozenset({b"openai-organization", b"openai-project"})
"""They belong to a key: beside another one than their own, OpenAI answers 401."""
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


class RequestWriter:
    """Writes the requests to one upstream; what its configuration says is worked out once.

    `host` is the Host header's value, `forward` the names of the client's headers that pass beside
    the usual ones, `added` what the configuration adds: it comes before the client's of that name.
    """

    __slots__ = ("_forward", "_host", "_last", "_names_key", "_pass_through", "_refused")

    def __init__(
        self,
        host: str,
        forward: frozenset[bytes] = frozenset(),
        added: Mapping[str, str] | None = None,
        credentials: Credentials = Credentials(),
    ) -> None:
        own = {n.lower().encode("latin-1"): v.encode("latin-1") for n, v in (added or {}).items()}
        self._host = host
        account = frozenset() if credentials.pass_through else _ACCOUNT - forward
        self._refused = _OWN | _NEVER | own.keys() | account
        self._forward = (_PASSED | forward) - self._refused
        self._names_key = b"idempotency-key" not in own
        self._pass_through = credentials.pass_through
        lines = [*_key_lines(credentials), *map(b": ".join, own.items()), HOP_LINE]
        self._last = b"\r\n".join([b"", *lines])

    def request(
        self,
        method: str,
        path: str,
        body: bytes,
        client: Sequence[Header] = (),
        idempotency_key: str | None = None,
    ) -> bytes:
        """Return the whole request. `path` begins with a slash; `client`: its client's headers."""
        first = f"{method} {path} HTTP/1.1\r\nhost: {self._host}"
        if body or method == "POST":
            first += f"\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        forward, refused = self._forward, self._refused
        lines = [(first + "\r\naccept-encoding: identity").encode("latin-1")]
        for name, value in client:
            if name in forward or (name.startswith(b"openai-") and name not in refused):
                lines.append(name + b": " + value)
        if self._pass_through:
            lines += _shown_by(client)
        head = b"\r\n".join(lines) + self._last
        if idempotency_key is not None and self._names_key:
            head += b"\r\nidempotency-key: " + idempotency_key.encode("latin-1")
        return head + b"\r\n\r\n" + body


def _key_lines(credentials: Credentials) -> list[bytes]:
    if credentials.pass_through or credentials.key is None:
        return []
    key = credentials.key.encode("latin-1")
    return [b"x-api-key: " + key if credentials.anthropic else b"authorization: Bearer " + key]


def _shown_by(client: Sequence[Header]) -> list[bytes]:
    """Return the client's own keys for the upstream, never one of ours (FAULTS S8)."""
    named = (b"authorization", b"x-api-key")
    return [n + b": " + v for n, v in client if n in named and _OURS not in v]


def translated_headers(
    client: Sequence[Header], dialect: UpstreamDialect | None
) -> tuple[Header, ...]:
    """Return the client's headers for an upstream of `dialect`: not what its own dialect means."""
    if dialect is None:
        return tuple(client)
    kept = tuple(h for h in client if not h[0].startswith(_VENDORS) and h[0] != b"accept")
    return (*kept, _VERSION) if dialect == "anthropic" else kept
