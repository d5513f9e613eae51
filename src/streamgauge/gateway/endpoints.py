"""The data listener's paths: what each one is, and by which methods it is asked (SPEC §1.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from streamgauge.core.chat import ENDPOINTS, UpstreamDialect
from streamgauge.core.dialects.codecs import UPSTREAMS
from streamgauge.core.errors import RequestError
from streamgauge.gateway.http import RequestHead

__all__ = [
    "Endpoint",
    "Route",
    "allow_header",
    "asked_dialect",
    "beta_query",
    "check_method",
    "dialect_name",
    "find_endpoint",
    "upstream_path",
]


class Route(Enum):
    """What a path leads to."""

    METERED = auto()
    COUNT_TOKENS = auto()
    MODELS = auto()
    STREAM_STATE = auto()
    STREAM_EVENTS = auto()
    STREAM_STOP = auto()
    STOP_BY_BODY = auto()
    COST = auto()
    HEALTH = auto()
    READY = auto()
    PAGE = auto()
    """`/`, `/props` and `/slots`: an upstream's own, where `expose` lists them."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path found. `name`: the metered endpoint, model, stream id or page that it names."""

    route: Route
    name: str
    methods: tuple[str, ...]


_GET = ("GET", "HEAD")
_POST = ("POST",)
_FIXED: Mapping[str, Endpoint] = {
    **{name: Endpoint(Route.METERED, name, _POST) for name in ENDPOINTS},
    "messages/count_tokens": Endpoint(Route.COUNT_TOKENS, "", _POST),
    "models": Endpoint(Route.MODELS, "", _GET),
    "chat/stop": Endpoint(Route.STOP_BY_BODY, "", _POST),
    "cost": Endpoint(Route.COST, "", _POST),
    "healthz": Endpoint(Route.HEALTH, "", _GET),
    "readyz": Endpoint(Route.READY, "", _GET),
    "": Endpoint(Route.PAGE, "/", _GET),
    "props": Endpoint(Route.PAGE, "/props", _GET),
    "slots": Endpoint(Route.PAGE, "/slots", _GET),
}
_BY_PATH: Mapping[str, Endpoint] = {
    start + name: endpoint for name, endpoint in _FIXED.items() for start in ("/", "/v1/")
}
_STREAM = re.compile(r"streams/([A-Za-z0-9_-]{1,64})(/stop|/events)?")
_BETA = re.compile(r"(?:^|&)beta=([A-Za-z0-9]{1,16})(?:&|$)")


def find_endpoint(path: str) -> Endpoint | None:
    """Return what `path` is, with or without `/v1`, or None."""
    if (fixed := _BY_PATH.get(path)) is not None:
        return fixed
    bare = path.removeprefix("/v1/") if path.startswith("/v1/") else path.removeprefix("/")
    if bare.startswith("models/") and len(bare) > len("models/"):
        return Endpoint(Route.MODELS, bare.removeprefix("models/"), _GET)
    if (found := _STREAM.fullmatch(bare)) is not None:
        if found[2] == "/stop":
            return Endpoint(Route.STREAM_STOP, found[1], _POST)
        if found[2]:
            return Endpoint(Route.STREAM_EVENTS, found[1], ("GET",))
        return Endpoint(Route.STREAM_STATE, found[1], _GET)
    return None


def check_method(endpoint: Endpoint, method: str) -> None:
    """Raise RequestError 405 for a method by which `endpoint` is not asked.

    It names those that are (RFC 9110 §15.5.6).
    """
    if method in endpoint.methods:
        return
    error = RequestError(f"use {endpoint.methods[0]} here", status=405)
    error.headers = allow_header(endpoint)
    raise error


def allow_header(endpoint: Endpoint) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header that names the methods by which `endpoint` is asked."""
    return ((b"allow", ", ".join(endpoint.methods).encode()),)


def dialect_name(path: str | None) -> str:
    """Return the dialect that `path` looks like; OpenAI's where it looks like none."""
    return "anthropic" if path is not None and "/messages" in path else "openai"


def asked_dialect(head: RequestHead) -> str:
    """Return the dialect of who sends `head`: by its path, and where both have it by what it says.

    Anthropic's clients state a version everywhere, and `beta=true` at paths that have no other sign.
    """
    name, endpoint = dialect_name(head.path), find_endpoint(head.path)
    if name == "anthropic" or (endpoint is not None and endpoint.route is Route.METERED):
        return name
    beta = _BETA.search(head.query)
    says = head.header(b"anthropic-version") is not None or (beta is not None and beta[1] == "true")
    return "anthropic" if says else name


def upstream_path(name: str, dialect: UpstreamDialect | None, query: str) -> str:
    """Return where a metered endpoint is at an upstream; `dialect`: what it is translated to."""
    if dialect is None:
        return f"/v1/{name}{beta_query(query)}"
    return UPSTREAMS[dialect].path


def beta_query(query: str) -> str:
    """Return what of the client's query goes upstream: `?beta=…` or nothing (SPEC §1.2)."""
    found = _BETA.search(query) if query else None
    return f"?beta={found[1]}" if found else ""
