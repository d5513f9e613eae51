"""What is said when an address cannot be listened on, in the system's own words. Opens no socket."""

from __future__ import annotations

import errno
import os
import socket

__all__ = ["cannot_listen", "key_at_fault"]

_OF_THE_ADDRESS = frozenset(
    {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL, errno.ENODEV, errno.ENXIO}
)
"""This machine has no such address, or none of that kind: another port would not help."""


def cannot_listen(host: str, port: int, error: OSError, purpose: str = "") -> str:
    """Return where, what for and why not; asyncio's own text says the address once more."""
    # A name's look-up has negative numbers, which are not the system's.
    known = error.errno is not None and error.errno > 0
    reason = os.strerror(error.errno) if known and error.errno else str(error)
    return f"cannot listen on {host}:{port}{purpose}: {reason}"


def key_at_fault(error: OSError) -> str:
    """Return which setting of a listener another value may help: `host` or `port`."""
    unknown = isinstance(error, socket.gaierror)
    return "host" if unknown or error.errno in _OF_THE_ADDRESS else "port"
