"""Where each key and list item of a valid TOML text begins. Knows no values."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from streamgauge.config.positions import Path

__all__ = ["scan_positions"]

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL
)
_PLAIN = re.compile(r"[^,\]}#\n]+")


def scan_positions(text: str) -> dict[Path, int]:
    """Return the offset of each path's key, or list item, in `text`: TOML 1.0 with LF ends only.

    A table that is opened twice (`[a]`, `[a.b]`) stands where it is first named.
    """
    return _Scanner(text).scan()


class _Scanner:
    """Walks the text once. `pos` is where the next thing begins."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.found: dict[Path, int] = {}
        self.lengths: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while True:
            self._skip(_BLANK)
            if self.pos >= len(self.text):
                return self.found
            if self.text[self.pos] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        array = self.text.startswith("[[", self.pos)
        self.pos += 2 if array else 1
        keys = self._keys()
        self.pos += 2 if array else 1
        path: Path = ()
        for name, offset in keys[:-1]:
            path = self._into(self._note((*path, name), offset))
        name, offset = keys[-1]
        path = self._note((*path, name), offset)
        if array:
            self.lengths[path] = self.lengths.get(path, 0) + 1
            path = self._note((*path, self.lengths[path] - 1), offset)
        return path

    def _into(self, path: Path) -> Path:
        """A header that goes on below an array of tables means its last table."""
        return (*path, self.lengths[path] - 1) if path in self.lengths else path

    def _pair(self, path: Path) -> None:
        for name, offset in self._keys():
            path = self._note((*path, name), offset)
        self.pos += 1
        self._skip(_SPACE)
        self._value(path)

    def _keys(self) -> list[tuple[str, int]]:
        """Read a dotted key up to what follows it: `=` or a bracket."""
        keys = []
        while True:
            self._skip(_SPACE)
            offset = self.pos
            if found := _BARE_KEY.match(self.text, offset):
                name = found[0]
            elif found := _STRING.match(self.text, offset):
                name = str(tomllib.loads(f"key = {found[0]}")["key"])
            else:
                raise AssertionError("the text was to be valid TOML")
            self.pos = found.end()
            keys.append((name, offset))
            self._skip(_SPACE)
            if self.text[self.pos] != ".":
                return keys
            self.pos += 1

    def _value(self, path: Path) -> None:
        first = self.text[self.pos]
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._skip(_STRING if first in "\"'" else _PLAIN)

    def _array(self, path: Path) -> None:
        for index, offset in enumerate(self._elements("]")):
            self._value(self._note((*path, index), offset))

    def _inline_table(self, path: Path) -> None:
        for _ in self._elements("}"):
            self._pair(path)

    def _elements(self, closing: str) -> Iterator[int]:
        """Stop at each element, whose reader moves on; end behind the closing bracket."""
        self.pos += 1
        while True:
            self._skip(_BLANK)
            if self.text[self.pos] == closing:
                self.pos += 1
                return
            yield self.pos
            self._skip(_BLANK)
            if self.text[self.pos] == ",":
                self.pos += 1

    def _note(self, path: Path, offset: int) -> Path:
        self.found.setdefault(path, offset)
        return path

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if found := pattern.match(self.text, self.pos):
            self.pos = found.end()
