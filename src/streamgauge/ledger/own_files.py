"""Which files belong to a ledger, so that no copy of it takes their place. Opens none."""

from __future__ import annotations

import os
from pathlib import Path

from streamgauge.ledger.new_file import FileRefused

__all__ = ["apart_from", "without_log"]

_BESIDE = ("-wal", "-shm", "-journal", ".lock", ".spool", ".keys-secret")


def apart_from(ledger: Path, target: Path) -> Path:
    """Return `target`. Raises FileRefused where it is the ledger, or a file that lies beside it for it."""
    real = ledger.resolve()
    if _same(target, real):
        raise FileRefused(f"{target} is the ledger itself")
    for suffix in _BESIDE:
        if _same(target, real.with_name(real.name + suffix)):
            raise FileRefused(f"{target} belongs to the ledger: name another file")
    return target


def without_log(target: Path) -> Path:
    """Return `target`. Raises FileRefused where a database of that name is in use, or was not closed.

    What its write-ahead log holds would be read into whatever database stands there next.
    """
    real = target.resolve()
    log = real.with_name(real.name + "-wal")
    if os.path.exists(log) and log.stat().st_size:
        raise FileRefused(
            f"{target} is in use or was not closed: {log.name} beside it would be read into the copy. "
            f"Name another file; or stop its gateway and move that one and its -shm away first"
        )
    return target


def _same(target: Path, own: Path) -> bool:
    """Whether both name one file, there or not."""
    if os.path.exists(target) and os.path.exists(own):
        return os.path.samefile(target, own)
    return target.resolve() == own
