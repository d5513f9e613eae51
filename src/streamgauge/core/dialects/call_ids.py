"""Keeps tool calls and their results together under ids that an upstream accepts."""

from __future__ import annotations

import hashlib
import re

__all__ = ["CallIds"]


class CallIds:
    """Gives each call an id that fits, and its result the same one.

    Sessions move between models, so a history holds ids of all makers: with signs that Anthropic
    refuses, too long for OpenAI, or the same in every turn. An id that fits and is new stays.
    """

    __slots__ = ("_given", "_illegal", "_longest", "_used")

    def __init__(self, illegal: str | None = None, longest: int | None = None) -> None:
        self._illegal = re.compile(illegal) if illegal else None
        self._longest = longest
        self._given: dict[str, str] = {}
        self._used: set[str] = set()

    def call(self, asked: str) -> str:
        """Return the id for a call that the client knows as `asked`."""
        wanted = self._fitting(asked)
        given, count = wanted, 1
        while given in self._used:
            count += 1
            given = self._fitting(f"{wanted}_{count}")
        self._used.add(given)
        self._given[asked] = given
        return given

    def result(self, asked: str) -> str:
        """Return the id of the last call that the client knows as `asked`."""
        return self._given.get(asked) or self._fitting(asked)

    def _fitting(self, asked: str) -> str:
        if self._longest is not None and len(asked) > self._longest:
            digest = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()
            return f"call_{digest[: min(32, self._longest - 5)]}"
        return self._illegal.sub("_", asked) if self._illegal else asked
