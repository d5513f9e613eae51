"""How many sockets the process may have: its descriptors are shared out before they run out (F47)."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from typing import Final, Self

__all__ = ["DescriptorBudget", "raise_limit"]

_RESERVE: Final = 64
"""Descriptors kept for what is no socket of ours: files of the ledger, a resolver, the admin."""
_UNLIMITED: Final = 1 << 20
_TABLE = "/proc/self/fd"
_USUAL = 32


@dataclass(frozen=True, slots=True)
class DescriptorBudget:
    """`room`: sockets, client and upstream together, up to which all is well.

    `spare`: sockets beyond that for newcomers who ask for no stream, such as a health check.
    """

    room: int
    spare: int

    @classmethod
    def of_process(cls) -> Self:
        """Return the budget under the limit in force, less what is open now."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY or limit > _UNLIMITED:
            limit = _UNLIMITED
        reserve = min(_RESERVE, limit // 8)
        return cls(room=max(2, limit - _open_now() - reserve), spare=reserve // 2)


def raise_limit() -> int | None:
    """Raise the soft limit on descriptors to the hard one; return it, None if it is unlimited.

    Where the system refuses, the limit stays as it was.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # macOS takes no «unlimited» for a soft limit
            hard = soft
    return None if hard == resource.RLIM_INFINITY else hard


def _open_now() -> int:
    try:
        return len(os.listdir(_TABLE))
    except OSError:  # no such table: not Linux
        return _USUAL
