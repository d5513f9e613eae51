"""Counts exchanges for `/metrics`, from the record as every sink (SPEC §16.3). Writes no page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from streamgauge.core.record import ExchangeRecord

__all__ = ["NONE", "OTHER", "ExchangeCounts"]

NONE, OTHER = "none", "other"
_DIALECTS = frozenset({"openai", "anthropic", "ollama", "simple", "frames"})
_MAX_UPSTREAMS = 200
"""Names that were ever configured: a gateway that is reloaded for years must not grow."""

Labels = tuple[str, str, str]


class ExchangeCounts:
    """Implements Sink. Labels are closed lists and configured names, else `other` (FAULTS S21).

    Written by one thread; the counts may be read by any.
    """

    def __init__(self, upstreams: Collection[str] = ()) -> None:
        self._counts: Counter[Labels] = Counter()
        self._upstreams: set[str] = set()
        self.serve(upstreams)

    def serve(self, upstreams: Collection[str]) -> None:
        """Give these upstreams labels of their own; earlier ones keep theirs."""
        for name in upstreams:
            if len(self._upstreams) < _MAX_UPSTREAMS:
                self._upstreams.add(name)

    def started(self, record: ExchangeRecord) -> None:
        """What runs is a gauge, and the gateway's own."""

    def write(self, record: ExchangeRecord) -> None:
        """Count an exchange that has ended."""
        dialect = _one_of(record.dialect, _DIALECTS)
        upstream = _one_of(record.upstream, self._upstreams)
        self._counts[record.status.value, dialect, upstream] += 1

    def counts(self) -> Mapping[Labels, int]:
        """Return the exchanges by (status, dialect, upstream); `none` is one that had none."""
        return dict(self._counts)


def _one_of(value: str | None, known: Collection[str]) -> str:
    if value is None:
        return NONE
    return value if value in known else OTHER
