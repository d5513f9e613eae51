"""What the doctor looks up on this machine: ledger, spool, disk, descriptors. Writes nothing."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from streamgauge.gateway.descriptors import raise_limit
from streamgauge.ledger.base import LedgerMissing, LedgerOpenError, LedgerUnreadable
from streamgauge.ledger.reader import Filter, LedgerReader
from streamgauge.ledger.spool import holds_rows
from streamgauge.tools.doctor import HouseFacts

if TYPE_CHECKING:
    from streamgauge.config.load import Loaded

__all__ = ["house_facts"]


def house_facts(loaded: Loaded) -> HouseFacts:
    """Return what was found for the configuration, which may be in use by a gateway."""
    config = loaded.config
    path = Path(config.ledger.path)
    damage, newest = _newest_row(path)
    return HouseFacts(
        ledger=config.ledger.path,
        now_us=time.time_ns() // 1000,
        warnings=loaded.warnings,
        ledger_error=_cannot_write(path),
        ledger_damage=damage,
        spool_waits=holds_rows(path),
        spool_bytes=config.ledger.spool_mb << 20,
        free_bytes=_free_bytes(path),
        newest_row_us=newest,
        descriptors=raise_limit(),  # as serve does
        max_streams=config.server.max_streams,
    )


def _newest_row(path: Path) -> tuple[str | None, int | None]:
    """Return why the ledger cannot be read, and when its newest row began."""
    try:
        with LedgerReader(path) as reader:
            row = next(reader.newest(Filter(), 1), None)
    except (LedgerMissing, LedgerUnreadable):
        return None, None  # serve makes it; rights are looked at below
    except LedgerOpenError as error:
        return str(error), None
    return None, None if row is None else row["started_at"]


def _cannot_write(path: Path) -> str | None:
    """Return why a gateway could not write there. SQLite and the lock need the directory, too."""
    folder = path.resolve().parent
    for place in (folder, path):
        try:
            place.stat()
        except PermissionError:
            return f"{place}: permission denied"
        except OSError:
            if place is folder:
                return f"there is no directory {folder}"
            continue
        if not os.access(place, os.W_OK):
            return f"{place} is not writable for this user"
    return None


def _free_bytes(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path.resolve().parent).free
    except OSError:
        return None
