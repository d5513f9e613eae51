"""What a destination took and then threw away: counted, and told once a reason. Knows no protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Dropped", "Drops"]


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a destination took and threw away in part: `count` of `what`, 0 with a mere remark.

    It does not say which, and asks not to be sent them again.
    """

    what: str
    count: int
    reason: str


class Drops:
    """The counts of one exporter, replaced and never changed, so that any thread may read them."""

    def __init__(self, sink: str, note: Callable[[str, str, list[tuple[str, str]]], None]) -> None:
        """`note` takes a log line: level, event, fields."""
        self.counts: Mapping[str, int] = {}
        self._sink = sink
        self._note = note
        self._told: dict[str, str] = {}

    def note(self, dropped: Iterable[Dropped]) -> None:
        """Count it; log what is not what was said last. A receiver says it of every batch."""
        for each in dropped:
            what, count = each.what, each.count
            self.counts = {**self.counts, what: self.counts.get(what, 0) + count}
            if self._told.get(what) != each.reason:
                self._told[what] = each.reason
                fields = [("sink", self._sink), ("what", what), ("count", str(count))]
                self._note("warning", "export_dropped", [*fields, ("reason", each.reason)])
