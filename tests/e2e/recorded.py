"""The requests that real agents were seen to send, to be sent again (tests/data/recorded)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .stand import DATA

__all__ = ["RECORDED", "Recorded"]

_OURS = frozenset({"host", "content-length", "connection", "accept-encoding"})


@dataclass(frozen=True)
class Recorded:
    """One request. `name`: its file and number there."""

    name: str
    path: str
    body: dict[str, Any] = field(repr=False)
    headers: dict[str, str] = field(repr=False)

    @property
    def dialect(self) -> str:
        """The client's dialect."""
        return "anthropic" if "/messages" in self.path else "openai"

    def as_keywords(self) -> dict[str, str]:
        """Return the headers as a raw client takes them."""
        return {name.lower().replace("-", "_"): value for name, value in self.headers.items()}

    @property
    def counts(self) -> bool:
        """Whether it only asks for a count of tokens."""
        return "/count_tokens" in self.path


def _read() -> list[Recorded]:
    found = []
    for file in sorted((DATA / "recorded").glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            if told["method"] == "POST":
                headers = {
                    name: value for name, value in told["headers"] if name.lower() not in _OURS
                }
                name = f"{file.stem}-{told['n']}"
                found.append(Recorded(name, told["path"], told["body"], headers))
    return found


RECORDED = _read()
