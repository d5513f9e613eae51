"""Counts exchanges for `/metrics`, from the record as every sink (SPEC §16.3). Writes no page."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from streamgauge.core.record import Anomaly, ExchangeRecord
from streamgauge.sinks.labels import Labels

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["ExchangeCounts"]

_PREFIX = "streamgauge_"
_WAITS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_GAPS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of buckets in seconds: 300 s is the first-token deadline's default, 1 s a stall."""

_HISTOGRAMS: Mapping[str, tuple[str, str, tuple[float, ...]]] = {
    "ttft_ms": ("ttft_seconds", "From the request to the first content of a stream.", _WAITS),
    "stream_duration_ms": ("stream_duration_seconds", "From the request to the end.", _WAITS),
    "gap_p50_ms": ("gap_p50_seconds", "Median gap between content frames of a stream.", _GAPS),
    "gap_p95_ms": ("gap_p95_seconds", "95th percentile of the gaps of a stream.", _GAPS),
    "gap_max_ms": ("gap_max_seconds", "Longest gap of a stream.", _GAPS),
}
_INPUT_COUNTS = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
_OUTPUT_COUNTS = ("output_tokens", "reasoning_tokens")
_TOKENS: Mapping[str, str] = {
    "input_tokens": "Tokens read by models, those from caches included.",
    "cache_read_tokens": "The part of the input that came from a cache.",
    "cache_write_tokens": "The part of the input that was written to a cache.",
    "output_tokens": "Tokens written by models, reasoning included.",
    "reasoning_tokens": "The part of the output that was reasoning.",
}
_SUMS: Mapping[str, str] = {
    "attempts": "Tries at upstreams.",
    "stalls": "Gaps of more than a second between content frames.",
    "bytes_in": "Bytes of answers read from upstreams.",
    "bytes_out": "Bytes of answers written to clients.",
}
"""Columns of the record (SPEC §8.3) and what their sums are; a label is `_BY`'s."""

_BY = ("upstream", "model", "dialect")
_ANOMALIES = frozenset(anomaly.value for anomaly in Anomaly)

_times_of = attrgetter(*_HISTOGRAMS)
_sums_of = attrgetter(*_SUMS, *_OUTPUT_COUNTS, *_INPUT_COUNTS)
_models_of = attrgetter("upstream_model", "response_model", "requested_model")
_names_of = attrgetter("upstream", "dialect", "usage_source", "input_source")

Values = tuple[str, ...]
_Cell = list[int]
"""One sum, alone in its list: found once and then added to in place."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The labels of one combination, of which there are as many as the configuration allows.

    `sums`: column and labels of each of `_sums_of`. Counts of different sources never meet in one
    sum (SPEC §6.3). `exact`: both are the provider's. `cells`: those of `sums` that have had a
    value; what never had one is not told.
    """

    upstream: str
    dialect: str
    by: Values
    sums: tuple[tuple[str, Values], ...]
    cells: list[_Cell | None]
    exact: str


class _Buckets:
    """One histogram: counts a bucket, the last one open, and the sum in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self, size: int) -> None:
        self.counts = [0] * size
        self.total = 0.0


class ExchangeCounts:
    """Implements Sink. Labels are closed lists and configured names, else `other` (FAULTS S21).

    Written by one thread; the counts may be read by any. Unknown numbers are in no sum.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._edition = labels.edition
        self._places: dict[tuple[str | None, ...], _Place] = {}
        self._counts: Counter[Values] = Counter()
        self._sums: dict[str, dict[Values, _Cell]] = {column: {} for column in _shapes()}
        self._histograms: dict[tuple[str, Values], _Buckets] = {}
        self._reading = threading.Lock()

    def started(self, record: ExchangeRecord) -> None:
        """What runs is a gauge, and the gateway's own."""

    def write(self, record: ExchangeRecord) -> None:
        """Count an exchange that has ended."""
        place = self._place(self._labels.model(*_models_of(record)), _names_of(record))
        cells = place.cells
        with self._reading:
            self._counts[str.__str__(record.status), place.dialect, place.upstream] += 1
            for i, value in enumerate(_sums_of(record)):
                if value is not None:
                    cell = cells[i]
                    if cell is None:
                        cell = cells[i] = self._cell(*place.sums[i])
                    cell[0] += value
            for column, value in zip(_HISTOGRAMS, _times_of(record), strict=True):
                if value is not None:
                    self._observe(column, place.by, value)
            if record.cost_nano is not None:
                currency = self._labels.currency(record.currency)
                by = (*place.by, currency, place.exact)
                self._cell("cost_nano", by)[0] += record.cost_nano
            for anomaly in record.anomalies:
                if anomaly in _ANOMALIES:
                    self._cell("anomalies", (anomaly, place.upstream))[0] += 1

    def counts(self) -> Mapping[tuple[str, str, str], int]:
        """Return the exchanges by (status, dialect, upstream); `none` is one that had none."""
        with self._reading:
            return {(a, b, c): count for (a, b, c), count in self._counts.items()}

    def families(self) -> list[Metric]:
        """Return everything but `counts` as metric families, all of one instant."""
        with self._reading:
            sums = {
                column: {by: cell[0] for by, cell in cells.items()}
                for column, cells in self._sums.items()
            }
            histograms = {
                key: (list(found.counts), found.total) for key, found in self._histograms.items()
            }
        return [*_histogram_families(histograms), *_sum_families(sums)]

    def _place(self, model: str, names: tuple[str | None, ...]) -> _Place:
        if self._edition != self._labels.edition:
            self._edition = self._labels.edition
            self._places = {}
        place = self._places.get((model, *names))
        if place is None:
            place = self._places[model, *names] = _place_of(self._labels, model, *names)
        return place

    def _cell(self, column: str, by: Values) -> _Cell:
        return self._sums[column].setdefault(by, [0])

    def _observe(self, column: str, by: Values, milliseconds: float) -> None:
        bounds = _HISTOGRAMS[column][2]
        found = self._histograms.get((column, by))
        if found is None:
            found = self._histograms[column, by] = _Buckets(len(bounds) + 1)
        seconds = milliseconds / 1000
        found.counts[bisect_left(bounds, seconds)] += 1
        found.total += seconds


def _place_of(
    labels: Labels,
    model: str,
    upstream: str | None,
    dialect: str | None,
    usage_source: str | None,
    input_source: str | None,
) -> _Place:
    by = (labels.upstream(upstream), model, labels.dialect(dialect))
    output, read = labels.source(usage_source), labels.source(input_source)
    sums: list[tuple[str, Values]] = [(column, by) for column in _SUMS]
    sums += [(column, (*by, output)) for column in _OUTPUT_COUNTS]
    sums += [(column, (*by, read)) for column in _INPUT_COUNTS]
    exact = "true" if output == read == "provider" else "false"
    return _Place(by[0], by[2], by, tuple(sums), [None] * len(sums), exact)


def _histogram_families(
    histograms: Mapping[tuple[str, Values], tuple[list[int], float]],
) -> Iterator[Metric]:
    from prometheus_client.core import HistogramMetricFamily

    for column, (name, what, bounds) in _HISTOGRAMS.items():
        family = HistogramMetricFamily(_PREFIX + name, what, labels=_BY)
        for (of, by), (counts, total) in histograms.items():
            if of == column:
                family.add_metric(by, _cumulated(bounds, counts), total)
        yield family


def _cumulated(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    below = 0
    found: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        below += count
        found.append((bound, below))
    return found


def _shapes() -> dict[str, tuple[str, Values]]:
    """Return each column that is added up, what its sum is, and its labels' names."""
    by = (*_BY, "source")
    shapes: dict[str, tuple[str, Values]] = {column: (what, by) for column, what in _TOKENS.items()}
    shapes |= {column: (what, _BY) for column, what in _SUMS.items()}
    shapes["cost_nano"] = ("Cost in nano-units of a currency.", (*_BY, "currency", "exact"))
    shapes["anomalies"] = ("Oddities noted on rows.", ("anomaly", "upstream"))
    return shapes


def _sum_families(sums: Mapping[str, Mapping[Values, int]]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    for column, (what, labels) in _shapes().items():
        family = CounterMetricFamily(_PREFIX + column, what, labels=labels)
        for by, total in sums[column].items():
            family.add_metric(by, total)
        yield family
