"""What a grammar check finds, as values, and the sheet it is noted on. It knows no protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Level", "Rule", "Sheet", "error", "oddity"]

TIMES = 5
"""How often one broken rule is noted in a stream: the first places tell, thousands do not."""


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """Illegal: some official client fails on it or loses part of the answer."""
    ODDITY = "oddity"
    """Not as written, but real servers do it and the official clients live with it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a grammar. `says`: what must hold."""

    level: Level
    says: str


def error(says: str) -> Rule:
    """Return a rule that no legal stream breaks."""
    return Rule(Level.ERROR, says)


def oddity(says: str) -> Rule:
    """Return a rule that real servers are known to break."""
    return Rule(Level.ODDITY, says)


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule. `frame`: which frame with data it was, from 1, or how many there were before
    it; `offset`: the byte at which the frame begins, from 0.
    """

    rule: str
    level: Level
    frame: int
    offset: int
    text: str

    def __str__(self) -> str:
        return f"frame {self.frame} byte {self.offset}: {self.level} {self.rule}: {self.text}"


class Sheet:
    """Where findings of one stream are noted, and where in the stream the reading stands."""

    __slots__ = ("_counts", "_found", "_rules", "frame", "offset")

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self._found: list[Finding] = []
        self._counts: Counter[str] = Counter()
        self.frame = 0
        self.offset = 0

    def note(self, rule: str, text: str) -> None:
        """Note that `rule` is broken here. An oddity is noted once, an error TIMES times."""
        level = self._rules[rule].level
        self._counts[rule] += 1
        if self._counts[rule] <= (1 if level is Level.ODDITY else TIMES):
            self._found.append(Finding(rule, level, self.frame, self.offset, text))

    def take(self) -> list[Finding]:
        """Return what was noted since the last call."""
        found, self._found = self._found, []
        return found
