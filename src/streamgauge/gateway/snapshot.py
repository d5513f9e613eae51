"""Makes the routing of a configuration ready for core/routing. Knows no upstream's state."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from streamgauge.config.routing import Conditions, DefaultRoute, LongContextRoute, RouteTo
from streamgauge.config.routing import Routing as RoutingConfig
from streamgauge.config.schema import Config
from streamgauge.config.transformer_chain import chain_of
from streamgauge.core.routing.asked import Candidate, Globs
from streamgauge.core.routing.plan import Snapshot
from streamgauge.core.routing.rules import ModelMap, Phase, Route, Rule, Strategy, Target, When
from streamgauge.core.routing.scenarios import Scenario, ScenarioName

__all__ = ["snapshot_of"]

_PLAIN = "*?[]!/:@+,.~()=_-"
"""Stands in a route's text as it is; the text goes into a header, so other signs are %-encoded."""


def snapshot_of(config: Config) -> Snapshot:
    """Return the routing of `config`, with its globs, words and header names compiled."""
    routing = config.routing
    return Snapshot(
        candidates=tuple(
            Candidate(
                u.name,
                u.kind.value,
                u.models,
                u.messages_api == "native",
                chain_of(u.kind.value, u.transformers).model,
            )
            for u in config.upstreams
        ),
        default=_default(routing.default),
        models=tuple(
            ModelMap(
                Globs((item.match,)),
                _route(Phase.MODELS, f"models:{quote(item.match, safe=_PLAIN)}", item),
            )
            for item in routing.models
        ),
        rules=tuple(
            Rule(_when(rule.when), _route(Phase.RULE, f"rule:{rule.name}", rule))
            for rule in routing.rules
        ),
        scenarios=tuple(_scenarios(routing)),
    )


def _route(phase: Phase, name: str, to: RouteTo | DefaultRoute) -> Route:
    return Route(phase, name, tuple(map(Target.read, to.to)), to.strategy, to.max_per_1m)


def _default(default: DefaultRoute) -> Route | None:
    if not default.to:
        return None
    by_cost = default.strategy is Strategy.CHEAPEST
    return _route(Phase.COST if by_cost else Phase.DEFAULT, "default", default)


def _when(when: Conditions) -> When:
    return When(
        headers=tuple((n.lower().encode("ascii"), Globs((v,))) for n, v in when.header.items()),
        keys=Globs(when.key),
        models=Globs(when.model),
        min_input_chars=when.min_input_chars,
        keywords=tuple(word.strip().lower() for word in when.keyword),
    )


def _scenarios(routing: RoutingConfig) -> Iterator[Scenario]:
    told = routing.scenarios
    for name in ScenarioName:
        to: RouteTo | None = getattr(told, name.value)
        if to is None:
            continue
        route = _route(Phase.SCENARIO, f"scenario:{name}", to)
        if isinstance(to, LongContextRoute):
            yield Scenario(name, route, threshold_tokens=to.threshold_tokens)
        elif name is ScenarioName.BACKGROUND and told.background is not None:
            yield Scenario(name, route, models=Globs(told.background.models))
        else:
            yield Scenario(name, route)
