"""What Linux says of a process tree and of the machine: CPU time, memory. Starts and ends nothing."""

from __future__ import annotations

import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Machine", "NotLinux", "Tree", "machine", "tree_of"]

_PROC = Path("/proc")
_SCHEDULED = 2
"""CPUCLOCK_SCHED of Linux: the time a process was on a CPU."""
_STATE, _PARENT, _SESSION, _OF_ENDED_CHILDREN, _RESIDENT = 0, 1, 3, slice(13, 15), 21
"""Places in /proc/PID/stat counted from the state, proc(5): ppid, session, cutime and cstime, rss."""
_ENDED = frozenset({"Z", "X"})


class NotLinux(Exception):
    """The bench reads /proc, which this machine has not."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A process with all its children. CPU in seconds, user and system, of those that ended too.

    `pids`: those that live.
    """

    pids: frozenset[int]
    cpu_seconds: float
    rss_bytes: int


def tree_of(root: int) -> Tree:
    """Return what `root`, its session and its descendants have used. Raises NotLinux.

    `root` leads a session of its own, so that children whose parent has ended are found, too.
    """
    found: dict[int, list[str]] = {}
    for pid in _pids():
        fields = _stat(pid)
        if fields is not None:
            found[pid] = fields
    family = {pid for pid, fields in found.items() if int(fields[_SESSION]) == root} | {root}
    grown = True
    while grown:
        more = {pid for pid, fields in found.items() if int(fields[_PARENT]) in family} - family
        family |= more
        grown = bool(more)
    family &= found.keys()
    ticks = sum(int(field) for pid in family for field in found[pid][_OF_ENDED_CHILDREN])
    pages = sum(int(found[pid][_RESIDENT]) for pid in family)
    cpu = sum(_cpu_seconds(pid) for pid in family) + ticks / os.sysconf("SC_CLK_TCK")
    living = frozenset(pid for pid in family if found[pid][_STATE] not in _ENDED)
    return Tree(living, cpu, pages * os.sysconf("SC_PAGE_SIZE"))


def _cpu_seconds(pid: int) -> float:
    """Return user and system time of all its threads, those that ended too.

    Its CPU clock counts ns; /proc/PID/stat counts 10 ms, half of what nginx takes for 1 000 events.
    """
    clock = (~pid << 3) | _SCHEDULED  # clock_getcpuclockid(3)
    try:
        return time.clock_gettime(clock)
    except OSError:  # it ended meanwhile: its parent counts it from now on
        return 0.0


def _pids() -> list[int]:
    if not sys.platform.startswith("linux"):
        raise NotLinux("bench reads CPU time from /proc, which only Linux has")
    return [int(entry) for entry in os.listdir(_PROC) if entry.isdigit()]


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return None
    return text.rpartition(")")[2].split()  # the name before it may hold spaces


@dataclass(frozen=True, slots=True)
class Machine:
    """Where figures were measured: without it they mean nothing."""

    cores: int
    cpu: str
    kernel: str
    python: str


def machine() -> Machine:
    """Return the facts of this machine."""
    return Machine(
        len(os.sched_getaffinity(0)), _cpu_name(), platform.release(), platform.python_version()
    )


def _cpu_name() -> str:
    lines = (_PROC / "cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
