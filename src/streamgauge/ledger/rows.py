"""Records as rows: columns from the dataclasses' fields, values made safe. Knows no SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from enum import Enum, auto
from math import isfinite
from operator import attrgetter, itemgetter
from typing import Any, get_args, get_type_hints

from streamgauge.core.record import AttemptRecord, ExchangeRecord

__all__ = ["ATTEMPTS", "REQUESTS", "Kind", "Row", "RowShape", "Value", "storable_text"]

Value = str | int | float | None
Row = tuple[Value, ...]

_PLAIN = frozenset({str, type(None)})
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Kind(Enum):
    """What a column holds: the record's type, from which its SQL type follows."""

    TEXT = auto()
    INTEGER = auto()
    REAL = auto()
    FLAG = auto()
    """A boolean, stored as 0 or 1."""
    NAMES = auto()
    """A list of names, stored as a JSON array."""


_KINDS: tuple[tuple[type, Kind], ...] = (
    (bool, Kind.FLAG),
    (int, Kind.INTEGER),
    (float, Kind.REAL),
    (str, Kind.TEXT),
)


def storable_text(text: str) -> str:
    """Return `text` as a plain str, each NUL and lone surrogate replaced by U+FFFD (S24).

    SQLite's own tools stop at a NUL, and a lone surrogate has no UTF-8.
    """
    text = text if type(text) is str else str.__str__(text)
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _kind_of(hint: Any) -> Kind:
    named = [part for part in get_args(hint) or (hint,) if part is not type(None)]
    for part in named:
        for base, kind in _KINDS:
            if isinstance(part, type) and issubclass(part, base):
                return Kind.NAMES if hint == list[str] else kind
    raise TypeError(f"no column for {hint!r}")


def _getter(places: tuple[int, ...]) -> Callable[[list[Any]], tuple[Any, ...]]:
    if len(places) > 1:  # of one place an itemgetter returns no tuple
        return itemgetter(*places)
    return lambda values: tuple(values[i] for i in places)


def _is_enum(hint: Any) -> bool:
    parts = get_args(hint) or (hint,)
    return any(isinstance(part, type) and issubclass(part, Enum) for part in parts)


class RowShape:
    """The columns of one record class, in field order, and the way from a record to its row."""

    __slots__ = (
        "_flags",
        "_lists",
        "_of_reals",
        "_of_texts",
        "_reals",
        "_texts",
        "_values",
        "_words",
        "kinds",
        "names",
    )

    def __init__(self, record_class: type[ExchangeRecord] | type[AttemptRecord]) -> None:
        hints = get_type_hints(record_class)
        self.names = tuple(f.name for f in fields(record_class))
        self.kinds = tuple(_kind_of(hints[name]) for name in self.names)
        self._values: Callable[[object], tuple[Any, ...]] = attrgetter(*self.names)
        self._texts = self._places(Kind.TEXT)
        self._reals = self._places(Kind.REAL)
        self._flags = self._places(Kind.FLAG)
        self._lists = self._places(Kind.NAMES)
        self._words = tuple(i for i in self._texts if _is_enum(hints[self.names[i]]))
        self._of_texts = _getter(self._texts)
        self._of_reals = _getter(self._reals)

    def _places(self, kind: Kind) -> tuple[int, ...]:
        return tuple(i for i, k in enumerate(self.kinds) if k is kind)

    def columns(self) -> Iterator[tuple[str, Kind]]:
        """Yield each column's name and kind."""
        return zip(self.names, self.kinds, strict=True)

    def row(self, record: ExchangeRecord | AttemptRecord) -> Row:
        """Return `record` as it is now, ready to bind. Never raises: the database judges types."""
        values = list(self._values(record))
        for i in self._words:
            if values[i] is not None:
                values[i] = str.__str__(values[i])
        if not self._is_safe(values):
            self._make_safe(values)
        for i in self._flags:
            if values[i] is True:
                values[i] = 1
            elif values[i] is False:
                values[i] = 0
        for i in self._lists:
            names = values[i]
            values[i] = json.dumps([storable_text(name) for name in names]) if names else "[]"
        return tuple(values)

    def _is_safe(self, values: list[Any]) -> bool:
        """Whether no value needs a look of its own: nearly always, and told in a tenth of the time."""
        texts = list(filter(None, self._of_texts(values)))
        if not _PLAIN.issuperset(map(type, texts)):
            return False
        text = "".join(texts)
        try:
            total = sum(filter(None, self._of_reals(values)))
        except TypeError:
            return False
        return text.isascii() and "\0" not in text and isfinite(total)

    def _make_safe(self, values: list[Any]) -> None:
        for i in self._texts:
            if isinstance(values[i], str):
                values[i] = storable_text(values[i])
        for i in self._reals:
            # Infinity has no JSON, and NaN is a number that nobody knows.
            if type(values[i]) is float and not isfinite(values[i]):
                values[i] = None


REQUESTS = RowShape(ExchangeRecord)
"""The columns of `requests` (SPEC §8.3)."""

ATTEMPTS = RowShape(AttemptRecord)
"""The columns of `attempts` (SPEC §8.3)."""
