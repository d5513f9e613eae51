"""Types of single settings: what text, number or word is accepted, and what is said if not."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from streamgauge.config.expand import Expanded
from streamgauge.config.yaml_reader import plain_scalar
from streamgauge.core.nano import nano_from_decimal, nano_text

__all__ = [
    "RESTART",
    "Count",
    "Instant",
    "NanoAmount",
    "Off",
    "OptionalText",
    "Seconds",
    "Secret",
    "Section",
    "Switch",
    "Text",
    "redactable",
    "refuse",
    "switched",
]

RESTART: dict[str, JsonValue] = {"reload": False}
"""`json_schema_extra` of a setting that holds until a restart; the others follow a reload."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECIMAL_TEXT = r"^\s*\+?[0-9.]+([eE][-+]?[0-9]+)?\s*$"
_MIN_SECRET = 8
"""Shorter ones are placeholders (`none`, `EMPTY`): cutting them out of logs would eat words."""


class Section(BaseModel):
    """A part of the configuration: frozen, without unknown keys, and silent about its input."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False
    )


def refuse(message: str) -> PydanticCustomError:
    """Return the error whose whole text is `message`; the caller raises it."""
    return PydanticCustomError("streamgauge", "{text}", {"text": message})


def _typed(value: Any) -> Any:
    """Text from a variable may stand for a number or a switch; text in quotes is text."""
    return plain_scalar(value.strip()) if isinstance(value, Expanded) else value


def _count(value: Any) -> int:
    value = _typed(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise refuse("must be a whole number")


def _seconds(value: Any) -> float:
    value = _typed(value)
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    raise refuse("must be a number of seconds")


_SWITCH_WORDS = {"true": True, "yes": True, "on": True, "1": True,
                 "false": False, "no": False, "off": False, "0": False}  # fmt: skip


def switched(text: str) -> bool | None:
    """Return what a variable's `text` says as a switch, or None if it says neither."""
    return _SWITCH_WORDS.get(text.strip().lower())


def _switch(value: Any) -> bool:
    if isinstance(value, Expanded):
        value = switched(value)
    if isinstance(value, bool):
        return value
    raise refuse("must be true or false")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise refuse("must be text (in quotes if it looks like a number)")
    if not value.strip() or re.search(r"[\x00-\x1f\x7f]", value):
        raise refuse("must be text, not empty and without control characters")
    return str(value)


def _optional_text(value: Any) -> str | None:
    return None if value is None or value == "" else _text(value)


def _secret(value: Any) -> str | None:
    if not isinstance(value, str):
        raise refuse("must be text (in quotes if it looks like a number)")
    value = str(value).strip()
    if re.search(r"[^\x21-\x7e]", value):
        raise refuse("must be printable ASCII without spaces")
    return value or None


def redactable(secrets: Iterable[str]) -> set[str]:
    """Return those of `secrets` that are long enough to be cut out of texts by value."""
    return {secret for secret in secrets if len(secret) >= _MIN_SECRET}


def _off(value: Any) -> Any:
    """YAML 1.1's habit: a bare `off` may arrive as false."""
    return "off" if value is False else value


def _nano(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        raise refuse("must be a decimal number, such as 0.15")
    try:
        amount = nano_from_decimal(value.strip() if isinstance(value, str) else value)
    except ValueError as error:
        raise refuse(f"must be a decimal number, such as 0.15; {_fault(error)}") from None
    if amount < 0:
        raise refuse("must be 0 or more")
    return amount


def _fault(error: ValueError) -> str:
    known = "at most 9 decimals are kept exactly"
    return known if "decimals" in str(error) else "this is none"


def _instant(value: Any) -> int | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            value = ""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if value is None:
        return None
    if isinstance(value, datetime):
        with contextlib.suppress(OverflowError):  # in UTC it lies before the year 1, or behind 9999
            moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
            return (moment - _EPOCH) // timedelta(microseconds=1)
    raise refuse("must be a date or time such as 2025-01-31 or 2025-01-31T12:00:00Z")


def _instant_text(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


Count = Annotated[int, BeforeValidator(_count), Field(ge=0)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=31_536_000)]
Switch = Annotated[bool, BeforeValidator(_switch)]
Text = Annotated[str, BeforeValidator(_text)]
OptionalText = Annotated[str | None, BeforeValidator(_optional_text)]
Off = BeforeValidator(_off)
Secret = BeforeValidator(_secret)
"""For `SecretStr | None`: an empty text is none."""
NanoAmount = Annotated[
    int,
    BeforeValidator(_nano),
    PlainSerializer(nano_text, when_used="json"),
    WithJsonSchema({"type": ["number", "string"], "minimum": 0, "pattern": _DECIMAL_TEXT}),
]
"""A decimal amount, held in nano-units."""
Instant = Annotated[
    int | None,
    BeforeValidator(_instant),
    PlainSerializer(_instant_text, when_used="json-unless-none"),
    WithJsonSchema({"type": "string", "format": "date", "pattern": r"^\d{4}-\d\d-\d\d"}),
]
"""A date or time (UTC where it says no zone), held in µs since the epoch."""
