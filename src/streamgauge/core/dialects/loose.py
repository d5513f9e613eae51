"""Reads JSON that typed decoding refuses, as far as it can be read. It knows no dialect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

__all__ = [
    "CONFLICT",
    "Conflict",
    "Loaded",
    "LooseObject",
    "clean_label",
    "clean_text",
    "clean_value",
    "dump",
    "load",
]

MAX_LABEL = 256
"""Longest name or reason kept, in characters: it goes into rows and on screens."""
_MAX_INT_DIGITS = 40


class Conflict:
    """The value of a key that stood twice with different values: it is none of the two."""

    __slots__ = ()


CONFLICT = Conflict()


class _Unwritten(Decimal):
    """A number that JSON has no word for: it is read, and null when it is written."""

    __slots__ = ()


class Loaded(msgspec.Struct, frozen=True):
    """A value that was read. `legal` is False where it needed more than RFC 8259 allows."""

    value: Any
    legal: bool


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        for key, value in pairs:
            if members[key] is not CONFLICT and members[key] != value:
                members[key] = CONFLICT
    return members


def _integer(digits: str) -> int | Decimal:
    """Return an int, or for one that no count can be a Decimal, which costs no big conversion."""
    return int(digits) if len(digits) <= _MAX_INT_DIGITS else Decimal(digits)


def _fraction(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except ArithmeticError:  # an exponent that even Decimal cannot hold
        return _Unwritten("-Infinity" if digits.startswith("-") else "Infinity")


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


_LEGAL = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=_fraction, parse_int=_integer, parse_constant=_refuse
)
_TOLERANT = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_float=_fraction,
    parse_int=_integer,
    parse_constant=_Unwritten,
    strict=False,
)


def load(payload: bytes) -> Loaded | None:
    """Return what `payload` holds, or None when it is no JSON at all.

    Bad UTF-8 is replaced (as an SSE reader must); fractions are Decimals and keep their text; a
    duplicate key with two values is CONFLICT. NaN and raw control characters are read, not legal.
    """
    text = payload.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        return Loaded(_LEGAL.decode(text), legal=True)
    except ValueError:
        pass
    except RecursionError:
        return None
    try:
        return Loaded(_TOLERANT.decode(text), legal=False)
    except (ValueError, RecursionError):
        return None


def dump(value: Any) -> str:
    """Return the JSON text of a value that `load` gave; fractions keep their digits.

    CONFLICT is null, as is what no JSON can say: NaN, infinity, and a value nested as deep as the
    stack goes, which no client could read either.
    """
    try:
        try:
            return _encode(value).decode()
        except UnicodeEncodeError:
            return _encode(clean_value(value)).decode()
    except RecursionError:
        return "null"


_encode = msgspec.json.Encoder(enc_hook=lambda _: None, decimal_format="number").encode


def clean_value(value: Any) -> Any:
    """Return a JSON value with the lone surrogates of its texts replaced."""
    if type(value) is str:
        return clean_text(value)
    if type(value) is dict:
        return {clean_text(key): clean_value(member) for key, member in value.items()}
    if type(value) is list or type(value) is tuple:
        return [clean_value(member) for member in value]
    return value


def clean_text(text: str) -> str:
    """Return `text` with lone surrogates replaced, so that it can be encoded."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean_label(text: str) -> str:
    """Return `text` fit for a row: printable characters only, at most MAX_LABEL."""
    if len(text) <= MAX_LABEL and text.isprintable():
        return text
    return "".join(c for c in text[:MAX_LABEL] if c.isprintable())


class LooseObject:
    """A JSON object read key by key. `odd` turns True when a value is not of the type asked for."""

    __slots__ = ("_members", "odd")

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = members
        self.odd = False

    def value(self, key: str) -> Any:
        """Return whatever stands at `key`, None when nothing does."""
        return self._members.get(key)

    def text(self, key: str) -> str | None:
        """Return the string at `key`; None for null, absence or another type."""
        value = self._members.get(key)
        if isinstance(value, str):
            return clean_text(value)
        self.odd = self.odd or value is not None
        return None

    def integer(self, key: str) -> int | None:
        """Return the integer at `key`; None for null, absence or another type (also a boolean)."""
        value = self._members.get(key)
        if type(value) is int:
            return value
        self.odd = self.odd or value is not None
        return None

    def object(self, key: str) -> LooseObject | None:
        """Return the object at `key`; None for null, absence or another type."""
        value = self._members.get(key)
        if isinstance(value, dict):
            return LooseObject(value)
        self.odd = self.odd or value is not None
        return None

    def objects(self, key: str) -> Sequence[LooseObject]:
        """Return the objects in the list at `key`, other members left out."""
        value = self._members.get(key)
        if not isinstance(value, list):
            self.odd = self.odd or value is not None
            return ()
        self.odd = self.odd or not all(isinstance(member, dict) for member in value)
        return [LooseObject(member) for member in value if isinstance(member, dict)]
