"""`${VAR}`, `${VAR:-default}` and `file:/path` inside values. Knows no schema (SPEC §2.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from streamgauge.config.document import Document
from streamgauge.config.positions import Path
from streamgauge.config.problems import Problem

__all__ = ["Expanded", "expand_document"]

_PIECES = re.compile(
    r"(?P<escape>\$\$\{)"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}"
    r"|(?P<bad>\$\{)"
    r"|(?:(?<=\s)|^)file:(?P<path>/[^\s$]+)"
)
_WHOLE_FILE = re.compile(r"file:(/[^$]*)")
_MAX_FILE = 65_536
"""A key file is a line; a certificate is named by its path, not read here."""


class Expanded(str):
    """Text that came from a variable or a file: it may be a secret, and it may mean a number."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Expanded('…')"


def expand_document(
    document: Document, environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[Problem], set[Path]]:
    """Return the values expanded, what went wrong, and the paths of texts without expansion.

    A text counts as literal also when a `:-default` in it, written in the file, was used.
    """
    walk = _Walk(document, environ)
    root = {key: walk.value(value, (key,)) for key, value in document.root.items()}
    return root, walk.problems, walk.literals


class _Missing(Exception):
    """A piece of the text cannot be had; the message says why and shows no value."""


class _Walk:
    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.document = document
        self.environ = environ
        self.problems: list[Problem] = []
        self.literals: set[Path] = set()

    def value(self, value: Any, path: Path) -> Any:
        match value:
            case dict():
                return {key: self.value(item, (*path, key)) for key, item in value.items()}
            case list():
                return [self.value(item, (*path, n)) for n, item in enumerate(value)]
            case str():
                return self._text(value, path)
        return value

    def _text(self, text: str, path: Path) -> str:
        pieces = _Pieces(self.environ, from_variable=isinstance(text, Expanded))
        try:
            expanded = pieces.expand(text)
        except _Missing as missing:
            self.problems.append(Problem.at(self.document.place_of(path), path, str(missing)))
            return Expanded("")
        if pieces.literal:
            self.literals.add(path)
        return Expanded(expanded) if pieces.changed or isinstance(text, Expanded) else expanded


class _Pieces:
    """One text. An environment override has been expanded by the shell: only `file:` is left."""

    def __init__(self, environ: Mapping[str, str], from_variable: bool) -> None:
        self.environ = environ
        self.from_variable = from_variable
        self.changed = False
        self.literal = not from_variable

    def expand(self, text: str) -> str:
        if whole := _WHOLE_FILE.fullmatch(text):
            return self._file(whole[1])
        return text if self.from_variable else _PIECES.sub(self._piece, text)

    def _piece(self, found: re.Match[str]) -> str:
        if found["escape"]:
            return "${"
        if found["bad"]:
            raise _Missing("'${' begins no ${NAME} or ${NAME:-default}; write $${ for the text ${")
        return self._file(found["path"]) if found["path"] else self._variable(found)

    def _variable(self, found: re.Match[str]) -> str:
        name, default = found["name"], found["default"]
        self.changed = True
        value = self.environ.get(name)
        if value is None and default is None:
            raise _Missing(
                f"the environment variable {name} is not set; set it or write ${{{name}:-default}}"
            )
        self.literal = bool(default) and not value
        return (value or default) if default is not None else str(value)

    def _file(self, path: str) -> str:
        self.changed, self.literal = True, False
        try:
            with FilePath(path).open("rb") as file:
                data = file.read(_MAX_FILE + 1)
            text = data.decode()
        except UnicodeDecodeError as error:
            raise _Missing("the file named by file: is not UTF-8 text") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            raise _Missing(f"cannot read the file named by file:; {reason}") from error
        if len(data) > _MAX_FILE:
            raise _Missing(f"the file named by file: is larger than {_MAX_FILE} bytes")
        return text.rstrip("\r\n")
