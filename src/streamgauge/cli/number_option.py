"""The type of options that take a number. Knows no verb."""

from __future__ import annotations

from math import isfinite
from typing import Any

import click

__all__ = ["Number"]


class Number(click.FloatRange):
    """A finite number in a range. By itself `click.FloatRange` takes `nan`, which no comparison refuses."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Fails as a usage error."""
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
