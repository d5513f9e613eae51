"""Decides where a request goes, from a snapshot and how the upstreams stand. It knows no socket.

Phases in order (SPEC §14.1): explicit `upstream/model`, the model map, rules, scenarios, the globs
of `upstreams[].models`, the default route. The first that fits decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from streamgauge.core.chat import UpstreamDialect
from streamgauge.core.errors import ErrorCode, GatewayError, RequestError
from streamgauge.core.routing.asked import Asked, Candidate
from streamgauge.core.routing.rules import Phase, Strategy
from streamgauge.core.routing.snapshot import Decision, LeftOut, Snapshot, Way, shown_model
from streamgauge.core.routing.strategies import (
    CALM,
    COOLING,
    DRAINED,
    Choice,
    Live,
    Place,
    in_order,
)

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
    way = _way(snapshot, asked)
    if way is None:
        raise _nobody(asked)
    whole, admit = way.whole, live.admit
    if whole is not None and admit is not None and admit(way.upstreams):
        return whole
    places, left_out = _sort_out(way, asked, live)
    if not places:
        raise _refusal(asked, way, left_out)
    route, choices = way.route, tuple([place.choice for place in places])
    return Decision(choices, route.name, route.phase, route.strategy)


def explain(snapshot: Snapshot, asked: Asked, live: Live = CALM) -> Explanation:
    """Return what `plan` would decide, and why, by the same code. It raises nothing."""
    way = _way(snapshot, asked)
    if way is None:
        return Explanation(None, None, None, (), _nobody(asked))
    found, route = _sort_out(way, asked, live), way.route
    error = None if found[0] else _refusal(asked, way, found[1])
    told = tuple(_considered(route.strategy, found))
    return Explanation(route.phase, route.name, route.strategy, told, error)


def _way(snapshot: Snapshot, asked: Asked) -> Way | None:
    """Return the way of the first phase that fits."""
    alike = snapshot.alike(asked)
    step = alike.step(asked)
    return alike.otherwise if step is None else step.way(snapshot, asked)


# --- which of its upstreams ----------------------------------------------------------------------


_Sorted = tuple[Sequence[Place], list[LeftOut]]


def _sort_out(way: Way, asked: Asked, live: Live) -> _Sorted:
    """Return the targets of `way` that are tried, in order, and those that are not."""
    places: list[Place] = []
    left_out: list[LeftOut] = []
    for target in way.targets:
        if isinstance(target, LeftOut):
            left_out.append(target)
        elif (bar := (standing := live.standing(target.choice.upstream)).bar) is None:
            places.append(target)
        else:
            choice, wait = target.choice, standing.reopens_in
            left_out.append(LeftOut(choice.upstream, choice.model, bar, True, wait))
    if len(places) > 1 or way.route.most is not None:
        only_read = asked.endpoint == "embeddings"
        places = in_order(way.route, places, live, asked.session_id, only_read=only_read)
        over = [place for place in places if place.over]
        left_out += [LeftOut(p.choice.upstream, p.choice.model, p.reason) for p in over]
        places = [place for place in places if not place.over]
    return places, left_out


# --- in words ------------------------------------------------------------------------------------


def _considered(strategy: Strategy, found: _Sorted) -> Iterator[Considered]:
    places, left_out = found
    for number, place in enumerate(places, 1):
        choice = place.choice
        reason = place.reason or _WHY[strategy if len(places) > 1 else Strategy.FIRST]
        yield Considered(choice.upstream, choice.model, choice.dialect, number, reason)
    for out in left_out:
        wait = "" if out.wait is None else f" for another {ceil(out.wait)} s"
        yield Considered(out.upstream, out.model, None, None, out.reason + wait)


_WHY: Mapping[Strategy, str] = {
    Strategy.FIRST: "in the order of the configuration",
    Strategy.ROUND_ROBIN: "in turn",
    Strategy.LEAST_BUSY: "by the calls that run there",
    Strategy.LOWEST_LATENCY: "by its times to answer of late",
    Strategy.CHEAPEST: "by its price",
}


_FAILING = "failures of late"
_TOLD: Mapping[str, str] = {DRAINED: DRAINED, COOLING: "wants no call just now"}
"""What a client is told of it."""


def _refusal(asked: Asked, way: Way, left_out: Sequence[LeftOut]) -> GatewayError:
    """Return what the client is told when no target of its route is left."""
    if shut := [out for out in left_out if out.shut]:
        return _not_called(shut)
    reasons = "; ".join(f"upstream {out.upstream} {out.reason}" for out in left_out)
    return _no_route(
        reasons or f"no upstream serves {shown_model(asked.model)} by route {way.route.name}"
    )


def _not_called(shut: Sequence[LeftOut]) -> GatewayError:
    """Return when to come again, too, as far as that can be waited for; an admin tells no time."""
    passing = [out for out in shut if out.reason != DRAINED]
    waits = (out.wait for out in passing if out.wait is not None)
    after = max(1, ceil(min(waits, default=1))) if passing else None
    told = ", ".join(f"{out.upstream} ({_TOLD.get(out.reason, _FAILING)})" for out in shut)
    return GatewayError(503, ErrorCode.UPSTREAM_ERROR, f"not called: {told}", retry_after=after)


def _nobody(asked: Asked) -> RequestError:
    return _no_route(
        f"no upstream serves {shown_model(asked.model)} in the {asked.dialect} dialect"
    )


def _no_route(message: str) -> RequestError:
    return RequestError(message, status=404, code=ErrorCode.NO_ROUTE, param="model")
