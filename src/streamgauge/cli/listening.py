"""What is said when an address cannot be listened on, in the system's own words. Opens no socket."""

from __future__ import annotations

import os

__all__ = ["cannot_listen"]


def cannot_listen(host: str, port: int, error: OSError, purpose: str = "") -> str:
    """Return where, what for and why not; asyncio's own text says the address once more."""
    # A name's look-up has negative numbers, which are not the system's.
    known = error.errno is not None and error.errno > 0
    reason = os.strerror(error.errno) if known and error.errno else str(error)
    return f"cannot listen on {host}:{port}{purpose}: {reason}"
