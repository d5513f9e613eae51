"""What a process holds at an instant, as the kernel says, and how memory grows. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["HELD", "Vitals", "slope_mib", "vitals_of"]

HELD = (
    "streams",
    "tasks",
    "sockets_client",
    "sockets_upstream",
    "pool_idle",
    "registry",
    "drains",
    "ledger_queue",
    "spool",
    "holds",
    "resume_buffers",
    "resume_bytes",
)
"""What of `/admin/runtime` must be back where it was before the load."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """`runtime`: what the gateway says of itself at `/admin/runtime`, or None where it is not asked.

    `resident_mib`: resident memory in MiB. `sockets` are among the `descriptors`.
    """

    descriptors: int
    sockets: int
    threads: int
    resident_mib: float
    runtime: dict[str, Any] | None = None

    def is_within(self, other: Vitals) -> bool:
        """Whether no more is held than in `other`; memory is another matter."""
        mine, theirs = self.runtime or {}, other.runtime or {}
        grown = any(mine[name] > theirs[name] for name in HELD if name in mine)
        return not grown and self.descriptors <= other.descriptors and self.sockets <= other.sockets

    def __str__(self) -> str:
        return (
            f"descriptors={self.descriptors} sockets={self.sockets} threads={self.threads} "
            f"rss={self.resident_mib:.1f} MiB"
        )


def vitals_of(pid: int, runtime: dict[str, Any] | None = None) -> Vitals:
    """Read what process `pid` holds now."""
    links = list(_links(pid))
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    resident = int(status["VmRSS"].split()[0]) / 1024
    sockets = sum(link.startswith("socket:") for link in links)
    return Vitals(len(links), sockets, int(status["Threads"]), resident, runtime)


def _links(pid: int) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            yield os.readlink(entry)


def slope_mib(samples: Sequence[tuple[int, float]], per: int = 10_000) -> float | None:
    """Return the growth in MiB per `per` exchanges: the least squares line through the later half.

    `samples`: exchanges so far, resident MiB. The first half is warming up. None: too few samples.
    """
    later = samples[len(samples) // 2 :]
    if len(later) < 3 or later[0][0] == later[-1][0]:
        return None
    mean_x = sum(x for x, _ in later) / len(later)
    mean_y = sum(y for _, y in later) / len(later)
    over = sum((x - mean_x) * (y - mean_y) for x, y in later)
    return per * over / sum((x - mean_x) ** 2 for x, _ in later)
