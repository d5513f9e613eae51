"""Scenarios: routes for what a request is, whatever model it names. Knows no upstream's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter, methodcaller

from streamgauge.core.routing.asked import Globs
from streamgauge.core.routing.rules import Route
from streamgauge.core.routing.signals import Signals

__all__ = ["BACKGROUND_MODELS", "LONG_CONTEXT_TOKENS", "Scenario", "ScenarioName"]

LONG_CONTEXT_TOKENS = 60_000
"""Where many local models' contexts end."""
BACKGROUND_MODELS = Globs(("*haiku*",))
"""What Claude Code names its small, fast model, which writes titles and summaries."""


class ScenarioName(StrEnum):
    """The scenarios, in the order in which they are asked (SPEC §14.1)."""

    IMAGE = "image"
    WEB_SEARCH = "web_search"
    LONG_CONTEXT = "long_context"
    THINKING = "thinking"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A route for the requests that are of its kind.

    `threshold_tokens` holds for long_context, `models` for background.
    """

    name: ScenarioName
    route: Route
    threshold_tokens: int = LONG_CONTEXT_TOKENS
    models: Globs = BACKGROUND_MODELS

    def suits(self, model: str | None) -> bool:
        """Return whether a request for `model` may be of this kind: only background asks its name."""
        return self.name is not ScenarioName.BACKGROUND or self.models.fit(model)

    @property
    def is_open(self) -> bool:
        """Whether nothing but the model is asked for."""
        return self.name is ScenarioName.BACKGROUND

    def told_by(self) -> Callable[[Signals], bool]:
        """Return what must be asked of each request."""
        return _TESTS[self.name](self)


_TESTS: Mapping[ScenarioName, Callable[[Scenario], Callable[[Signals], bool]]] = {
    ScenarioName.IMAGE: lambda scenario: attrgetter("has_image"),
    ScenarioName.WEB_SEARCH: lambda scenario: attrgetter("wants_web_search"),
    ScenarioName.LONG_CONTEXT: lambda scenario: methodcaller(
        "is_longer_than", scenario.threshold_tokens
    ),
    ScenarioName.THINKING: lambda scenario: attrgetter("wants_thinking"),
    ScenarioName.BACKGROUND: lambda scenario: lambda signals: True,
}
