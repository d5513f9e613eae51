"""Builds the exporters of a configuration and stops them. It knows their ledger and their names only."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from streamgauge.config.exporters import Influxdb, Otlp
from streamgauge.config.schema import Config
from streamgauge.control.plane import ExporterState
from streamgauge.ledger.base import LedgerError
from streamgauge.ledger.cursors import ClosedRows, CursorKeeper, serve_cursors
from streamgauge.ledger.upkeep import Maintain
from streamgauge.sinks.cursor import Closed, CursorSink, Destination, Note, Unavailable
from streamgauge.sinks.dead_letters import DeadLetters
from streamgauge.sinks.labels import Labels
from streamgauge.sinks.prometheus import ExchangeCounts

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["EXPORT_STOP_SECONDS", "ExportSource", "Exporters"]

EXPORT_STOP_SECONDS = 3.0
"""All of them together; what is not sent by then is sent after the next start."""

_PREFIX = "streamgauge_export_"

T = TypeVar("T")


class ExportSource:
    """Implements Source over a ledger: one exporter's columns, and its place."""

    def __init__(
        self, path: Path | str, sink: str, columns: tuple[str, ...], maintain: Maintain
    ) -> None:
        self._path = path
        self._sink = sink
        self._columns = columns
        self._keeper = CursorKeeper(sink, maintain)
        self._rows: ClosedRows | None = None

    def cursor(self) -> tuple[int, str | None]:
        """As `Source.cursor`."""
        return self._asked(lambda rows: rows.cursor(self._sink))

    def ends(self) -> tuple[int, int]:
        """As `Source.ends`."""
        return self._asked(lambda rows: rows.ends())

    def after(self, seq: int, upto: int, limit: int) -> list[Closed]:
        """As `Source.after`."""
        return self._asked(lambda rows: rows.after(seq, upto, limit))

    def keep(self, seq: int, state: str | None) -> None:
        """As `Source.keep`."""
        self._keeper.keep(seq, state)

    def close(self) -> None:
        """As `Source.close`."""
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def _asked(self, ask: Callable[[ClosedRows], T]) -> T:
        try:
            if self._rows is None:
                self._rows = ClosedRows(self._path, self._columns)
            return ask(self._rows)
        except LedgerError as error:
            raise Unavailable(f"the ledger cannot be read: {error}") from error


class Exporters:
    """What `exporters` asks for, each in a thread of its own, and `counts`, the sink of `/metrics`.

    Nothing of it holds a stream.
    """

    def __init__(self, config: Config, maintain: Maintain, note: Note) -> None:
        self._labels = labels = Labels()
        labels.serve(config)
        self.counts = ExchangeCounts(labels)
        self._sinks: list[CursorSink] = []
        wanted = config.exporters
        path = Path(config.ledger.path)
        for name, settings in (("influxdb", wanted.influxdb), ("otlp", wanted.otlp)):
            if settings is not None:
                destination, columns = _destination(settings, labels)
                source = ExportSource(path, settings.place, columns, maintain)
                letters = DeadLetters(path.with_name(f"{path.name}.{name}.dead.jsonl"))
                sink = CursorSink(
                    name,
                    source,
                    destination,
                    letters,
                    note,
                    batch=settings.batch,
                    flush_seconds=settings.flush_seconds,
                )
                self._sinks.append(sink)
        places = [each.place for each in (wanted.influxdb, wanted.otlp) if each is not None]
        maintain("exporters", partial(serve_cursors, sinks=places), None)

    def serve(self, config: Config) -> None:
        """Give the names of a configuration that took effect labels of their own."""
        self._labels.serve(config)

    def start(self) -> None:
        """Begin to export."""
        for sink in self._sinks:
            sink.start()

    def stop(self, seconds: float = EXPORT_STOP_SECONDS) -> None:
        """Send what there is, for at most `seconds`, and end. Blocks; the ledger must still run."""
        deadline = time.monotonic() + seconds
        for sink in self._sinks:
            sink.hurry()
        for sink in self._sinks:
            sink.stop(max(0.0, deadline - time.monotonic()))

    def states(self) -> list[ExporterState]:
        """Return how far each exporter is, for the admin API; from any thread."""
        return [
            ExporterState(sink.name, sink.state.behind, sink.state.reason) for sink in self._sinks
        ]

    def families(self) -> list[Metric]:
        """Return what was counted, and how far each exporter is; from any thread."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        rows = CounterMetricFamily(
            f"{_PREFIX}rows", "Rows delivered by this process.", labels=["sink"]
        )
        dead = CounterMetricFamily(
            f"{_PREFIX}dead_letters", "Rows refused for good.", labels=["sink"]
        )
        dropped = CounterMetricFamily(
            f"{_PREFIX}dropped",
            "What a destination took and threw away.",
            labels=["sink", "what"],
        )
        failures = CounterMetricFamily(
            f"{_PREFIX}failures", "Batches that had to be tried again.", labels=["sink"]
        )
        behind = GaugeMetricFamily(f"{_PREFIX}behind", "Closed rows not sent yet.", labels=["sink"])
        up = GaugeMetricFamily(
            f"{_PREFIX}up", "0 while an exporter waits for its destination.", labels=["sink"]
        )
        for sink in self._sinks:
            state, name = sink.state, [sink.name]
            rows.add_metric(name, state.delivered)
            dead.add_metric(name, state.dead)
            for what, count in state.dropped.items():
                dropped.add_metric([sink.name, what], count)
            failures.add_metric(name, state.failures)
            behind.add_metric(name, state.behind)
            up.add_metric(name, float(state.reason is None))
        return [*self.counts.families(), rows, dead, dropped, failures, behind, up]


def _destination(settings: Influxdb | Otlp, labels: Labels) -> tuple[Destination, tuple[str, ...]]:
    """Return where rows go and the columns that it needs; its library is imported only now."""
    if isinstance(settings, Influxdb):
        from streamgauge.sinks import influx

        return influx.InfluxDestination(settings, labels), influx.SOURCE_COLUMNS
    from streamgauge.sinks import otel

    return otel.OtelDestination(settings, labels), otel.SOURCE_COLUMNS
