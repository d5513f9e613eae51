"""The option that takes a client key. Shows it to nobody, in no error either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["key_option"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _key(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Return None for an empty key, such as of `--key "$NOT_SET"`: no client starts with one."""
    if value and not all("!" <= sign <= "~" for sign in value):
        raise click.BadParameter(
            "a key is printable ASCII without spaces, and whole: `keys ls` shows its beginning only"
        )
    return value or None


def key_option(help: str) -> Callable[[_Command], _Command]:
    """Return `--key`, whose default is $STREAMGAUGE_CLIENT_KEY; what no header can hold is a usage error."""
    return click.option(
        "--key",
        envvar="STREAMGAUGE_CLIENT_KEY",
        metavar="KEY",
        callback=_key,
        help=f"{help}  [default: $STREAMGAUGE_CLIENT_KEY]",
    )
