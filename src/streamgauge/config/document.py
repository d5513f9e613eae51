"""A configuration as it was read: plain values with their places. Knows no format and no schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from streamgauge.config.positions import Path, Place
from streamgauge.config.problems import Problem

__all__ = ["Document"]


@dataclass(slots=True)
class Document:
    """A configuration as plain values, and the place of each: of its key, or of its list item.

    Values are dict, list, str, bool, int, Decimal, datetime.date and None, never float.
    `problems`: what was wrong with the writing, as far as a reader could go on.
    """

    source: str
    root: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place_of(self, path: Path) -> Place:
        """Return the place of `path`, else of the nearest thing around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path) or Place.in_file(self.source)

    def get(self, path: Path) -> Any:
        """Return the value at `path`, or None when there is none."""
        value: Any = self.root
        for step in path:
            match value, step:
                case dict(), str():
                    value = value.get(step)
                case list(), int() if step < len(value):
                    value = value[step]
                case _:
                    return None
        return value

    def origins(self) -> dict[Path, Place]:
        """Return the place of each value that there is, of mappings and lists too."""
        return {path: self.place_of(path) for path in _paths(self.root, ())}


def _paths(value: Any, at: Path) -> Iterator[Path]:
    match value:
        case dict():
            parts: Iterable[tuple[str | int, Any]] = value.items()
        case list():
            parts = enumerate(value)
        case _:
            return
    for step, part in parts:
        yield (*at, step)
        yield from _paths(part, (*at, step))
