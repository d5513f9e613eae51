"""YAML 1.2 text to plain values with their places. Knows no schema and no file."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from streamgauge.config.document import Document
from streamgauge.config.positions import Path, Place
from streamgauge.config.problems import ConfigError, Problem
from streamgauge.config.syntax import yaml_words

__all__ = ["plain_scalar", "read_yaml"]

_NULL = re.compile(r"(null|Null|NULL|~|)")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGERS = (
    (re.compile(r"()([-+]?[0-9]{1,30})"), 10),
    (re.compile(r"(0o)([0-7]{1,30})"), 8),
    (re.compile(r"(0x)([0-9a-fA-F]{1,30})"), 16),
)
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_CORE_TAGS = re.compile(r"tag:yaml\.org,2002:(str|int|float|bool|null|map|seq|merge|timestamp)")
_MAX_NODES = 100_000
"""No real configuration has more values; a few nested aliases can unfold to any number."""


def plain_scalar(text: str) -> Any:
    """Return what unquoted `text` is in YAML 1.2's core schema (§10.3.2); decimals stay exact."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text[0] in "tT"
    for pattern, base in _INTEGERS:
        if found := pattern.fullmatch(text):
            return int(found[2], base)
    return Decimal(text) if _DECIMAL.fullmatch(text) else text


def read_yaml(text: str, source: str) -> Document:
    """Return the values and places of `text`. Raises ConfigError where it is no YAML mapping.

    What YAML forbids but a reader can get over, such as a duplicate key, is in `problems`.
    """
    reader = _Reader(source)
    root = reader.read(text)
    return Document(source, root, reader.places, reader.problems)


class _Reader:
    """Turns one node graph into values, noting places and collecting what is wrong."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.places: dict[Path, Place] = {}
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._nodes = 0

    def read(self, text: str) -> dict[str, Any]:
        place = Place.in_file(self.source)
        try:
            node = YAML(typ="safe", pure=True).compose(text)
        except (YAMLError, ValueError, RecursionError) as error:
            place, message = _syntax_error(error, text, self.source)
        else:
            value = None if node is None else self._value(node, ())
            if value is None or isinstance(value, dict):
                return value or {}
            place, message = self._place(node), "must be a mapping of keys to values"
        raise ConfigError([Problem.at(place, (), message)])

    def _value(self, node: Node, path: Path) -> Any:
        self._nodes += 1
        if id(node) in self._open or self._nodes > _MAX_NODES:
            self._complain(node, path, "an alias that contains itself, or far too many values")
            return None
        if not _CORE_TAGS.fullmatch(str(node.tag)):
            self._complain(node, path, "YAML tags are not supported; write the plain value")
            return None
        self._open.add(id(node))
        try:
            return self._content(node, path)
        finally:
            self._open.discard(id(node))

    def _content(self, node: Node, path: Path) -> Any:
        match node:
            case MappingNode():
                return self._mapping(node, path)
            case SequenceNode():
                return [self._item(item, (*path, n)) for n, item in enumerate(node.value)]
            case ScalarNode():
                quoted = node.style is not None or str(node.tag).endswith(":str")
                return node.value if quoted else plain_scalar(node.value)
        raise TypeError(type(node).__name__)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._complain(key, path, "a key must be text")
                continue
            here = (*path, str(key.value))
            if key.value in values:
                first = self.places[here]
                self._complain(key, here, f"duplicate key; it stands at line {first.line} already")
                continue
            self.places[here] = self._place(key)
            values[str(key.value)] = self._value(value, here)
        return values

    def _item(self, node: Node, path: Path) -> Any:
        self.places[path] = self._place(node)
        return self._value(node, path)

    def _place(self, node: Node) -> Place:
        mark = node.start_mark
        return Place.in_file(self.source, mark.line + 1, mark.column + 1)

    def _complain(self, node: Node, path: Path, message: str) -> None:
        self.problems.append(Problem.at(self._place(node), path, message))


def _syntax_error(error: Exception, text: str, source: str) -> tuple[Place, str]:
    """Return place and message; the parser's excerpts of the file, which may hold keys, are cut."""
    line, column, message = 1, 1, "this is not YAML"
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        line, column = mark.line + 1, mark.column + 1
        message = yaml_words(error.problem or message)
        if _unquoted_variable(text, mark.index):
            message = "a ${NAME} between { } or [ ] must stand in quotes"
    elif isinstance(error, ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = "this character is not allowed in YAML"
    elif isinstance(error, RecursionError):
        message = "nested too deeply"
    return Place.in_file(source, line, column), message


def _unquoted_variable(text: str, index: int) -> bool:
    return text[max(index - 1, 0) : index + 1] == "${"
