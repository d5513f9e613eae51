"""The Grafana dashboards of deploy/: which queries they ask. Opens no Grafana."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["dashboard", "queries", "without_variables"]

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
_STAND_INS = {
    "$__rate_interval": "10m",
    "$__interval": "10s",
    "$timeFilter": "time > now() - 1h",
    "$upstream": ".*",
    "$model": ".*",
}


def dashboard(name: str) -> dict[str, Any]:
    """Return a dashboard."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def queries(name: str) -> Iterator[str]:
    """Yield each query of a dashboard's panels, its variables filled in."""
    for panel in dashboard(name)["panels"]:
        for target in panel["targets"]:
            yield without_variables(target.get("expr") or target["query"])


def without_variables(query: str) -> str:
    """Return a query as Grafana would send it for everything."""
    for variable, value in _STAND_INS.items():
        query = query.replace(variable, value)
    assert not re.search(r"\$(?!/)", query), query
    return query
