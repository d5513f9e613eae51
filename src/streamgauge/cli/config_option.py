"""`--config` of the verbs beside the gateway: which file tells where it and its ledger are. Reads none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["config_option", "named_config"]

_NAMED = "streamgauge.config"

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _remember(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    ctx.meta[_NAMED] = value


def config_option(command: _Command) -> _Command:
    """Add the option, which the verb itself is not told: the settings that it asks for are."""
    option = click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,  # before the default of --ledger, which it names
        expose_value=False,
        callback=_remember,
        help="Instead of the file serve finds.",
    )
    return option(command)


def named_config() -> Path | None:
    """Return what --config names in the verb that runs, or None."""
    ctx = click.get_current_context(silent=True)
    found: Path | None = None if ctx is None else ctx.meta.get(_NAMED)
    return found
