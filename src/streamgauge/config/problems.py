"""What is wrong with a configuration, a line each. Knows no format and no schema (SPEC §2.3)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from streamgauge.config.positions import Path, Place, path_text

__all__ = ["ConfigError", "Problem", "did_you_mean", "one_of", "shown"]

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./-]{1,24}")
_SECRET_LOOK = re.compile(r"(?i)^(sk|pk|key|ghp|bearer|xox.)[-_]|^(?=.*\d)[A-Za-z0-9_./-]{20,}$")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: where, in which setting, what is wrong and what is allowed. No secret in it."""

    place: Place
    path: str
    message: str

    @classmethod
    def at(cls, place: Place, path: Path, message: str) -> Problem:
        """Return the problem of the setting at `path`; odd or secret-looking keys are masked."""
        steps = (step if isinstance(step, int) else shown(step, "<key>") for step in path)
        return cls(place, path_text(tuple(steps)), message)

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` are sorted by their place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


def one_of(allowed: Iterable[str]) -> str:
    """Return the words that are allowed, as the middle of a sentence."""
    return f"one of {', '.join(allowed)}"


def did_you_mean(given: object, allowed: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the allowed word nearest to `given`, else nothing."""
    near = difflib.get_close_matches(str(given).lower(), list(allowed), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""


def shown(word: str, otherwise: str = "") -> str:
    """Return `word` if it is short and plain enough to be no secret, else `otherwise`."""
    plain = _PLAIN_WORD.fullmatch(word) and not _SECRET_LOOK.search(word)
    return word if plain else otherwise
