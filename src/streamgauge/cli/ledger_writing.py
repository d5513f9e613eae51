"""How a verb ends that needs the ledger for itself and cannot have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

__all__ = ["written"]


class _CannotStart(click.ClickException):
    """In use by a gateway, read-only, damaged: what keeps a gateway from starting too (SPEC §18.0)."""

    exit_code = 4


@contextmanager
def written() -> Iterator[None]:
    """Turn the ledger's errors into exit codes: 4 when it cannot be had, 1 when there is none."""
    from streamgauge.ledger.base import LedgerMissing, LedgerOpenError
    from streamgauge.ledger.new_file import FileRefused

    try:
        yield
    except (LedgerMissing, FileRefused) as error:
        raise click.ClickException(str(error)) from error
    except LedgerOpenError as error:
        raise _CannotStart(str(error)) from error
