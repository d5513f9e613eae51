"""Reads a client's JSON value by value and refuses by name what cannot be. It knows no dialect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streamgauge.core.errors import RequestError

__all__ = ["Asked", "refuse"]


def refuse(param: str, message: str) -> RequestError:
    """Return the 400 that names `param` and says what is wrong with it."""
    return RequestError(f"{param} {message}", param=param)


class Asked:
    """One object of a request and its path, `messages[2].content[0]`; empty is the body itself.

    Each reader returns None for null and absence, and raises RequestError for another type.
    """

    __slots__ = ("members", "path")

    def __init__(self, members: Mapping[str, Any], path: str = "") -> None:
        self.members = members
        self.path = path

    def name(self, key: str) -> str:
        """Return the path of the value at `key`."""
        return f"{self.path}.{key}" if self.path else key

    def refuse(self, key: str, message: str) -> RequestError:
        """Return the 400 that names the value at `key`."""
        return refuse(self.name(key), message)

    def states(self, key: str) -> bool:
        """Return whether something other than null stands at `key`."""
        return self.members.get(key) is not None

    def text(self, key: str) -> str | None:
        """Return the string at `key`."""
        value = self.members.get(key)
        if value is None or type(value) is str:
            return value
        raise self.refuse(key, "must be a string")

    def need(self, key: str) -> str:
        """Return the string at `key`, which must be there and must not be empty."""
        value = self.text(key)
        if not value:
            raise self.refuse(key, "is required" if value is None else "must not be empty")
        return value

    def need_text(self, key: str) -> str:
        """Return the string at `key`, which must be there and may be empty."""
        value = self.text(key)
        if value is None:
            raise self.refuse(key, "is required")
        return value

    def integer(self, key: str, least: int | None = None) -> int | None:
        """Return the integer at `key`, `least` or above. 1.0 is an integer, a boolean is none."""
        value = self.members.get(key)
        if value is None:
            return None
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise self.refuse(key, "must be an integer")
        if least is not None and value < least:
            raise self.refuse(key, f"must be {least} or above")
        return value

    def number(self, key: str) -> float | None:
        """Return the number at `key`; an integer stays one."""
        value = self.members.get(key)
        if value is None or type(value) is float or type(value) is int:
            return value
        raise self.refuse(key, "must be a number")

    def flag(self, key: str) -> bool | None:
        """Return the boolean at `key`."""
        value = self.members.get(key)
        if value is None or type(value) is bool:
            return value
        raise self.refuse(key, "must be true or false")

    def mapping(self, key: str) -> Mapping[str, Any] | None:
        """Return the object at `key` as it came."""
        value = self.members.get(key)
        if value is None or type(value) is dict:
            return value
        raise self.refuse(key, "must be an object")

    def child(self, key: str) -> Asked | None:
        """Return the object at `key` for further reading."""
        value = self.mapping(key)
        return None if value is None else Asked(value, self.name(key))

    def need_child(self, key: str) -> Asked:
        """Return the object at `key`, which must be there."""
        child = self.child(key)
        if child is None:
            raise self.refuse(key, "is required")
        return child

    def children(self, key: str, *, or_text: bool = False) -> Iterator[Asked]:
        """Yield the objects of the list at `key`; nothing for null and absence.

        `or_text`: a string may stand there as well, for its reader to have looked for.
        """
        value = self.members.get(key)
        if value is None:
            return
        if type(value) is not list:
            raise self.refuse(key, "must be a string or a list" if or_text else "must be a list")
        for index, member in enumerate(value):
            path = f"{self.name(key)}[{index}]"
            if type(member) is not dict:
                raise refuse(path, "must be an object")
            yield Asked(member, path)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the strings of the list at `key`; one string alone is a list of it."""
        value = self.members.get(key)
        if value is None:
            return ()
        if type(value) is str:
            return (value,)
        if type(value) is not list or not all(type(member) is str for member in value):
            raise self.refuse(key, "must be a string or a list of strings")
        return tuple(value)
