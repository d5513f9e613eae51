"""Settings from `STREAMGAUGE_SERVER__PORT` and the command line. Knows no schema (SPEC §2.2)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.config.document import Document
from streamgauge.config.expand import Expanded
from streamgauge.config.positions import Path, Place
from streamgauge.config.problems import ConfigError, Problem, did_you_mean
from streamgauge.config.yaml_reader import read_yaml

__all__ = ["PREFIX", "Flag", "apply_admin_token", "apply_environment", "apply_flags"]

PREFIX = "STREAMGAUGE_"
_SEPARATOR = "__"
_ADMIN_TOKEN = PREFIX + "ADMIN_TOKEN"
_ITEM = re.compile(r"[0-9]{1,6}")
"""The number of a list's item; more digits than any list has items are a name like others."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A command line's word on one setting: `Flag("--port", ("server", "port"), 0)`."""

    name: str
    path: Path
    value: str | int | bool


def apply_environment(
    document: Document, environ: Mapping[str, str], sections: Collection[str]
) -> list[Problem]:
    """Lay the overrides in `environ` over `document`; return what is wrong with their names.

    Only names with `__`, or that name one of the `sections`, are ours to judge: others, such as
    `STREAMGAUGE_CONFIG`, mean something else.
    """
    problems: list[Problem] = []
    for name in sorted(environ, key=_counted):
        steps = name.removeprefix(PREFIX).lower().split(_SEPARATOR)
        if not name.startswith(PREFIX) or (len(steps) == 1 and steps[0] not in sections):
            continue
        place = Place.variable(name)
        path = _path(steps)
        if steps[0] not in sections:
            hint = did_you_mean(steps[0], sections)
            problems.append(Problem.at(place, path, f"no such section of the configuration{hint}"))
        else:
            problems += _lay(document, path, place, environ[name])
    return problems


def _path(steps: Sequence[str]) -> Path:
    return tuple(int(step) if _ITEM.fullmatch(step) else step for step in steps)


def _counted(name: str) -> list[tuple[int, str]]:
    """Sort item 10 behind item 2: a list takes one more at a time."""
    steps = _path(name.split(_SEPARATOR))
    return [(step, "") if isinstance(step, int) else (-1, step) for step in steps]


def apply_admin_token(document: Document, environ: Mapping[str, str]) -> None:
    """Take `control.token` from `STREAMGAUGE_ADMIN_TOKEN`, its default, where nothing else says."""
    path: Path = ("control", "token")
    control = document.get(path[:1])
    if (
        environ.get(_ADMIN_TOKEN)
        and document.get(path) is None
        and isinstance(control, dict | None)
    ):
        place = Place.variable(_ADMIN_TOKEN)
        _put(document, path, place, Expanded(environ[_ADMIN_TOKEN]))


def apply_flags(document: Document, flags: Collection[Flag]) -> list[Problem]:
    """Lay the command line's settings over `document`."""
    problems: list[Problem] = []
    for flag in flags:
        value = Expanded(flag.value) if isinstance(flag.value, str) else flag.value
        problems += _put(document, flag.path, Place.flag(flag.name), value)
    return problems


def _lay(document: Document, path: Path, place: Place, text: str) -> list[Problem]:
    try:
        value = _structured(text)
    except ConfigError:
        return [Problem.at(place, path, "begins like a list or mapping, but is no YAML or JSON")]
    return _put(document, path, place, value)


def _structured(text: str) -> Any:
    """A value that begins with a bracket or brace is YAML (so JSON too); any other is text."""
    if text.lstrip()[:1] not in {"[", "{"}:
        return Expanded(text)
    document = read_yaml(f"value: {text}", "environment")
    if document.problems:
        raise ConfigError(document.problems)
    return _as_expanded(document.root["value"])


def _as_expanded(value: Any) -> Any:
    match value:
        case dict():
            return {key: _as_expanded(item) for key, item in value.items()}
        case list():
            return [_as_expanded(item) for item in value]
        case str():
            return Expanded(value)
    return value


def _put(document: Document, path: Path, place: Place, value: Any) -> list[Problem]:
    """Set `path`, making the mappings on the way; a list takes its items and one more."""
    holder: Any = document.root
    for depth, step in enumerate(path):
        last = depth == len(path) - 1
        fresh = value if last else [] if isinstance(path[depth + 1], int) else {}
        match holder, step:
            case dict(), str():
                holder[step] = fresh if last or holder.get(step) is None else holder[step]
            case list(), int() if step <= len(holder):
                holder[step : step + 1] = [
                    fresh if last else (holder[step : step + 1] or [fresh])[0]
                ]
            case _:
                return [Problem.at(place, path, _misplaced(holder))]
        document.places.setdefault(path[: depth + 1], place)
        holder = holder[step]
    _forget_below(document, path)
    document.places[path] = place
    return []


def _forget_below(document: Document, path: Path) -> None:
    """The places of what was replaced mean nothing any more."""
    for known in [p for p in document.places if len(p) > len(path) and p[: len(path)] == path]:
        del document.places[known]


def _misplaced(holder: Any) -> str:
    if isinstance(holder, list):
        return f"no such item; the list has {len(holder)}, counted from 0"
    return "names a part of a value that has no parts"
