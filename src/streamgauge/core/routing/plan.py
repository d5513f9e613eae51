"""Decides which upstream serves a request, from a snapshot. It knows no socket and no health yet.

Phases in order (SPEC §14.1, as far as they are served): explicit `upstream/model`, the globs of
`upstreams[].models`, the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from streamgauge.core.errors import ErrorCode, RequestError

__all__ = ["Candidate", "Decision", "Snapshot", "plan"]

_SPEAK: Mapping[str, frozenset[str]] = {
    "openai": frozenset({"llamacpp", "ollama", "vllm", "openai", "openrouter", "sim"}),
    "anthropic": frozenset({"llamacpp", "ollama", "vllm", "anthropic", "sim"}),
}
"""Kinds that speak a dialect themselves: another pair needs translation, which is not served."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An upstream as routing sees it. `models`: globs; empty serves any name."""

    name: str
    kind: str
    models: tuple[str, ...] = ()

    def speaks(self, dialect: str) -> bool:
        """Return whether a request of `dialect` can go there as it is."""
        return self.kind in _SPEAK[dialect]

    def serves(self, model: str | None) -> bool:
        """Return whether one of the globs fits; without globs, False."""
        return model is not None and any(fnmatchcase(model, glob) for glob in self.models)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All upstreams in the configuration's order, and the default route's, if one is set."""

    candidates: tuple[Candidate, ...]
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a request goes. `route`: the phase, and the rule within it, for row and header."""

    upstream: str
    model: str | None
    route: str


def plan(snapshot: Snapshot, dialect: str, model: str | None) -> Decision:
    """Return the decision for a request. Raises RequestError 404 `no_route`."""
    decision = (
        _explicit(snapshot, model)
        or _by_globs(snapshot, dialect, model)
        or _default(snapshot, dialect)
    )
    if decision is None:
        raise _no_route(f"no upstream serves {_shown(model)} in the {dialect} dialect")
    chosen = next(c for c in snapshot.candidates if c.name == decision.upstream)
    if not chosen.speaks(dialect):
        raise _no_route(
            f"upstream {chosen.name} ({chosen.kind}) does not speak the {dialect} dialect, "
            "and translation is not served yet"
        )
    return (
        decision
        if decision.model is not None
        else Decision(decision.upstream, model, decision.route)
    )


def _explicit(snapshot: Snapshot, model: str | None) -> Decision | None:
    name, slash, rest = (model or "").partition("/")
    if slash and rest and any(c.name == name for c in snapshot.candidates):
        return Decision(name, rest, "explicit")
    return None


def _by_globs(snapshot: Snapshot, dialect: str, model: str | None) -> Decision | None:
    for candidate in snapshot.candidates:
        if candidate.serves(model) and candidate.speaks(dialect):
            return Decision(candidate.name, None, f"models:{candidate.name}")
    return None


def _default(snapshot: Snapshot, dialect: str) -> Decision | None:
    if snapshot.default is not None:
        return Decision(snapshot.default, None, "default")
    for candidate in snapshot.candidates:
        if not candidate.models and candidate.speaks(dialect):
            return Decision(candidate.name, None, "default")
    return None


def _shown(model: str | None) -> str:
    return "a request without a model" if model is None else f"model {model!r}"


def _no_route(message: str) -> RequestError:
    return RequestError(message, status=404, code=ErrorCode.NO_ROUTE, param="model")
