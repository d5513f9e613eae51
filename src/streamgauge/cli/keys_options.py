"""The options of `streamgauge keys` and what their values are. Knows no ledger."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from streamgauge.core.pricing import Money

__all__ = ["NONE", "Length", "Moment", "limit_options", "now_us"]

NONE = "none"
"""What an option is given to have no limit."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d{1,6})([smhdw])")
_MAX_COUNT = 10**12
_MAX_GLOBS, _MAX_GLOB = 100, 200

Command = TypeVar("Command", bound=Callable[..., Any])


def now_us() -> int:
    """Return the wall clock in µs since the epoch."""
    return time.time_ns() // 1000


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # no generic before click 8.3


class _Option(_ParamType, ABC):
    """A value, or `none`, which becomes NONE: not given at all is None."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str) or value == NONE:
            return value
        try:
            return self.read(value.strip())
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not {self.name}", param, ctx)

    @abstractmethod
    def read(self, text: str) -> Any:
        """Return the value. Raises ValueError."""


class Bound(_Option):
    name = "a whole number of 1 or more, or none"

    def read(self, text: str) -> int:
        number = int(text)
        if not 1 <= number <= _MAX_COUNT:
            raise ValueError(text)
        return number


class Amount(_Option):
    name = 'an amount above 0 with its currency, such as "5 USD", or none'

    def read(self, text: str) -> Money:
        from streamgauge.config.money import read_money

        return read_money(text)


class Globs(_Option):
    name = "names or globs with commas between them, or none"

    def read(self, text: str) -> tuple[str, ...]:
        from streamgauge.config.globs import glob_fault

        globs = [glob.strip() for glob in text.split(",")]
        legal = all(glob.isprintable() and len(glob) <= _MAX_GLOB for glob in globs)
        if not legal or len(globs) > _MAX_GLOBS:
            raise ValueError(text)
        for glob in globs:
            if (fault := glob_fault(glob)) is not None:
                self.fail(f"{glob!r} is no glob: {fault}")
        return tuple(dict.fromkeys(globs))


class Moment(_Option):
    """µs since the epoch."""

    name = "a span from now (12h, 30d) or a time to come (2027-01-31), or none"

    def read(self, text: str) -> int:
        now = datetime.now().astimezone()
        if span := _SPAN.fullmatch(text):
            moment = now + timedelta(**{_UNITS[span[2]]: int(span[1])})
        else:
            moment = datetime.fromisoformat(text).astimezone()
        if moment <= now:
            raise ValueError(text)
        return round(moment.timestamp() * 1_000_000)


class Length(_Option):
    """Seconds."""

    name = "a span such as 30s, 10m, 2h or 1d, or none"

    def read(self, text: str) -> float:
        span = _SPAN.fullmatch(text)
        if span is None:
            raise ValueError(text)
        return timedelta(**{_UNITS[span[2]]: int(span[1])}).total_seconds()


def limit_options(command: Command) -> Command:
    """Add what `create` and `set` have in common; what is not given is None."""
    for option in reversed(_LIMITS):
        command = option(command)
    return command


_LIMITS = (
    click.option("--models", type=Globs(), metavar="GLOB,…",
                 help="Only these models, as clients name them; none: any."),
    click.option("--max-streams", type=Bound(), metavar="N", help="Most requests at once."),
    click.option("--rpm", type=Bound(), metavar="N", help="Most requests a minute."),
    click.option("--tpm", type=Bound(), metavar="N", help="Most tokens a minute."),
    click.option("--per-day", type=Amount(), metavar='"5 USD"', help="Most money a day."),
    click.option("--per-month", type=Amount(), metavar='"50 USD"', help="Most money a month."),
    click.option("--expires", type=Moment(), metavar="30d|TIME",
                 help="When it stops opening: 12h, 30d, 2027-01-31."),
)  # fmt: skip
