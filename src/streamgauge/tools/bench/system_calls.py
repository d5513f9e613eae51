"""Counts a target's system calls per event with strace. Measures no time: a traced process is slow."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from streamgauge.tools.bench.load import Count, loading
from streamgauge.tools.bench.processes import running, upstream_process
from streamgauge.tools.bench.profiles import Profile
from streamgauge.tools.bench.rounds import warm_up
from streamgauge.tools.bench.targets import BadTarget, Target

__all__ = ["SystemCalls", "count_system_calls", "tally"]

_TRACED = Profile("traced", streams=30, events=100, gap_ns=20_000_000)
"""1 500 events a second: slow enough that a traced target still takes them one by one."""
_SHARE = 0.8
"""Of the events, until the count ends: the ends of streams are not what a frame costs."""
_ASK_SECONDS = 0.1
_LINE = re.compile(r"(?:\d+ +)?(\d+\.\d+) (\w+)\(")
"""`PID SECONDS NAME(`; a call's second half, `<... NAME resumed>`, does not match."""


@dataclass(frozen=True, slots=True)
class SystemCalls:
    """Calls of all the target's threads while `events` came, by name."""

    events: int
    by_name: Mapping[str, int]

    @property
    def per_event(self) -> float:
        """Calls for each event."""
        return sum(self.by_name.values()) / self.events


async def count_system_calls(target: Target) -> SystemCalls:
    """Run `target` under strace and count its calls while streams run. Raises BadTarget, TargetFailed.

    Started by strace, not attached to: where only a parent may trace, that works, too.
    """
    program = shutil.which(os.environ.get("STREAMGAUGE_STRACE", "strace"))
    if program is None:
        raise BadTarget("strace is not installed; it is what counts system calls")
    tracing = (program, "-f", "-ttt", "-s", "0", "-e", "signal=none", "-o", "{folder}/calls")
    traced = replace(target, command=(*tracing, *target.command))
    async with upstream_process(_TRACED) as port, running(traced, port) as it:
        await warm_up(it)
        async with loading(_TRACED, it) as load:
            await load.opened()
            first = last = await load.count()
            while last.events < _SHARE * _TRACED.streams * _TRACED.events:
                await asyncio.sleep(_ASK_SECONDS)
                last = await load.count()
            await load.figures()
        assert it.log is not None
        calls = it.log.with_name("calls")
        return tally(_lines(calls), first, last)


def _lines(file: Path) -> list[str]:
    return file.read_text(errors="replace").splitlines()


def tally(lines: Iterable[str], first: Count, last: Count) -> SystemCalls:
    """Return the calls that began between two counts, from strace's lines with -f -ttt."""
    found = (match for line in lines if (match := _LINE.match(line)))
    names = Counter(
        name for at, name in (m.groups() for m in found) if first.at <= float(at) < last.at
    )
    return SystemCalls(last.events - first.events, dict(names))
