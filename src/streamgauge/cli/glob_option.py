"""Options that take a glob: a pattern that nothing can fit is a slip of the keys. Knows no verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["glob_option"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def glob_option(name: str, help: str) -> Callable[[_Command], _Command]:
    """Return an option that takes one glob; one that is none is a usage error with its reason."""
    return click.option(name, callback=_checked, metavar="GLOB", help=help)


def _checked(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from streamgauge.config.globs import glob_fault

        if (fault := glob_fault(value)) is not None:
            raise click.BadParameter(f"{value!r} is no glob: {fault}")
    return value
