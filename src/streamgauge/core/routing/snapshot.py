"""The routing of one configuration, and what is left of it for requests alike. Knows no upstream's state.

What model, key, dialect and endpoint decide is worked out once for all requests that share them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streamgauge.core.routing.asked import Asked, Candidate
from streamgauge.core.routing.rules import ModelMap, Phase, Route, Rule, Strategy, Target
from streamgauge.core.routing.scenarios import Scenario, ScenarioName
from streamgauge.core.routing.signals import Signals
from streamgauge.core.routing.strategies import Choice, Place

__all__ = ["Alike", "Decision", "LeftOut", "Snapshot", "Step", "Way", "shown_model"]

_KEEPS_PREFIXES = "llamacpp"
_SERVES_ALL = frozenset({Phase.EXPLICIT, Phase.DEFAULT, Phase.COST})
"""Phases in which an upstream is asked for a model that it does not list: nobody else would be."""
_MAX_KEPT = 512
"""Clients choose model names: what was worked out is forgotten when somebody tries out hundreds."""
_LONGEST_KEPT = 256
"""Characters of a model's name; nobody keeps megabytes for a name that fits no rule."""

_AGAIN = "stands before it already, with this model"

_Likeness = tuple[str | None, str | None, str, str, bool]


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a request goes: the tries in their order, never none.

    `route`: the phase, and the rule within it, for row and header; `candidates`: the tries, for a
    header as well, `upstream/model` each.
    """

    choices: tuple[Choice, ...]
    route: str
    phase: Phase = field(default=Phase.DEFAULT, compare=False)
    strategy: Strategy = field(default=Strategy.FIRST, compare=False)
    candidates: bytes = field(init=False, compare=False)

    def __post_init__(self) -> None:
        named = [
            each.upstream if each.model is None else f"{each.upstream}/{each.model}"
            for each in self.choices
        ]
        object.__setattr__(self, "candidates", ", ".join(named).encode("ascii", "replace"))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A target that is not tried. `shut`: it would fit, but no call may begin for `wait` seconds."""

    upstream: str
    model: str | None
    reason: str
    shut: bool = False
    wait: float | None = None


class Way:
    """A route as it is for requests alike: its targets in order, tries and those that cannot be.

    `whole`: the decision where all tries may begin and the configuration's order holds, else None.
    """

    __slots__ = ("route", "targets", "upstreams", "whole")

    def __init__(self, route: Route, targets: tuple[Place | LeftOut, ...]) -> None:
        choices = tuple(target.choice for target in targets if isinstance(target, Place))
        in_order = route.strategy is Strategy.FIRST or len(choices) == 1
        whole = None
        if choices and in_order and route.most is None:
            whole = Decision(choices, route.name, route.phase, route.strategy)
        self.route = route
        self.targets = targets
        self.upstreams = tuple(choice.upstream for choice in choices)
        self.whole = whole


class Step:
    """One condition to be asked of each request, and the route it leads to.

    It never holds without `header`, where there is one, nor for a body of less than `size` bytes.
    """

    __slots__ = ("_way", "header", "holds", "route", "size")

    def __init__(
        self,
        holds: Callable[[Signals], bool],
        route: Route,
        header: bytes | None = None,
        size: int = 0,
    ) -> None:
        self.holds = holds
        self.route = route
        self.header = header
        self.size = size
        self._way: Way | None = None

    def way(self, snapshot: Snapshot, asked: Asked) -> Way:
        """Return its way, sorted out when it is first needed."""
        way = self._way
        if way is None:
            way = self._way = snapshot.way(self.route, asked)
        return way


class Alike:
    """What is left to ask of requests that share model, key, dialect and endpoint.

    `rules`, then `scenarios`, in order: the first that holds decides; where none does, `otherwise`.
    No scenario holds for a plain request of up to `plain_tokens`.
    """

    __slots__ = ("otherwise", "plain_tokens", "rules", "scenarios")

    def __init__(
        self, rules: list[Step], scenarios: list[Step], plain_tokens: int, otherwise: Way | None
    ) -> None:
        self.rules = tuple(rules)
        self.scenarios = tuple(scenarios)
        self.plain_tokens = plain_tokens
        self.otherwise = otherwise

    def step(self, asked: Asked) -> Step | None:
        """Return the first that holds."""
        if not self.rules and not self.scenarios:
            return None
        signals, header, size = Signals(asked), asked.header, asked.size
        for step in self.rules:
            if step.size > size or ((n := step.header) is not None and header(n) is None):
                continue
            if step.holds(signals):
                return step
        if self.scenarios and not signals.is_plain(self.plain_tokens):
            for step in self.scenarios:
                if step.holds(signals):
                    return step
        return None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The routing of one configuration, made ready once. `default` None: the first that is reached."""

    candidates: tuple[Candidate, ...]
    default: Route | None = None
    models: tuple[ModelMap, ...] = ()
    rules: tuple[Rule, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    _by_name: Mapping[str, Candidate] = field(init=False, repr=False, compare=False)
    _kept: dict[_Likeness, Alike] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {c.name: c for c in self.candidates})
        object.__setattr__(self, "_kept", {})

    def alike(self, asked: Asked) -> Alike:
        """Return what is left to ask of a request."""
        likeness = (asked.model, asked.key, asked.dialect, asked.endpoint, asked.as_is)
        found = self._kept.get(likeness)
        if found is None:
            found = self._sifted(asked)
            if asked.model is None or len(asked.model) <= _LONGEST_KEPT:
                if len(self._kept) >= _MAX_KEPT:
                    self._kept.clear()
                self._kept[likeness] = found
        return found

    def way(self, route: Route, asked: Asked) -> Way:
        """Return a route as it is for a request and those alike."""
        targets: list[Place | LeftOut] = []
        tries: set[Choice] = set()
        for target in route.to:
            candidate, model = self._by_name.get(target.upstream), target.model or asked.model
            if candidate is None:
                continue  # the configuration's checks let none through
            if reason := _unfit(candidate, asked, route, target):
                targets.append(LeftOut(target.upstream, model, reason))
                continue
            there = candidate.model_there(model)
            choice = Choice(target.upstream, there, candidate.translation(asked))
            if choice in tries:
                targets.append(LeftOut(target.upstream, there, _AGAIN))
            else:
                targets.append(Place(choice, candidate.kind == _KEEPS_PREFIXES))
            tries.add(choice)
        return Way(route, tuple(targets))

    # --- which route, phase by phase (SPEC §14.1) --------------------------------------------------

    def _sifted(self, asked: Asked) -> Alike:
        route = self._explicit(asked) or self._mapped(asked)
        rules: list[Step] = []
        scenarios: list[Step] = []
        if route is None:
            route = self._ruled(asked, rules) or self._of_kind(asked, scenarios)
        route = route or self._listed(asked) or self.default or self._first_reached(asked)
        way = None if route is None else self.way(route, asked)
        return Alike(rules, scenarios, self._plain_tokens(), way)

    def _plain_tokens(self) -> int:
        found = (s.threshold_tokens for s in self.scenarios if s.name is ScenarioName.LONG_CONTEXT)
        return min(found, default=sys.maxsize)

    def _explicit(self, asked: Asked) -> Route | None:
        name, slash, rest = (asked.model or "").partition("/")
        if not slash or not rest or name not in self._by_name:
            return None
        return Route(Phase.EXPLICIT, "explicit", (Target(name, rest),))

    def _mapped(self, asked: Asked) -> Route | None:
        return next((item.route for item in self.models if item.holds(asked)), None)

    def _ruled(self, asked: Asked, steps: list[Step]) -> Route | None:
        """Add what must be asked of each request; return the route that then needs no asking."""
        for rule in self.rules:
            if rule.when.suits(asked):
                if rule.when.is_open:
                    return rule.route
                steps.append(_step_of(rule))
        return None

    def _of_kind(self, asked: Asked, steps: list[Step]) -> Route | None:
        """The same of scenarios."""
        for scenario in self.scenarios:
            if scenario.suits(asked.model):
                if scenario.is_open:
                    return scenario.route
                steps.append(Step(scenario.told_by(), scenario.route))
        return None

    def _listed(self, asked: Asked) -> Route | None:
        """One upstream, and no alternative: that two list a model is no leave to tell both of a prompt."""
        for candidate in self.candidates:
            if candidate.serves(asked.model) and candidate.reached(asked):
                name = candidate.name
                return Route(Phase.UPSTREAMS, f"models:{name}", (Target(name),))
        return None

    def _first_reached(self, asked: Asked) -> Route | None:
        for candidate in self.candidates:
            if not candidate.models and candidate.reached(asked):
                return Route(Phase.DEFAULT, "default", (Target(candidate.name),))
        return None


def _step_of(rule: Rule) -> Step:
    """Return a rule as a step. A character takes at least a byte: nearly always that decides."""
    when = rule.when
    header = when.headers[0][0] if when.headers else None
    return Step(when.told_by, rule.route, header, when.min_input_chars or 0)


def _unfit(candidate: Candidate, asked: Asked, route: Route, target: Target) -> str | None:
    if not candidate.reached(asked):
        return f"({candidate.kind}) has no {asked.endpoint}, and only chat is translated"
    keeps_name = target.model is None and asked.model is not None
    lists = bool(candidate.models) and route.phase not in _SERVES_ALL
    if keeps_name and lists and not candidate.serves(asked.model):
        return f"does not list {shown_model(asked.model)}"
    return None


def shown_model(model: str | None) -> str:
    """Return how an error names the model that was asked for."""
    return "a request without a model" if model is None else f"model {model!r}"
