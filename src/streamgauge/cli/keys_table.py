"""`keys ls` as a table for people. Knows keys as dicts, as `keys ls --json` prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from streamgauge.cli.figures import when
from streamgauge.cli.ledger_table import printable, signs_of, stdout_console

__all__ = ["print_keys"]

_COLOURS = {"active": "green", "expired": "yellow", "revoked": "red"}
_TITLES = ("id", "label", "key", "state", "created", "last used", "expires", "models", "limits")


def print_keys(keys: Sequence[Mapping[str, Any]]) -> None:
    """Print the keys in their order; none at all is said, too."""
    console = stdout_console()
    if not keys:
        console.print("no keys: streamgauge keys create --label NAME makes one")
        return
    signs = signs_of(console)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in _TITLES:
        table.add_column(title, overflow="fold")
    for key in keys:
        cells = [
            key["id"],
            printable(key["label"]),
            key["shown"] + "…",
            key["state"],
            signs.or_dash(_day(key["created_at"])),
            signs.or_dash(_day(key["last_used_at"])),
            signs.or_dash(_day(key["expires_at"])),
            printable(", ".join(key["models"])) or "any",
            _limits(key) or signs.dash,
        ]
        styles = ["", "", "", _COLOURS[key["state"]], *[""] * (len(cells) - 4)]
        table.add_row(*(Text(cell, style) for cell, style in zip(cells, styles, strict=True)))
    console.print(table)


def _day(microseconds: int | None) -> str | None:
    told = when(microseconds)
    return None if told is None else told[: len("2026-01-31 12:00")]


def _limits(key: Mapping[str, Any]) -> str:
    named = (
        ("max_streams", "{} at once"),
        ("rpm", "{} rpm"),
        ("tpm", "{} tpm"),
        ("per_day", "{} a day"),
        ("per_month", "{} a month"),
    )
    return ", ".join(text.format(key[name]) for name, text in named if key[name] is not None)
