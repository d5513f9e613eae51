"""Scenarios: routes for what a request is, whatever model it names. Knows no upstream's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

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

    def holds(self, signals: Signals) -> bool:
        """Return whether the request is of this kind."""
        return _TESTS[self.name](self, signals)


_TESTS: Mapping[ScenarioName, Callable[[Scenario, Signals], bool]] = {
    ScenarioName.IMAGE: lambda scenario, signals: signals.has_image,
    ScenarioName.WEB_SEARCH: lambda scenario, signals: signals.wants_web_search,
    ScenarioName.LONG_CONTEXT: lambda scenario, signals: signals.is_longer_than(
        scenario.threshold_tokens
    ),
    ScenarioName.THINKING: lambda scenario, signals: signals.wants_thinking,
    ScenarioName.BACKGROUND: lambda scenario, signals: scenario.models.fit(signals.asked.model),
}
