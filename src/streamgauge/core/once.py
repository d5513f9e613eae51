"""A source that can be iterated once (SPEC §12.3). It knows nothing of what comes out of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["IteratedTwice", "Once"]

_Item = TypeVar("_Item")


class IteratedTwice(RuntimeError):
    """Somebody asked a source for its items again: what would come is a replay, or a part."""


class Once(Generic[_Item]):
    """The items of `source`, for one reader, once.

    A second `iter`, also while the first one still runs, raises IteratedTwice there and then, and
    never gives an item. The source is asked for its iterator only by the first.
    """

    __slots__ = ("_name", "_source")

    def __init__(self, source: Iterable[_Item], name: str = "the source") -> None:
        """`name`: what the error calls it."""
        self._source: Iterable[_Item] | None = source
        self._name = name

    def __repr__(self) -> str:
        state = "taken" if self._source is None else "fresh"
        return f"<Once {self._name} {state}>"

    @property
    def taken(self) -> bool:
        """Whether somebody has begun to iterate."""
        return self._source is None

    def __iter__(self) -> Iterator[_Item]:
        source, self._source = self._source, None
        if source is None:
            raise IteratedTwice(f"{self._name} can be iterated once, and that has begun")
        return iter(source)
