"""A ledger in a fresh directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import NOW, Owner


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def opened(path: Path, owner: Owner) -> Iterator[Callable[..., SqliteLedger]]:
    """Open ledgers at `path`; each is stopped at the test's end."""
    ledgers: list[SqliteLedger] = []

    def make(**options: Any) -> SqliteLedger:
        named = {"owner": "boot-1", "now_us": lambda: NOW + 1_000_000, "post": owner.calls.put}
        ledgers.append(SqliteLedger(options.pop("path", path), **{**named, **options}))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        ledger.stop(1.0)


@pytest.fixture
def ledger(opened: Callable[..., SqliteLedger]) -> SqliteLedger:
    return opened()
