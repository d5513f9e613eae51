"""Writes the gateway's numbers as Prometheus reads them (SPEC §16.1). It counts nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streamgauge import __version__
from streamgauge.control.plane import Vitals
from streamgauge.core.routing.breaker import Circuit, Condition
from streamgauge.gateway.runtime import Runtime

__all__ = ["Exposition", "exposition"]

_PREFIX = "streamgauge_"
_CIRCUITS: Mapping[Circuit, float] = {Circuit.CLOSED: 0, Circuit.HALF_OPEN: 1, Circuit.OPEN: 2}
_HEALTHS: Mapping[Condition, float] = {
    Condition.OK: 0,
    Condition.DEGRADED: 1,
    Condition.UNHEALTHY: 2,
}
"""States as numbers, the better the lower, so that an alert can compare them."""


@dataclass(frozen=True, slots=True)
class Exposition:
    """A page of metrics and the content type it is in."""

    content_type: str
    body: bytes


def exposition(vitals: Vitals, runtime: Runtime | None, accept: str) -> Exposition:
    """Return the page in the best format that `accept` takes: OpenMetrics, or the older text.

    `runtime` None: the data loop does not answer, and its gauges are left out, not guessed.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Families(vitals, runtime))
    encode, content_type = choose_encoder(accept)
    return Exposition(content_type, encode(registry))


class _Families(Collector):
    """One scrape's numbers as metric families."""

    def __init__(self, vitals: Vitals, runtime: Runtime | None) -> None:
        self._vitals = vitals
        self._runtime = runtime

    def collect(self) -> Iterator[Metric]:
        """Yield every family, in the order of the page."""
        yield _labelled_gauge(
            "build_info", "Version of the gateway.", ["version"], [([__version__], 1)]
        )
        yield _gauge("data_loop_up", "1 while the data loop answers.", self._runtime is not None)
        if self._runtime is not None:
            yield from _of_runtime(self._runtime)
        yield from _of_exchanges(self._vitals)
        yield from self._vitals.families
        yield from _of_ledger(self._vitals)
        yield from _of_config(self._vitals)


def _of_runtime(now: Runtime) -> Iterator[Metric]:
    yield _gauge("streams", "Exchanges in progress.", now.streams)
    yield _gauge("drains", "Streams read on after their client left.", now.drains)
    yield _gauge("client_sockets", "Client connections.", now.sockets_client)
    yield _gauge("upstream_sockets", "Upstream connections, idle ones too.", now.sockets_upstream)
    yield _gauge("upstream_sockets_idle", "Upstream connections kept idle.", now.pool_idle)
    yield _gauge("tasks", "Tasks of the data loop.", now.tasks)
    lag = now.loop_lag_ms / 1000
    yield _gauge("loop_lag_seconds", "Worst lateness of the data loop of late.", lag)
    yield _counter("parsed_frames", "Frames read by the meter.", now.parsed_frames)
    states = now.upstreams.items()
    circuits = [([name], _CIRCUITS[state.circuit]) for name, state in states]
    what = "0 while the circuit is closed, 1 half-open, 2 open."
    yield _labelled_gauge("upstream_circuit", what, ["upstream"], circuits)
    healths = [([name], _HEALTHS[state.health]) for name, state in states]
    what = "0 while the upstream is ok, 1 degraded, 2 unhealthy."
    yield _labelled_gauge("upstream_health", what, ["upstream"], healths)


def _of_exchanges(vitals: Vitals) -> Iterator[Metric]:
    yield _labelled_counter(
        "requests",
        "Exchanges that have ended, one a row of the ledger.",
        ["status", "dialect", "upstream"],
        [(list(labels), count) for labels, count in vitals.exchanges.items()],
    )
    yield _labelled_counter(
        "unrecorded_refusals",
        "Requests refused without a row: broken HTTP, unknown paths.",
        ["code"],
        [([code], count) for code, count in vitals.unrecorded.items()],
    )
    usable = [([name], float(is_usable)) for name, is_usable in vitals.upstreams.items()]
    what = "0 after a call or probe that failed, until one succeeds."
    yield _labelled_gauge("upstream_usable", what, ["upstream"], usable)
    drained = [([name], float(name in vitals.drained)) for name in vitals.upstreams]
    what = "1 while an admin lets no new call begin there."
    yield _labelled_gauge("upstream_drained", what, ["upstream"], drained)
    yield _gauge("stopping", "1 while the gateway drains.", vitals.stopping)


_LEDGER_COUNTERS = {
    "commits": "Commits.",
    "rows": "Rows written or closed.",
    "failures": "Commits that failed.",
    "refused": "Records that could not be stored.",
    "lost_inserts": "Refused requests whose row was given up.",
    "turned_away": "Requests refused because the queue was full.",
    "spooled": "Operations committed in the spool.",
    "replayed": "Operations brought from the spool into the database.",
    "maintenance_failures": "Pieces of maintenance that failed.",
}
"""Fields of LedgerStats and what they count."""


def _of_ledger(vitals: Vitals) -> Iterator[Metric]:
    stats = vitals.ledger
    yield _gauge("ledger_healthy", "1 while rows can be committed.", vitals.ledger_healthy)
    yield _gauge("ledger_queue", "Operations not yet committed.", stats.queued)
    yield _gauge("ledger_kept", "Operations waiting for the disk to return.", stats.kept)
    yield _gauge("spool_bytes", "Bytes in the spool.", stats.spool_bytes)
    for name, what in _LEDGER_COUNTERS.items():
        yield _counter(f"ledger_{name}", what, getattr(stats, name))


def _of_config(vitals: Vitals) -> Iterator[Metric]:
    config = vitals.config
    version = [([config.version], 1.0)]
    yield _labelled_gauge("config_info", "The configuration in use.", ["version"], version)
    yield _gauge(
        "config_stale", "1 while a newer configuration was refused.", config.error is not None
    )
    yield _labelled_counter(
        "config_reloads",
        "Reloads: applied, unchanged, refused.",
        ["result"],
        [([result], count) for result, count in vitals.reloads.items()],
    )


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, what, value=float(value))


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(_PREFIX + name, what, value=float(value))


def _labelled_gauge(
    name: str, what: str, labels: list[str], samples: Iterable[tuple[list[str], float]]
) -> Metric:
    family = GaugeMetricFamily(_PREFIX + name, what, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _labelled_counter(
    name: str, what: str, labels: list[str], samples: Iterable[tuple[list[str], float]]
) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, what, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
