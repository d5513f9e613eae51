"""From rounds to figures: medians, spreads, ratios to nginx (SPEC §18.2). Pure; measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from streamgauge.tools.bench.difference import Difference, difference
from streamgauge.tools.bench.profiles import Profile
from streamgauge.tools.bench.rounds import Round
from streamgauge.tools.bench.targets import DIRECT, NGINX

__all__ = ["FIGURES", "Result", "results"]

_MIB, _KIB = 1024 * 1024, 1024

_SYSTEM_CALLS = "syscalls_per_event"

Figure = float | None


@dataclass(frozen=True, slots=True)
class Result:
    """What one target cost under one profile: each figure's median, least and most over the rounds.

    A figure is None where it does not apply. `errors`: lost and reordered events and failed requests.
    `dearer`: by how much it passes another target, where one was named.
    """

    profile: Profile
    target: str
    median: Mapping[str, Figure]
    spread: Mapping[str, tuple[float, float] | None]
    errors: int
    lost: int
    reordered: int
    failed: int
    first_failure: str | None
    dearer: Difference | None = None

    def with_system_calls(self, per_event: Figure) -> Result:
        """Return the result with system calls an event, where its load is paced."""
        if not self.profile.paced:
            return self
        median = {**self.median, _SYSTEM_CALLS: per_event}
        return replace(self, median=MappingProxyType(median))

    @property
    def fault(self) -> str:
        """What went wrong, in one line."""
        counts = f"{self.lost} lost, {self.reordered} out of order, {self.failed} requests failed"
        reason = f": {self.first_failure}" if self.first_failure else ""
        return f"{self.profile.name}: {self.target}: {counts}{reason}"

    def as_json(self) -> dict[str, Any]:
        """Return it as `bench --json` prints it."""
        load = {
            "streams": self.profile.streams,
            "events": self.profile.events or None,
            "gap_ms": self.profile.gap_ns / 1e6 if self.profile.paced else None,
            "requests": self.profile.requests or None,
        }
        faults = {
            "errors": self.errors,
            "lost": self.lost,
            "reordered": self.reordered,
            "failed": self.failed,
            "first_failure": self.first_failure,
        }
        spread = {name: each and list(each) for name, each in self.spread.items()}
        head = {"profile": self.profile.name, "target": self.target, **load}
        dearer = None if self.dearer is None else asdict(self.dearer)
        return {**head, **self.median, **faults, "spread": spread, "dearer": dearer}


def results(profile: Profile, rounds: Sequence[Round], against: str | None = None) -> list[Result]:
    """Return a result for each target in `rounds`, in order of appearance.

    `against`: a target that the others are compared with, round by round.
    """
    by_target: dict[str, list[Round]] = {}
    for each in rounds:
        by_target.setdefault(each.target, []).append(each)
    straight = _median([each.seen[_delay(profile, 50)] for each in by_target.get(DIRECT, [])])
    figures = {
        name: [_figures(profile, each, straight) for each in its] for name, its in by_target.items()
    }
    _add_ratios(profile, figures)
    found = [_result(profile, name, its, figures[name]) for name, its in by_target.items()]
    if against is None:
        return found
    costs = {name: _costs(profile, its) for name, its in figures.items()}
    return [
        replace(each, dearer=difference(against, costs[each.target], costs[against]))
        if each.target != against
        else each
        for each in found
    ]


def _delay(profile: Profile, percent: int) -> str:
    """Return which of the client's figures is a delay: an event's, or a short request's."""
    return f"answer_p{percent}_ms" if profile.requests else f"delay_p{percent}_ms"


def _figures(profile: Profile, it: Round, straight: Figure) -> dict[str, Figure]:
    seen = it.seen
    cpu_us = None if it.cpu_seconds is None else it.cpu_seconds * 1e6
    # In a flood an event waits in the sockets' buffers: its delay says nothing of the target.
    delays = profile.paced or profile.requests > 0
    growth = None
    if profile.held and it.rss_bytes is not None and it.rss_before is not None:
        growth = (it.rss_bytes - it.rss_before) / _KIB / profile.streams
    return {
        "cpu_us_per_event": _per(cpu_us, seen["events"]) if profile.events else None,
        "cpu_us_per_request": _per(cpu_us, seen["requests"]) if profile.requests else None,
        "added_p50_ms": _less(seen[_delay(profile, 50)], straight) if delays else None,
        "added_p99_ms": _less(seen[_delay(profile, 99)], straight) if delays else None,
        "ttft_ms": seen["answer_p50_ms"] if profile.events else None,
        "rss_mib": None if it.rss_bytes is None else it.rss_bytes / _MIB,
        "kib_per_stream": growth,
        "events_per_read": _per(seen["events"], seen["reads"]) if profile.events else None,
        "per_second": _per(seen["events"] or seen["requests"], seen["elapsed_s"]),
    }


FIGURES = (
    "cpu_us_per_event",
    "cpu_us_per_request",
    "ratio_to_nginx",
    "added_p50_ms",
    "added_p99_ms",
    "ttft_ms",
    "rss_mib",
    "kib_per_stream",
    "events_per_read",
    "per_second",
)
"""What is measured in each round; None where it does not apply."""


def _add_ratios(profile: Profile, figures: Mapping[str, Sequence[dict[str, Figure]]]) -> None:
    """Set each round's ratio to nginx' of the same round: neighbours in time saw the same machine."""
    yardstick = _costs(profile, figures.get(NGINX, []))
    for its in figures.values():
        for number, (each, cost) in enumerate(zip(its, _costs(profile, its), strict=True)):
            whole = yardstick[number] if number < len(yardstick) else None
            each["ratio_to_nginx"] = _per(cost, whole)


def _costs(profile: Profile, its: Sequence[Mapping[str, Figure]]) -> list[Figure]:
    """Return what rounds cost, in the figure that a profile is for."""
    cost = "cpu_us_per_request" if profile.requests else "cpu_us_per_event"
    return [each["kib_per_stream" if profile.held else cost] for each in its]


def _result(
    profile: Profile, name: str, rounds: Sequence[Round], figures: Sequence[Mapping[str, Figure]]
) -> Result:
    def total(key: str) -> int:
        return sum(each.seen[key] for each in rounds)

    columns = {key: [each[key] for each in figures] for key in FIGURES}
    failures = (each.seen["first_failure"] for each in rounds)
    return Result(
        profile,
        name,
        MappingProxyType(
            {_SYSTEM_CALLS: None} | {key: _median(values) for key, values in columns.items()}
        ),
        MappingProxyType({key: _spread(values) for key, values in columns.items()}),
        total("lost") + total("reordered") + total("failed"),
        total("lost"),
        total("reordered"),
        total("failed"),
        next((why for why in failures if why is not None), None),
    )


def _known(values: Sequence[Figure]) -> list[float]:
    return [value for value in values if value is not None]


def _median(values: Sequence[Figure]) -> Figure:
    return statistics.median(known) if (known := _known(values)) else None


def _spread(values: Sequence[Figure]) -> tuple[float, float] | None:
    return (min(known), max(known)) if (known := _known(values)) else None


def _per(amount: Figure, count: Figure) -> Figure:
    return None if amount is None or not count else amount / count


def _less(amount: Figure, other: Figure) -> Figure:
    return None if amount is None or other is None else amount - other
