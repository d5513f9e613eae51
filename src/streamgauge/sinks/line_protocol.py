"""Points in InfluxDB's line protocol. Knows no record and no server.

By InfluxData's reference (line protocol, syntax): tags and fields in the order of their names, what
is unknown left out, integers with an `i`. A line break in a name is written as two characters, as
InfluxDB's own clients do, for a line is a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

__all__ = ["PointShape"]

Tag = str | None
Field = str | int | float | bool | None

_LINES = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}
_MEASUREMENT = str.maketrans({",": r"\,", " ": r"\ ", **_LINES})
_KEY = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ ", **_LINES})
_TEXT = str.maketrans({'"': r"\"", "\\": r"\\"})


class PointShape:
    """The names of a measurement's tags and fields, escaped and in order once for many points."""

    __slots__ = ("_fields", "_head", "_tags")

    def __init__(self, measurement: str, tags: Sequence[str], fields: Sequence[str]) -> None:
        self._head = measurement.translate(_MEASUREMENT)
        named = sorted((name, place) for place, name in enumerate(tags) if name)
        self._tags = [(f",{name.translate(_KEY)}=", place) for name, place in named]
        named = sorted((name, place) for place, name in enumerate(fields))
        self._fields = [(f"{name.translate(_KEY)}=", place) for name, place in named]

    def line(self, tags: Sequence[Tag], fields: Sequence[Field], time_ns: int) -> str:
        """Return one line without its end, or "" for a point without any field.

        `tags` and `fields` have the order of the names. None, an empty tag, NaN and infinity are
        left out. `time_ns`: since the epoch.
        """
        head = [self._head]
        for key, place in self._tags:
            if value := tags[place]:
                head += (key, value if value.isalnum() else _tag(value))
        told: list[str] = []
        for key, place in self._fields:
            field = fields[place]
            if field is None:
                continue
            if type(field) is int:  # most of them: a call less for each
                told.append(f"{key}{field}i")
            elif (text := _field(field)) is not None:
                told.append(key + text)
        return f"{''.join(head)} {','.join(told)} {time_ns}" if told else ""


def _tag(value: str) -> str:
    text = value.translate(_KEY)
    # A backslash at the end would take the comma behind it for its own.
    return text + " " if text.endswith("\\") else text


def _field(value: str | int | float | bool) -> str | None:
    if isinstance(value, float):
        return repr(value).removesuffix(".0") if isfinite(value) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    return f'"{value}"' if value.isalnum() else f'"{value.translate(_TEXT)}"'
