"""The `keys` section: whether clients must show one. Knows no key (SPEC §15.1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from streamgauge.config.expand import Expanded
from streamgauge.config.fields import Section, refuse, switched

__all__ = ["Keys", "Required"]


class Required(StrEnum):
    """`auto`: when a key exists, or the listener is not on loopback."""

    AUTO = "auto"
    TRUE = "true"
    FALSE = "false"


def _required(value: Any) -> Required:
    if isinstance(value, Expanded) and (switch := switched(value)) is not None:
        value = switch
    if isinstance(value, bool):
        return Required.TRUE if value else Required.FALSE
    if value == Required.AUTO:
        return Required.AUTO
    raise refuse("must be auto, true or false")


class Keys(Section):
    """Client keys; `streamgauge keys` makes them."""

    required: Annotated[
        Required,
        BeforeValidator(_required),
        WithJsonSchema({"enum": ["auto", True, False]}),
    ] = Field(
        default=Required.AUTO,
        description="Whether each request needs a client key; auto: when one exists or the "
        "listener is not on loopback.",
    )
