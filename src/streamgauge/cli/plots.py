"""Bars and lines of a few characters, for terminals. Knows no row; a sign of its own for each ASCII one."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["bar", "span", "sparkline", "split_bar"]

_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_LEVELS = ("▁▂▃▄▅▆▇█", "_.-=+*%#")


def bar(share: float, width: int, *, ascii_only: bool) -> str:
    """Return a bar in `width` cells that is filled by `share`, 0 to 1; beyond that it is full."""
    share = _share(share, 1.0)
    if ascii_only:
        return ("#" * round(share * width)).ljust(width, ".")
    eighths = round(share * width * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).ljust(width)


def span(begin: float, end: float, whole: float, width: int, *, ascii_only: bool) -> str:
    """Return `width` cells with a mark from `begin` to `end` of `whole`, of one cell at least."""
    if whole <= 0:
        return " " * width
    first = min(int(_share(begin, whole) * width), width - 1)
    last = max(round(_share(end, whole) * width), first + 1)
    mark = "#" if ascii_only else "█"
    return (" " * first + mark * (last - first)).ljust(width)


def split_bar(parts: Sequence[float], longest: float, width: int) -> list[int]:
    """Return how many of `width` cells each of `parts` takes, where `longest` takes them all.

    What is not nothing has a cell of its own, as long as there are any.
    """
    cells: list[int] = []
    for part in parts:
        wanted = round(part / longest * width) if longest > 0 else 0
        cells.append(min(max(wanted, 1 if part > 0 else 0), width - sum(cells)))
    return cells


def sparkline(values: Sequence[float | None], *, ascii_only: bool) -> str:
    """Return one character a value, from nothing to the largest of them; unknown is a blank."""
    levels = _LEVELS[1 if ascii_only else 0]
    known = [value for value in values if value is not None]
    top = max(known, default=0.0)
    return "".join(" " if value is None else _level(value, top, levels) for value in values)


def _level(value: float, top: float, levels: str) -> str:
    share = value / top if top > 0 else 0.0
    return levels[min(max(int(share * len(levels)), 0), len(levels) - 1)]


def _share(part: float, whole: float) -> float:
    return min(max(part / whole, 0.0), 1.0)
