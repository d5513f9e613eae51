"""The `routing` section: which upstream serves which request. Knows no upstream (SPEC §14.8)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from streamgauge.config.fields import Count, Section, Text, refuse
from streamgauge.config.globs import Glob
from streamgauge.config.headers import check_conditions
from streamgauge.config.price_entry import currency_name
from streamgauge.config.retries import BreakerBounds, Retries
from streamgauge.core.nano import nano_from_decimal
from streamgauge.core.pricing import Money
from streamgauge.core.routing.rules import Strategy
from streamgauge.core.routing.scenarios import BACKGROUND_MODELS, LONG_CONTEXT_TOKENS

__all__ = [
    "BackgroundRoute",
    "Conditions",
    "DefaultRoute",
    "LongContextRoute",
    "ModelRoute",
    "RouteTo",
    "Routing",
    "RuleRoute",
    "Scenarios",
]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_AMOUNT = re.compile(r"\s*([0-9.]+)\s*(\S+)\s*")
_TO = "Upstreams in order: `upstream` keeps the model's name, `upstream/model` sets it."
_STRATEGY = "Order of trying: first, round_robin, least_busy, lowest_latency or cheapest."
_MOST = "With cheapest: the most that a million tokens may cost, such as 3 USD."


def _rule_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise refuse("must be 1 to 64 letters, digits, '.', '_' or '-'")
    return name


def _not_empty(items: tuple[str, ...]) -> tuple[str, ...]:
    if not items:
        raise refuse("must name at least one upstream")
    return items


def _amount(value: Any) -> Money | None:
    if value is None or value == "" or isinstance(value, Money):
        return value or None
    found = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise refuse("must be an amount with its currency, such as 3 USD")
    try:
        nano = nano_from_decimal(found[1])
    except ValueError:
        raise refuse("must be an amount with its currency, such as 3 USD") from None
    return Money(nano, currency_name(found[2]))


Amount = Annotated[
    Money | None,
    BeforeValidator(_amount),
    PlainSerializer(str, return_type=str, when_used="json-unless-none"),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[0-9.]+\s*[A-Za-z]{2,8}\s*$"}),
]
Targets = Annotated[tuple[Text, ...], AfterValidator(_not_empty)]


class RouteTo(Section):
    """Where to, and in which order."""

    to: Targets = Field(description=_TO)
    strategy: Strategy = Field(default=Strategy.FIRST, description=_STRATEGY)
    max_per_1m: Amount = Field(default=None, description=_MOST)


# What a route is for stands before where it goes: pydantic begins with the last base.
class _Match(Section):
    match: Glob = Field(description="Glob of the model's name; the first that fits is used.")


class ModelRoute(RouteTo, _Match):
    """A route for models by their name."""


class Conditions(Section):
    """What must hold; all that is stated, and of a list one item."""

    header: Annotated[dict[Text, Glob], AfterValidator(check_conditions)] = Field(
        default_factory=dict, description="Request headers and globs of their values."
    )
    keyword: tuple[Text, ...] = Field(
        default=(), description="Words of the last user message, in any case."
    )
    key: tuple[Glob, ...] = Field(default=(), description="Globs of the client key's label.")
    model: tuple[Glob, ...] = Field(default=(), description="Globs of the model's name.")
    min_input_chars: Count | None = Field(
        default=None, description="Least characters of system and messages."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self == Conditions.model_construct():
            names = ", ".join(Conditions.model_fields)
            raise refuse(f"must state at least one of {names}")
        return self


class _Rule(Section):
    name: Annotated[Text, AfterValidator(_rule_name)] = Field(
        description="Unique name, in rows and headers."
    )
    when: Conditions = Field(description="What must hold.")


class RuleRoute(RouteTo, _Rule):
    """A route for requests by what they carry."""


class LongContextRoute(RouteTo):
    """A route for long inputs."""

    threshold_tokens: Count = Field(
        default=LONG_CONTEXT_TOKENS, description="The input is longer than this, as estimated."
    )


class BackgroundRoute(RouteTo):
    """A route for an agent's small model."""

    models: tuple[Glob, ...] = Field(
        default=BACKGROUND_MODELS.patterns, description="Globs of the small model's name."
    )


class Scenarios(Section):
    """Routes for what a request is; asked in this order."""

    image: RouteTo | None = Field(default=None, description="An image is in the conversation.")
    web_search: RouteTo | None = Field(
        default=None, description="The upstream is asked to search the web."
    )
    long_context: LongContextRoute | None = Field(default=None, description="The input is long.")
    thinking: RouteTo | None = Field(default=None, description="Reasoning is asked for.")
    background: BackgroundRoute | None = Field(
        default=None, description="The model is an agent's small, fast one."
    )


class DefaultRoute(Section):
    """Where a request goes that nothing else sends anywhere."""

    to: tuple[Text, ...] = Field(
        default=(), description=f"{_TO} Empty means the first without globs."
    )
    strategy: Strategy = Field(default=Strategy.FIRST, description=_STRATEGY)
    max_per_1m: Amount = Field(default=None, description=_MOST)


class Routing(Section):
    """Which upstream serves which request; the first that fits decides, docs/routing.md has it all."""

    models: tuple[ModelRoute, ...] = Field(default=(), description="Routes by the model's name.")
    rules: tuple[RuleRoute, ...] = Field(default=(), description="Routes by conditions.")
    scenarios: Scenarios = Field(default=Scenarios(), description="Routes by what a request is.")
    default: DefaultRoute = Field(default=DefaultRoute(), description="The last route.")
    retries: Retries = Field(default=Retries(), description="How often a request is tried again.")
    breaker: BreakerBounds = Field(
        default=BreakerBounds(), description="When an upstream is left alone."
    )
