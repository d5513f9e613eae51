"""Runs rounds of a profile against targets in turn and reads what each cost. Prints nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from streamgauge.tools.bench.load import loading
from streamgauge.tools.bench.processes import (
    Running,
    last_words,
    running,
    sockets_allowed,
    upstream_process,
)
from streamgauge.tools.bench.procfs import Tree, tree_of
from streamgauge.tools.bench.profiles import Profile
from streamgauge.tools.bench.targets import Target, TargetFailed

__all__ = ["Round", "Say", "measure", "warm_up"]

Say = Callable[[str], None]
"""Takes a line of progress."""
_WARM_UPS = (
    Profile("warm-up", streams=8, requests=200),
    Profile("warm-up", streams=16, events=4),
)
"""Before a target's first round: imports, connections, caches, an interpreter that learns what is hot."""
_SAMPLE_SECONDS = 0.5
"""Between looks at the target's memory: each look reads all of /proc, which is not free."""
_SETTLE_SECONDS, _SETTLE_SAMPLES = 0.1, 20
_STILL = 0.001


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one target. `cpu_seconds`, `rss_bytes`: of the whole process tree, None without one.

    `seen`: the figures that the load client printed. `rss_before`: before the load.
    """

    target: str
    seen: dict[str, Any]
    cpu_seconds: float | None
    rss_before: int | None
    rss_bytes: int | None


async def measure(
    profile: Profile, targets: Sequence[Target], rounds: int, say: Say, *, anew: bool = False
) -> list[Round]:
    """Run `rounds` rounds of each target, in turn. Raises BadTarget, TargetFailed, NotLinux.

    One after the other, so that a machine that gets busier does so for all; each round begins with
    another one, so that none always follows the same. `anew`: every round has processes of its own.
    Where one lies in memory makes it up to 3 % dearer or cheaper for all its life.
    """
    anew = anew or profile.held
    found: list[Round] = []
    async with AsyncExitStack() as stack:
        stack.enter_context(sockets_allowed(profile.streams))
        port = await stack.enter_async_context(upstream_process(profile))
        kept: dict[str, Running] = {}
        if not anew:
            for target in targets:
                kept[target.name] = await stack.enter_async_context(running(target, port))
                await warm_up(kept[target.name])
        for number in range(1, rounds + 1):
            first = (number - 1) % len(targets)
            for target in (*targets[first:], *targets[:first]):
                say(f"{profile.name}: round {number} of {rounds}: {target.name}")
                if anew:
                    async with running(target, port) as fresh:
                        await warm_up(fresh)
                        found.append(await _round(profile, fresh))
                else:
                    found.append(await _round(profile, kept[target.name]))
    return found


async def warm_up(it: Running) -> None:
    """Make a target's first requests. Raises TargetFailed when they fail: it is not set up right."""
    if it.pid is None:
        return
    for profile in _WARM_UPS:
        async with loading(profile, it) as load:
            seen = await load.figures()
        if seen["failed"]:
            raise TargetFailed(f"{it.target.name}: a first request failed: {seen['first_failure']}")


async def _round(profile: Profile, it: Running) -> Round:
    name = it.target.name
    async with loading(profile, it) as load:
        if it.pid is None:
            return Round(name, await load.figures(), None, None, None)
        before = _tree(it, it.pid)
        ending = asyncio.create_task(load.figures(), name="load")
        highest = before.rss_bytes
        while not ending.done():
            await asyncio.wait({ending}, timeout=_SAMPLE_SECONDS)
            highest = max(highest, _tree(it, it.pid).rss_bytes)
        after = await _settled(it, it.pid)
        cpu = after.cpu_seconds - before.cpu_seconds
        return Round(name, ending.result(), cpu, before.rss_bytes, highest)


def _tree(it: Running, pid: int) -> Tree:
    """Return the target's processes. Raises TargetFailed when it has ended: its figures would be lies."""
    tree = tree_of(pid)
    if pid not in tree.pids:
        said = "" if it.log is None else last_words(it.log)
        raise TargetFailed(f"{it.target.name}: it ended during a round{said}")
    return tree


async def _settled(it: Running, pid: int) -> Tree:
    """Return the tree once its CPU time stands still: what it does after a stream is its cost, too."""
    last = _tree(it, pid)
    for _ in range(_SETTLE_SAMPLES):
        await asyncio.sleep(_SETTLE_SECONDS)
        now = _tree(it, pid)
        stands = now.cpu_seconds - last.cpu_seconds < _STILL
        last = now
        if stands:
            break
    return last
