"""Numbers of a ledger row as people read them: unknown is a dash, an estimate has its sign."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from streamgauge.core.nano import nano_text
from streamgauge.ledger.durations import duration

__all__ = [
    "ASCII",
    "UNICODE",
    "Signs",
    "amount",
    "duration",
    "status_colour",
    "tokens",
    "when",
]

_ICONS = {
    "in_flight": ("…", "."),
    "completed": ("✓", "+"),
    "client_disconnected": ("↩", "<"),
    "cancelled": ("■", "#"),
    "superseded": ("»", ">"),
    "limit_reached": ("▲", "^"),
    "rejected": ("⊘", "/"),
    "shutdown": ("■", "#"),
}
_FAILED = ("✗", "x")
_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "in_flight": "cyan",
        "completed": "green",
        "client_disconnected": "yellow",
        "cancelled": "yellow",
        "superseded": "yellow",
        "shutdown": "yellow",
    }
)
_ESTIMATED = frozenset({"counted", "running"})


class Signs:
    """The signs that an output can show: a terminal without UTF-8 has letters for them."""

    __slots__ = ("_place", "answered", "arrow", "ascii_only", "dash", "micro", "times", "waited")

    def __init__(self, *, ascii_only: bool) -> None:
        self._place = 1 if ascii_only else 0
        self.ascii_only = ascii_only
        self.arrow = "->" if ascii_only else "→"
        self.dash = "-" if ascii_only else "–"
        self.micro = "u" if ascii_only else "µ"
        self.times = "x" if ascii_only else "×"
        self.waited, self.answered = (".", "#") if ascii_only else ("░", "█")

    def status(self, status: str) -> str:
        """Return the status' icon and word."""
        return f"{_ICONS.get(status, _FAILED)[self._place]} {status}"

    def or_dash(self, value: object) -> str:
        """Return `value` as text, or the dash when it is unknown."""
        return self.dash if value is None else str(value)


UNICODE = Signs(ascii_only=False)
ASCII = Signs(ascii_only=True)


def status_colour(status: str) -> str:
    """Return the colour that repeats what icon and word say."""
    return _COLOURS.get(status, "red")


def when(microseconds: int | None, *, date: bool = True) -> str | None:
    """Return a time since the epoch in µs as local time to the millisecond, or None."""
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, 1_000_000)
    local = datetime.fromtimestamp(seconds, UTC).astimezone()
    text = local.strftime("%Y-%m-%d %H:%M:%S" if date else "%m-%d %H:%M:%S")
    return f"{text}.{rest // 1000:03d}{local.strftime('%z')}" if date else text


def tokens(count: int | None, source: str | None) -> str | None:
    """Return a count, with `~` when it is not the upstream's final one; None when unknown."""
    if count is None:
        return None
    return f"{count}~" if source in _ESTIMATED else str(count)


def amount(row: Mapping[str, Any]) -> str | None:
    """Return the row's cost in full, with its currency, or None."""
    if row["cost_nano"] is None:
        return None
    return f"{nano_text(row['cost_nano'])} {row['currency'] or ''}".rstrip()
