"""Decides which upstream serves a request, from a snapshot. It knows no socket and no health yet.

Phases in order (SPEC §14.1, as far as they are served): explicit `upstream/model`, the globs of
`upstreams[].models`, the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from streamgauge.core.chat import UpstreamDialect
from streamgauge.core.errors import ErrorCode, RequestError

__all__ = ["Asked", "Candidate", "Choice", "Decision", "Snapshot", "plan"]

_SPEAK: Mapping[str, frozenset[str]] = {
    "openai": frozenset({"llamacpp", "ollama", "vllm", "openai", "openrouter", "sim"}),
    "anthropic": frozenset({"anthropic", "sim"}),
}
"""Kinds that are spoken to in a dialect as it is."""
_SPEAK_BOTH = frozenset({"llamacpp", "ollama", "vllm"})
"""Kinds that have Anthropic's endpoint too, where `messages_api: native` asks for it."""
_OWN: Mapping[str, UpstreamDialect] = {"anthropic": "anthropic", "ollama": "ollama"}
"""What a kind is spoken to in when a request is translated; OpenAI's where it is not named."""
_TRANSLATED = frozenset({"chat/completions", "messages"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What routing looks at of a request. `endpoint` without `/v1/`.

    `as_is`: an upstream of its dialect can read it.
    """

    dialect: str
    endpoint: str
    model: str | None
    as_is: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """An upstream as routing sees it. `models`: globs; empty serves any name.

    `native_messages`: Anthropic's clients reach it through its own messages endpoint.
    """

    name: str
    kind: str
    models: tuple[str, ...] = ()
    native_messages: bool = False

    def speaks(self, dialect: str) -> bool:
        """Return whether a request of `dialect` can go there as it is."""
        if dialect == "anthropic" and self.native_messages and self.kind in _SPEAK_BOTH:
            return True
        return self.kind in _SPEAK.get(dialect, frozenset())

    def reached(self, asked: Asked) -> bool:
        """Return whether a request can go there at all, as it is or translated."""
        return self.speaks(asked.dialect) or asked.endpoint in _TRANSLATED

    def translation(self, asked: Asked) -> UpstreamDialect | None:
        """Return the dialect to translate to; None where the request goes as it is."""
        return None if asked.as_is and self.speaks(asked.dialect) else _OWN.get(self.kind, "openai")

    def serves(self, model: str | None) -> bool:
        """Return whether one of the globs fits; without globs, False."""
        return model is not None and any(fnmatchcase(model, glob) for glob in self.models)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All upstreams in the configuration's order, and the default route's, if one is set."""

    candidates: tuple[Candidate, ...]
    default: str | None = None

    def named(self, name: str) -> Candidate | None:
        """Return the upstream of that name."""
        return next((c for c in self.candidates if c.name == name), None)


@dataclass(frozen=True, slots=True)
class Choice:
    """One try: an upstream, the model's name there, and the dialect to translate to (None: as is)."""

    upstream: str
    model: str | None
    dialect: UpstreamDialect | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a request goes: the tries in their order, never none.

    `route`: the phase, and the rule within it, for row and header.
    """

    choices: tuple[Choice, ...]
    route: str


def plan(snapshot: Snapshot, asked: Asked) -> Decision:
    """Return the decision for a request. Raises RequestError 404 `no_route`."""
    found = _explicit(snapshot, asked) or _by_globs(snapshot, asked) or _default(snapshot, asked)
    if found is None:
        raise _no_route(f"no upstream serves {_shown(asked.model)} in the {asked.dialect} dialect")
    chosen, model, route = found
    if not chosen.reached(asked):
        raise _no_route(
            f"upstream {chosen.name} ({chosen.kind}) has no {asked.endpoint}, "
            "and only chat is translated"
        )
    return Decision((Choice(chosen.name, model, chosen.translation(asked)),), route)


_Found = tuple[Candidate, str | None, str]


def _explicit(snapshot: Snapshot, asked: Asked) -> _Found | None:
    name, slash, rest = (asked.model or "").partition("/")
    named = snapshot.named(name) if slash and rest else None
    return None if named is None else (named, rest, "explicit")


def _by_globs(snapshot: Snapshot, asked: Asked) -> _Found | None:
    for candidate in snapshot.candidates:
        if candidate.serves(asked.model) and candidate.reached(asked):
            return candidate, asked.model, f"models:{candidate.name}"
    return None


def _default(snapshot: Snapshot, asked: Asked) -> _Found | None:
    if snapshot.default is not None and (named := snapshot.named(snapshot.default)):
        return named, asked.model, "default"
    for candidate in snapshot.candidates:
        if not candidate.models and candidate.reached(asked):
            return candidate, asked.model, "default"
    return None


def _shown(model: str | None) -> str:
    return "a request without a model" if model is None else f"model {model!r}"


def _no_route(message: str) -> RequestError:
    return RequestError(message, status=404, code=ErrorCode.NO_ROUTE, param="model")
