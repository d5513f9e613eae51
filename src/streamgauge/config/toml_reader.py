"""TOML text to plain values with their places. Knows no schema and no file."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal

from streamgauge.config.document import Document
from streamgauge.config.positions import Path, Place
from streamgauge.config.problems import ConfigError, Problem
from streamgauge.config.syntax import toml_words
from streamgauge.config.toml_positions import scan_positions

__all__ = ["read_toml"]

_WHERE = re.compile(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def read_toml(text: str, source: str) -> Document:
    """Return the values and places of `text`; decimals stay exact. Raises ConfigError."""
    try:
        root = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        problem = _syntax_error(error, text, source)
    else:
        return Document(source, root, _places(text, source))
    raise ConfigError([problem])


def _places(text: str, source: str) -> dict[Path, Place]:
    places: dict[Path, Place] = {}
    normal = text.replace("\r\n", "\n")
    line, line_start, seen = 1, 0, 0
    for path, offset in sorted(scan_positions(normal).items(), key=lambda item: item[1]):
        line += normal.count("\n", seen, offset)
        line_start = max(line_start, normal.rfind("\n", seen, offset) + 1)
        seen = offset
        places[path] = Place.in_file(source, line, offset - line_start + 1)
    return places


def _syntax_error(error: Exception, text: str, source: str) -> Problem:
    """Return the problem; names the parser quotes, which may be keys, are cut."""
    line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    message = "nested too deeply" if isinstance(error, RecursionError) else "this is not TOML"
    if found := _WHERE.match(str(error)):
        message = toml_words(found[1])
        if found[2]:
            line, column = int(found[2]), int(found[3])
    return Problem.at(Place.in_file(source, line, column), (), message)
