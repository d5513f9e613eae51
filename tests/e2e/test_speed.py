"""What a frame costs, measured by the bench as a user would: CPU beside nginx, system calls a frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from streamgauge.tools.bench.profiles import Profile
from streamgauge.tools.bench.results import results
from streamgauge.tools.bench.rounds import measure
from streamgauge.tools.bench.system_calls import count_system_calls
from streamgauge.tools.bench.targets import target

MOST_CPU = 2.5
"""Times nginx. The figure to reach is 1.8; the gate leaves room for a busy machine."""
MOST_CALLS = 3.2
"""One wait, one read, one write, and room for the ticks of a clock and of the ledger's thread."""
MOST_EVENTS_PER_READ = 1.5
"""A round in which the machine made bursts of them does not count: they are cheaper than events are."""
LOAD = Profile("paced", streams=200, events=120, gap_ns=20_000_000)
"""The bench's paced profile, with fewer events."""
ROUNDS = 5


@pytest.mark.timeout(120)  # five rounds, each of some ten seconds on a busy machine
@pytest.mark.asyncio
async def test_a_paced_frame_costs_little_more_cpu_than_nginx_takes(
    real_program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMGAUGE_NGINX", str(real_program("nginx")))
    targets = [target(name) for name in ("streamgauge", "nginx")]
    ratios: list[float | None] = []
    # The best round counts, since noise of the machine only ever adds; the first good one is enough.
    while len(ratios) < ROUNDS and not _has_good(ratios):
        its = results(LOAD, await measure(LOAD, targets, 1, print))
        assert [each.errors for each in its] == [0, 0]
        bursts = max(each.median["events_per_read"] or math.inf for each in its)
        ratio = its[0].median["ratio_to_nginx"] if bursts <= MOST_EVENTS_PER_READ else None
        ratios.append(ratio)
        print(f"ratio={ratio} events_per_read={bursts:.2f}")
    assert _has_good(ratios), ratios


def _has_good(ratios: list[float | None]) -> bool:
    return any(each is not None and each <= MOST_CPU for each in ratios)


@pytest.mark.asyncio
async def test_a_paced_frame_takes_one_wait_one_read_and_one_write(
    real_program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMGAUGE_STRACE", str(real_program("strace")))
    counts = []
    while len(counts) < 3 and not (counts and counts[-1].per_event <= MOST_CALLS):
        # What a busy machine adds are futex calls, of threads that wait for each other's turn.
        counts.append(await count_system_calls(target("streamgauge")))
        print(counts[-1].per_event, counts[-1].by_name)
    assert all(each.events > 1000 for each in counts)
    assert 1 < min(each.per_event for each in counts) <= MOST_CALLS
