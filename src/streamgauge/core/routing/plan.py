"""Decides where a request goes, from a snapshot and how the upstreams stand. It knows no socket.

Phases in order (SPEC §14.1): explicit `upstream/model`, the model map, rules, scenarios, the globs
of `upstreams[].models`, the default route. The first that fits decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from streamgauge.core.chat import UpstreamDialect
from streamgauge.core.errors import ErrorCode, GatewayError, RequestError
from streamgauge.core.routing.asked import Asked, Candidate
from streamgauge.core.routing.rules import ModelMap, Phase, Route, Rule, Strategy, Target
from streamgauge.core.routing.scenarios import Scenario
from streamgauge.core.routing.signals import Signals
from streamgauge.core.routing.strategies import CALM, DRAINED, Live, Place, in_order

__all__ = [
    "Asked",
    "Candidate",
    "Choice",
    "Considered",
    "Decision",
    "Explanation",
    "Phase",
    "Snapshot",
    "explain",
    "plan",
]

_KEEPS_PREFIXES = "llamacpp"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The routing of one configuration, made ready once. `default` None: the first that is reached."""

    candidates: tuple[Candidate, ...]
    default: Route | None = None
    models: tuple[ModelMap, ...] = ()
    rules: tuple[Rule, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    _by_name: Mapping[str, Candidate] = field(init=False, repr=False, compare=False)
    _by_globs: Mapping[str, Route] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {c.name: c for c in self.candidates})
        routes = {
            c.name: Route(Phase.UPSTREAMS, f"models:{c.name}", (Target(c.name),))
            for c in self.candidates
        }
        object.__setattr__(self, "_by_globs", routes)

    def named(self, name: str) -> Candidate | None:
        """Return the upstream of that name."""
        return self._by_name.get(name)

    def listed(self, name: str) -> Route:
        """Return the route to an upstream of that name which lists the model itself."""
        return self._by_globs[name]


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
    phase: Phase = field(default=Phase.DEFAULT, compare=False)
    strategy: Strategy = field(default=Strategy.FIRST, compare=False)


@dataclass(frozen=True, slots=True)
class Considered:
    """A candidate: the `place` at which it is tried, from 1, or None where it is left out, and why."""

    upstream: str
    model: str | None
    dialect: UpstreamDialect | None
    place: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with all that was considered. `error`: what the client is told where there is none."""

    phase: Phase | None
    route: str | None
    strategy: Strategy | None
    considered: tuple[Considered, ...]
    error: GatewayError | None = None


def plan(snapshot: Snapshot, asked: Asked, live: Live = CALM) -> Decision:
    """Return the decision for a request.

    Raises RequestError 404 `no_route`, and GatewayError 503 `upstream_error` where every circuit
    of its route is open.
    """
    route = _route(snapshot, asked)
    if route is None:
        raise _nobody(asked)
    places, left_out = _sort_out(snapshot, asked, route, live)
    if not places:
        raise _refusal(asked, route, left_out)
    choices = tuple(_choice(snapshot, asked, place) for place in places)
    return Decision(choices, route.name, route.phase, route.strategy)


def explain(snapshot: Snapshot, asked: Asked, live: Live = CALM) -> Explanation:
    """Return what `plan` would decide, and why, by the same code. It raises nothing."""
    route = _route(snapshot, asked)
    if route is None:
        return Explanation(None, None, None, (), _nobody(asked))
    found = _sort_out(snapshot, asked, route, live)
    error = None if found[0] else _refusal(asked, route, found[1])
    told = tuple(_considered(snapshot, asked, route, found))
    return Explanation(route.phase, route.name, route.strategy, told, error)


# --- which route ---------------------------------------------------------------------------------


def _route(snapshot: Snapshot, asked: Asked) -> Route | None:
    return (
        _explicit(snapshot, asked)
        or _by_conditions(snapshot, asked)
        or _by_upstream_globs(snapshot, asked)
        or snapshot.default
        or _first_reached(snapshot, asked)
    )


def _explicit(snapshot: Snapshot, asked: Asked) -> Route | None:
    name, slash, rest = (asked.model or "").partition("/")
    if not slash or not rest or snapshot.named(name) is None:
        return None
    return Route(Phase.EXPLICIT, "explicit", (Target(name, rest),))


def _by_conditions(snapshot: Snapshot, asked: Asked) -> Route | None:
    for item in snapshot.models:
        if item.holds(asked):
            return item.route
    if not snapshot.rules and not snapshot.scenarios:
        return None
    signals = Signals(asked)
    for rule in snapshot.rules:
        if rule.when.holds(signals):
            return rule.route
    for scenario in snapshot.scenarios:
        if scenario.holds(signals):
            return scenario.route
    return None


def _by_upstream_globs(snapshot: Snapshot, asked: Asked) -> Route | None:
    """One upstream, and no alternative: that two list a model is no leave to tell both of a prompt."""
    for candidate in snapshot.candidates:
        if candidate.serves(asked.model) and candidate.reached(asked):
            return snapshot.listed(candidate.name)
    return None


def _first_reached(snapshot: Snapshot, asked: Asked) -> Route | None:
    for candidate in snapshot.candidates:
        if not candidate.models and candidate.reached(asked):
            return Route(Phase.DEFAULT, "default", (Target(candidate.name),))
    return None


# --- which of its upstreams ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """A target that is not tried. `shut`: it would fit, but no call may begin for `wait` seconds."""

    target: Target
    model: str | None
    reason: str
    shut: bool = False
    wait: float | None = None


_Sorted = tuple[list[Place], list[_LeftOut]]


def _sort_out(snapshot: Snapshot, asked: Asked, route: Route, live: Live) -> _Sorted:
    """Return the targets of `route` that are tried, in order, and those that are not."""
    places: list[Place] = []
    left_out: list[_LeftOut] = []
    for target in route.to:
        candidate, model = snapshot.named(target.upstream), target.model or asked.model
        if candidate is None:
            continue  # the configuration's checks let none through
        if reason := _unfit(candidate, asked, route, target):
            left_out.append(_LeftOut(target, model, reason))
        elif (bar := (standing := live.standing(target.upstream)).bar) is None:
            places.append(Place(target, model, candidate.kind == _KEEPS_PREFIXES))
        else:
            left_out.append(_LeftOut(target, model, bar, True, standing.reopens_in))
    if len(places) > 1 or route.most is not None:
        places = in_order(route, places, live, asked.session_id)
        left_out += [_LeftOut(p.target, p.model, p.reason) for p in places if p.over]
        places = [place for place in places if not place.over]
    return places, left_out


_SERVES_ALL = frozenset({Phase.EXPLICIT, Phase.DEFAULT, Phase.COST})
"""Phases in which an upstream is asked for a model that it does not list: nobody else would be."""


def _unfit(candidate: Candidate, asked: Asked, route: Route, target: Target) -> str | None:
    if not candidate.reached(asked):
        return f"({candidate.kind}) has no {asked.endpoint}, and only chat is translated"
    keeps_name = target.model is None and asked.model is not None
    lists = bool(candidate.models) and route.phase not in _SERVES_ALL
    if keeps_name and lists and not candidate.serves(asked.model):
        return f"does not list {_shown(asked.model)}"
    return None


def _choice(snapshot: Snapshot, asked: Asked, place: Place) -> Choice:
    candidate = snapshot.named(place.target.upstream)
    dialect = None if candidate is None else candidate.translation(asked)
    return Choice(place.target.upstream, place.model, dialect)


# --- in words ------------------------------------------------------------------------------------


def _considered(
    snapshot: Snapshot, asked: Asked, route: Route, found: _Sorted
) -> Iterator[Considered]:
    places, left_out = found
    for number, place in enumerate(places, 1):
        choice = _choice(snapshot, asked, place)
        reason = place.reason or _WHY[route.strategy if len(places) > 1 else Strategy.FIRST]
        yield Considered(choice.upstream, choice.model, choice.dialect, number, reason)
    for out in left_out:
        wait = "" if out.wait is None else f" for another {ceil(out.wait)} s"
        yield Considered(out.target.upstream, out.model, None, None, out.reason + wait)


_WHY: Mapping[Strategy, str] = {
    Strategy.FIRST: "in the order of the configuration",
    Strategy.ROUND_ROBIN: "in turn",
    Strategy.LEAST_BUSY: "by the calls that run there",
    Strategy.LOWEST_LATENCY: "by its times to answer of late",
    Strategy.CHEAPEST: "by its price",
}


def _refusal(asked: Asked, route: Route, left_out: Sequence[_LeftOut]) -> GatewayError:
    """Return what the client is told when no target of its route is left."""
    if shut := [out for out in left_out if out.shut]:
        return _not_called(shut)
    reasons = "; ".join(f"upstream {out.target.upstream} {out.reason}" for out in left_out)
    return _no_route(reasons or f"no upstream serves {_shown(asked.model)} by route {route.name}")


def _not_called(shut: Sequence[_LeftOut]) -> GatewayError:
    """Return when to come again, too, as far as circuits are to be waited for; an admin tells no time."""
    failing = [out for out in shut if out.reason != DRAINED]
    waits = (out.wait for out in failing if out.wait is not None)
    after = max(1, ceil(min(waits, default=1))) if failing else None
    whys = ("failures of late" if out in failing else out.reason for out in shut)
    told = ", ".join(f"{out.target.upstream} ({why})" for out, why in zip(shut, whys, strict=True))
    return GatewayError(503, ErrorCode.UPSTREAM_ERROR, f"not called: {told}", retry_after=after)


def _nobody(asked: Asked) -> RequestError:
    return _no_route(f"no upstream serves {_shown(asked.model)} in the {asked.dialect} dialect")


def _shown(model: str | None) -> str:
    return "a request without a model" if model is None else f"model {model!r}"


def _no_route(message: str) -> RequestError:
    return RequestError(message, status=404, code=ErrorCode.NO_ROUTE, param="model")
