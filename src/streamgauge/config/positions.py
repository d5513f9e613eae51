"""Where a value of the configuration stands: line and column, variable or flag. Knows no format."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Path", "Place", "path_text"]

Path = tuple[str | int, ...]
"""The keys and list indices that lead to a value: `("upstreams", 0, "kind")`."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place to point at. `rank` sorts files before variables before flags.

    `source` is the file as the user named it, `environment:NAME` or `--flag`; lines and columns
    count from 1, and 0 means that there are none.
    """

    rank: int
    line: int
    column: int
    source: str

    @classmethod
    def in_file(cls, source: str, line: int = 0, column: int = 0) -> Place:
        """Return a place in the file `source`."""
        return cls(0, line, column, source)

    @classmethod
    def variable(cls, name: str) -> Place:
        """Return the place of a value that the environment variable `name` gave."""
        return cls(1, 0, 0, f"environment:{name}")

    @classmethod
    def flag(cls, name: str) -> Place:
        """Return the place of a value that the command line gave."""
        return cls(2, 0, 0, name)

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


def path_text(path: Path) -> str:
    """Return `path` as people write it: `upstreams[1].kind`; the empty path is `configuration`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".") or "configuration"
