"""Routes, and the rules that lead to them: model maps and conditions. Knows no upstream's state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from streamgauge.core.pricing import Money
from streamgauge.core.routing.asked import NO_GLOBS, Asked, Globs
from streamgauge.core.routing.signals import Signals

__all__ = ["ModelMap", "Phase", "Route", "Rule", "Strategy", "Target", "When"]


class Phase(StrEnum):
    """Which part of the configuration decided, in the order in which they are asked (SPEC §14.1)."""

    EXPLICIT = "explicit"
    MODELS = "models"
    RULE = "rule"
    SCENARIO = "scenario"
    UPSTREAMS = "upstreams"
    """The globs of `upstreams[].models`."""
    COST = "cost"
    """The default route, where it takes the cheapest."""
    DEFAULT = "default"


class Strategy(StrEnum):
    """In which order the upstreams of a route are tried (SPEC §14.4)."""

    FIRST = "first"
    ROUND_ROBIN = "round_robin"
    LEAST_BUSY = "least_busy"
    LOWEST_LATENCY = "lowest_latency"
    CHEAPEST = "cheapest"


@dataclass(frozen=True, slots=True)
class Target:
    """One item of `to`: an upstream, and the model's name there; None keeps the client's."""

    upstream: str
    model: str | None = None

    @classmethod
    def read(cls, item: str) -> Target:
        """Return the target of `upstream` or `upstream/model`: the first slash parts them."""
        upstream, _, model = item.partition("/")
        return cls(upstream, model or None)


@dataclass(frozen=True, slots=True)
class Route:
    """Where to. `name` is the text for row and header, unique within a configuration.

    `most`: what a million tokens may cost at most, where the strategy is `cheapest`.
    """

    phase: Phase
    name: str
    to: tuple[Target, ...]
    strategy: Strategy = Strategy.FIRST
    most: Money | None = None


@dataclass(frozen=True, slots=True)
class ModelMap:
    """A route for the models whose name `match` fits."""

    match: Globs
    route: Route

    def holds(self, asked: Asked) -> bool:
        """Return whether it is for this request."""
        return self.match.fit(asked.model)


@dataclass(frozen=True, slots=True)
class When:
    """Conditions, all of which must hold; one that is not stated (empty or None) always does.

    Of several `keywords`, keys or models one is enough. `headers`: lower-case names and what
    their values must fit. `keywords` are in lower case and are looked for as whole words.
    """

    headers: tuple[tuple[bytes, Globs], ...] = ()
    keys: Globs = NO_GLOBS
    models: Globs = NO_GLOBS
    min_input_chars: int | None = None
    keywords: tuple[str, ...] = ()

    def holds(self, signals: Signals) -> bool:
        """Return whether all that is stated holds. What costs most is looked at last."""
        return self.suits(signals.asked) and self.told_by(signals)

    def suits(self, asked: Asked) -> bool:
        """Return whether key and model fit: the same for all requests that name both."""
        if self.keys and not self.keys.fit(asked.key):
            return False
        return not self.models or self.models.fit(asked.model)

    @property
    def is_open(self) -> bool:
        """Whether nothing is stated but key and model."""
        return not self.headers and self.min_input_chars is None and not self.keywords

    def told_by(self, signals: Signals) -> bool:
        """Return whether the rest holds, which each request must be looked at for."""
        for name, values in self.headers:
            text = signals.asked.header(name)
            if text is None or not values.fit(text):
                return False
        least = self.min_input_chars
        if least is not None and not signals.has_chars(least):
            return False
        if not self.keywords:
            return True
        said = signals.user_text
        found = [*filter(said.__contains__, self.keywords)]
        return bool(found) and any(_stands_in(word, said) for word in found)


@dataclass(frozen=True, slots=True)
class Rule:
    """A route for the requests for which `when` holds."""

    when: When
    route: Route


def _stands_in(word: str, text: str) -> bool:
    """Return whether `word` is in `text` and no part of a longer word. Both in lower case."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        before, after = text[at - 1 : at] if at else "", text[end : end + 1]
        if not (_joins(before, word[0]) or _joins(after, word[-1])):
            return True
        at = text.find(word, at + 1)
    return False


def _joins(neighbour: str, edge: str) -> bool:
    """Whether `neighbour` makes a longer word of one that has `edge` there; a sign joins nothing."""
    return _is_letter(edge) and neighbour != "" and _is_letter(neighbour)


def _is_letter(sign: str) -> bool:
    return sign.isalnum() or sign == "_"
