"""The table of decisions in tests/data/routing, as requests and what must come of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from streamgauge.config.yaml_reader import read_yaml

__all__ = ["CASES", "CONFIG", "Case"]

_FOLDER = Path(__file__).parents[2] / "data" / "routing"
CONFIG = _FOLDER / "streamgauge.yaml"


@dataclass(frozen=True)
class Case:
    """One request. `tried`: upstream/model>dialect. `out`: why others of the route are left out."""

    name: str
    route: str
    tried: list[str]
    out: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = "chat/completions"
    model: str | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    say: str = "hello"
    long: int = 0
    of: str = "x"
    body: Mapping[str, Any] = field(default_factory=dict)
    error: int | None = None

    @property
    def request(self) -> bytes:
        """Its body."""
        said = self.of * int(self.long) if self.long else self.say
        fields: dict[str, Any] = {}
        if self.endpoint in ("chat/completions", "messages") and "prompt" not in self.body:
            fields["messages"] = [{"role": "user", "content": said}]
        if self.endpoint == "messages":
            fields["max_tokens"] = 100
        if self.model is not None:
            fields["model"] = self.model
        return json.dumps({**fields, **self.body}, default=_number, ensure_ascii=False).encode()


def _number(value: object) -> float:
    assert isinstance(value, Decimal)
    return float(value)


CASES = [
    Case(**case)
    for case in read_yaml((_FOLDER / "decisions.yaml").read_text(), "decisions").root["cases"]
]
