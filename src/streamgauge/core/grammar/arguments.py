"""Joins the pieces of a tool call's arguments and says whether they are JSON. It knows no protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping

from streamgauge.core.grammar.finding import Rule, Sheet, error, oddity
from streamgauge.core.grammar.values import named, shown

__all__ = ["ARGUMENT_RULES", "Arguments"]

ARGUMENT_RULES: Mapping[str, Rule] = {
    "arguments_bad_json": error("the pieces of a finished call's arguments join to JSON"),
    "arguments_no_object": oddity("a call's arguments are a JSON object"),
}
KEPT = 16 * 1024 * 1024
"""Characters of arguments kept for one call: longer ones than any model writes stay unchecked."""


class Arguments:
    """The arguments of one call, as far as they have come."""

    __slots__ = ("_length", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0

    @property
    def empty(self) -> bool:
        """Whether nothing has come."""
        return self._length == 0

    def add(self, piece: str) -> None:
        """Take the next piece."""
        self._length += len(piece)
        if self._length <= KEPT:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def judge(self, sheet: Sheet, call: str) -> None:
        """Note it where the whole is no JSON object. `call` names the call in the text."""
        if self.empty or self._length > KEPT:
            return
        text = "".join(self._pieces)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            sheet.note("arguments_bad_json", f"{call}: {shown(text)} is not JSON")
            return
        if not isinstance(value, dict):
            sheet.note("arguments_no_object", f"{call}: the arguments are {named(value)}")
