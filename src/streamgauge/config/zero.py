"""Upstreams from `--upstream` and from well-known keys. Knows no schema (SPEC §2.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from streamgauge.config.document import Document
from streamgauge.config.expand import Expanded
from streamgauge.config.positions import Place
from streamgauge.config.problems import Problem, did_you_mean, one_of

__all__ = ["WELL_KNOWN_KEYS", "add_upstream_flags", "add_upstreams_from_keys"]


@dataclass(frozen=True, slots=True)
class _Provider:
    kind: str
    variable: str
    base_url: str


_PROVIDERS = (
    _Provider("openai", "OPENAI_API_KEY", "https://api.openai.com"),
    _Provider("anthropic", "ANTHROPIC_API_KEY", "https://api.anthropic.com"),
    _Provider("openrouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api"),
)
WELL_KNOWN_KEYS: Mapping[str, str] = MappingProxyType({p.kind: p.variable for p in _PROVIDERS})
"""Kinds of upstream to the environment variables in which their own tools look for the key."""
_OLLAMA_PORT = ":11434"
_GUESS = "llamacpp"


def add_upstream_flags(
    document: Document, flags: Sequence[str], environ: Mapping[str, str], kinds: Sequence[str]
) -> list[Problem]:
    """Append one upstream for each `[KIND=]URL`, with its provider's well-known key, if set."""
    problems: list[Problem] = []
    for flag in flags:
        kind, base_url = _split(flag)
        if kind not in kinds:
            message = f"KIND must be {one_of(kinds)}{did_you_mean(kind, kinds)}"
            problems.append(Problem.at(Place.flag("--upstream"), ("upstreams",), message))
            continue
        _append(document, kind, base_url, environ, Place.flag("--upstream"))
    return problems


def add_upstreams_from_keys(document: Document, environ: Mapping[str, str]) -> None:
    """Append an upstream for each well-known key, unless a flag made one of that kind."""
    present = {upstream.get("kind") for upstream in document.root.get("upstreams", [])}
    for provider in _PROVIDERS:
        if environ.get(provider.variable) and provider.kind not in present:
            place = Place.variable(provider.variable)
            _append(document, provider.kind, provider.base_url, environ, place)


def _split(flag: str) -> tuple[str, str]:
    kind, equals, base_url = flag.partition("=")
    if equals and "/" not in kind and ":" not in kind:
        return kind.strip().lower(), base_url.strip()
    return _guessed(flag), flag.strip()


def _guessed(url: str) -> str:
    location = _location(url.strip())
    for provider in _PROVIDERS:
        if location == _location(provider.base_url):
            return provider.kind
    return "ollama" if location.endswith(_OLLAMA_PORT) else _GUESS


def _location(url: str) -> str:
    """Host and port as written: whether they can be right is for the schema to say."""
    return url.partition("://")[2].partition("/")[0].lower()


def _append(
    document: Document, kind: str, base_url: str, environ: Mapping[str, str], place: Place
) -> None:
    if not isinstance(upstreams := document.root.get("upstreams") or [], list):
        return
    document.root["upstreams"] = upstreams
    upstream: dict[str, Any] = {
        "name": _free_name(kind, upstreams),
        "kind": kind,
        "base_url": Expanded(base_url),
    }
    for provider in _PROVIDERS:
        if provider.kind == kind and (key := environ.get(provider.variable)):
            upstream["api_key"] = Expanded(key)
    document.places[("upstreams", len(upstreams))] = place
    upstreams.append(upstream)


def _free_name(kind: str, upstreams: Sequence[Any]) -> str:
    taken = [upstream.get("name") for upstream in upstreams if isinstance(upstream, dict)]
    names = (kind if n == 1 else f"{kind}-{n}" for n in range(1, len(upstreams) + 3))
    return next(name for name in names if name not in taken)
