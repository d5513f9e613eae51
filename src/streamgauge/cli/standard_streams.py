"""Standard streams that are closed, or that nothing more can be written to. Knows no verb."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["standard_streams"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_FINDING = 1


@contextmanager
def standard_streams() -> Iterator[None]:
    """Run a verb within. Data that cannot be written ends it with 1 and a line; a lost log does not."""
    _open_closed()
    try:
        try:
            yield
        finally:
            if not sys.stdout.closed:  # `ledger export` closes it when its reader has left
                sys.stdout.flush()
    except OSError as error:
        if error.errno not in _FULL:
            raise
        with suppress(OSError):
            print(f"Error: cannot write: {error.strerror}", file=sys.stderr, flush=True)
        raise SystemExit(_FINDING) from None
    finally:
        _give_up_unwritten()


def _open_closed() -> None:
    """Let descriptors 0 to 2 be something: else the next file opened, a ledger, would be stderr."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _give_up_unwritten() -> None:
    """What is left in a buffer would make the interpreter end with an exit code of its own, 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
