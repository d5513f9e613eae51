"""The loads of the bench and how they are made smaller (SPEC §18.2). Knows no target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

__all__ = ["PROFILES", "Profile"]

_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Profile:
    """One load. `streams` are open at once; each gets `events`, one every `gap_ns` (0: as fast as can be).

    `requests`: short requests over `streams` connections instead; `events` is 0 then.
    `held`: a target is started anew for each round, and memory is the figure.
    """

    name: str
    streams: int
    events: int = 0
    gap_ns: int = 0
    requests: int = 0
    held: bool = False

    @property
    def paced(self) -> bool:
        """Whether events come on a schedule, so that a delay is the target's."""
        return self.gap_ns > 0

    @property
    def seconds(self) -> float:
        """How long a round takes at least."""
        return self.events * self.gap_ns / 1e9

    def scaled(self, share: float) -> Profile:
        """Return a load with `share` of the streams (or requests) and the same pace."""
        if self.requests:
            return replace(self, requests=max(self.streams, round(self.requests * share)))
        return replace(self, streams=max(1, round(self.streams * share)))

    def changed(
        self, streams: int | None = None, gap_ms: float | None = None, events: int | None = None
    ) -> Profile:
        """Return the load with what is given in place of its own. Gaps only where there are some."""
        at_once = self.streams if streams is None else streams
        return replace(
            self,
            streams=at_once,
            requests=max(self.requests, at_once) if self.requests else 0,
            gap_ns=self.gap_ns if gap_ms is None or not self.paced else round(gap_ms * _MS),
            events=self.events if events is None or not self.events else events,
        )


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("paced", streams=200, events=200, gap_ns=20 * _MS),
            Profile("paced-tenth", streams=200, events=40, gap_ns=200 * _MS),
            Profile("flood", streams=50, events=2000),
            Profile("short", streams=32, requests=4000),
            Profile("idle", streams=1000, events=10, gap_ns=500 * _MS, held=True),
        )
    }
)
