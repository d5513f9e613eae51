"""The sections `routing.retries` and `routing.breaker`. Knows no upstream and no clock."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from streamgauge.config.fields import Count, Seconds, Section

__all__ = ["BreakerBounds", "Retries"]


class Retries(Section):
    """How often a request is tried again, and for how long (SPEC §14.3)."""

    max_retry_after: Annotated[Seconds, Field(le=3600)] = Field(
        default=60, description="The longest retry-after of an upstream that is obeyed."
    )
    budget_percent: Annotated[Count, Field(le=100)] = Field(
        default=20,
        description="Repeats at the same upstream, in per cent of the calls of the last 10 seconds; "
        "3 are always allowed. 0 repeats nothing.",
    )
    chain_seconds: Seconds = Field(
        default=30,
        description="No further attempt begins later than this after the first one failed; 0 is no bound.",
    )


class BreakerBounds(Section):
    """When an upstream is left alone, and for how long (SPEC §14.5)."""

    failures: Annotated[Count, Field(ge=1, le=1000)] = Field(
        default=3, description="Failures in a row that open the circuit of an upstream."
    )
    open_seconds: Annotated[Seconds, Field(gt=0, le=3600)] = Field(
        default=30, description="How long it is then not called; one probe follows."
    )
