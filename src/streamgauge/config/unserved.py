"""Keys of SPEC §2.4 that are known but not served in this release. Knows no other rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.config.document import Document
from streamgauge.config.expand import Expanded
from streamgauge.config.positions import Path
from streamgauge.config.problems import Problem
from streamgauge.config.yaml_reader import plain_scalar

__all__ = ["NOT_SERVED", "NOT_SERVED_VALUES", "drop_unserved", "known_keys"]

NOT_SERVED: Mapping[str, tuple[Any, ...]] = {
    "server.trusted_proxies": ([],),
    "server.cors_origins": ([],),
}
"""Path of a key to the values that ask for nothing, which are accepted and change nothing."""

NOT_SERVED_VALUES: Mapping[str, Mapping[str, str]] = {}
"""Values of served keys that are known but not served, with what is said of them."""


def drop_unserved(document: Document) -> list[Problem]:
    """Take the keys that are not served out of `document`; return those that ask for something."""
    problems: list[Problem] = []
    for pattern, harmless in NOT_SERVED.items():
        for path in _matching(document, pattern):
            value = document.get(path)
            if not any(_same(value, wanted) for wanted in harmless):
                message = f"not served yet in this release; {_cure(harmless[0])}"
                problems.append(_problem(document, path, message))
            _take_out(document, path)
    for pattern, messages in NOT_SERVED_VALUES.items():
        for path in _matching(document, pattern):
            value = document.get(path)
            if isinstance(value, str) and (refusal := messages.get(value)):
                problems.append(_problem(document, path, refusal))
                _take_out(document, path)
    _drop_empty(document, ("sessions",))
    return problems


def known_keys(path: Path) -> list[str]:
    """Return the keys directly below `path` that are known but not served."""
    depth = len(path)
    patterns = [pattern.split(".") for pattern in NOT_SERVED]
    return sorted(
        {p[depth] for p in patterns if len(p) > depth and all(map(_fits, p[:depth], path))}
    )


def _same(value: Any, wanted: Any) -> bool:
    """Equal, and not just as 0 equals false; what a variable gave is read as YAML reads it."""
    if isinstance(value, Expanded) and value:
        value = plain_scalar(value)
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _cure(harmless: Any) -> str:
    return f"must be {harmless}, or left out" if harmless else "leave it out"


def _fits(step: str, given: str | int) -> bool:
    return step == "*" if isinstance(given, int) else step == given


def _matching(document: Document, pattern: str) -> list[Path]:
    paths: list[Path] = [()]
    for step in pattern.split("."):
        paths = [(*path, found) for path in paths for found in _steps(document.get(path), step)]
    return paths


def _steps(value: Any, step: str) -> list[str | int]:
    if step == "*":
        return list(range(len(value))) if isinstance(value, list) else []
    return [step] if isinstance(value, dict) and step in value else []


def _take_out(document: Document, path: Path) -> None:
    del document.get(path[:-1])[path[-1]]


def _drop_empty(document: Document, sections: tuple[str, ...]) -> None:
    """Sections of which nothing is served go when nothing is left in them."""
    for section in sections:
        if document.root.get(section) == {}:
            del document.root[section]


def _problem(document: Document, path: Path, message: str) -> Problem:
    return Problem.at(document.place_of(path), path, message)
