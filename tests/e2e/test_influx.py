"""The InfluxDB exporter against a fake: paths, credentials, outages, refusals (F18, F19)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamgauge.cli.exporters import Exporters
from streamgauge.config.exporters import Exporters as Wanted
from streamgauge.config.exporters import Influxdb, Otlp
from streamgauge.config.schema import Config, Ledger
from streamgauge.ledger.schema import open_for_writing

from ..ledger.made_ledger import add, exchanges
from .receivers import OtlpReceiver, Receiver, receiving
from .stand import until

ROWS = 60


class Exporting:
    """A ledger of closed rows and the exporters of a configuration."""

    def __init__(self, folder: Path, wanted: dict[str, Any]) -> None:
        self.path = folder / "ledger.db"
        self.connection = open_for_writing(self.path)
        self.connection.execute("PRAGMA synchronous = OFF")
        self.records = list(exchanges(ROWS))
        add(self.connection, iter(self.records))
        self.lines: list[tuple[str, dict[str, str]]] = []
        self._turn = threading.Lock()
        config = Config(exporters=Wanted(**wanted), ledger=Ledger(url=f"sqlite:///{self.path}"))
        self.exporters = Exporters(config, self._maintain, self._note)

    def _maintain(self, name: str, run: Callable[[Any], None], done: Any) -> None:
        with self._turn:
            self.connection.execute("BEGIN IMMEDIATE")
            run(self.connection)
            self.connection.execute("COMMIT")

    def _note(self, level: str, event: str, fields: list[tuple[str, str]]) -> None:
        self.lines.append((event, dict(fields)))

    def told(self, name: str) -> dict[str, float]:
        """Return a metric of the exporters by sink."""
        return {
            sample.labels["sink"]: sample.value
            for family in self.exporters.families()
            for sample in family.samples
            if sample.name == f"streamgauge_export_{name}"
        }


@contextmanager
def exporting(folder: Path, **wanted: Any) -> Iterator[Exporting]:
    it = Exporting(folder, wanted)
    with closing(it.connection):
        it.exporters.start()
        try:
            yield it
        finally:
            it.exporters.stop()


def ids_in(receiver: Receiver) -> list[str]:
    """Return the `id` field of each line that was taken."""
    lines = [line for each in receiver.requests for line in each.body.decode().splitlines()]
    return [line.partition(',id="')[2].partition('"')[0] for line in lines]


VERSIONS: dict[str, tuple[dict[str, Any], str, dict[str, str], str]] = {
    "1": (
        {"database": "my db", "username": "u", "password": "pa55w0rd"},
        "/write",
        {"db": "my db", "precision": "ns"},
        "Basic dTpwYTU1dzByZA==",
    ),
    "1 with a token": (
        {"database": "d", "token": "u:passw0rd"},
        "/write",
        {"db": "d", "precision": "ns"},
        "Token u:passw0rd",
    ),
    "2": (
        {"version": 2, "bucket": "b", "org": "o&o", "token": "t0ken-0123"},
        "/api/v2/write",
        {"bucket": "b", "org": "o&o", "precision": "ns"},
        "Token t0ken-0123",
    ),
    "3": (
        {"version": 3, "database": "d", "token": "t0ken-0123"},
        "/api/v3/write_lp",
        {"db": "d", "precision": "nanosecond"},
        "Bearer t0ken-0123",
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("version", VERSIONS)
async def test_each_version_is_written_to_as_it_wants(tmp_path: Path, version: str) -> None:
    settings, path, query, authorization = VERSIONS[version]
    with receiving(Receiver()) as to:
        influx = Influxdb(url=f"{to.url}/prefix/", flush_seconds=0.05, **settings)
        with exporting(tmp_path, influxdb=influx) as it:
            await until(lambda: len(ids_in(to)) >= ROWS)
    request = to.requests[0]
    assert request.path == f"/prefix{path}"
    assert request.query == query
    assert request.headers["authorization"] == authorization
    assert ids_in(to) == [record.id for record in it.records]
    line = request.body.decode().splitlines()[0]
    assert line.startswith("llm_request,dialect=")
    assert it.told("rows_total") == {"influxdb": ROWS}


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
async def test_what_may_pass_is_waited_for(tmp_path: Path, status: int) -> None:
    with receiving(Receiver()) as to:
        to.answers = [(status, b'{"error":"database not found"}')]
        influx = Influxdb(url=to.url, database="d", flush_seconds=0.05)
        with exporting(tmp_path, influxdb=influx) as it:
            await until(lambda: it.told("rows_total") == {"influxdb": ROWS})
            assert it.told("behind") == {"influxdb": 0}
    assert ids_in(to) == [record.id for record in it.records] * 2
    reason = {"sink": "influxdb", "reason": f"HTTP {status}: database not found"}
    assert ("export_waits", reason) in it.lines


class Picky(Receiver):
    """Refuses every request that holds one of `bad` rows, as InfluxDB does a conflict of types."""

    def __init__(self, bad: set[str]) -> None:
        super().__init__()
        self.bad = bad
        self.good: set[str] = set()

    def take(self, received: Any) -> tuple[int, bytes]:
        super().take(received)
        last = Receiver()
        last.requests = [received]
        if set(ids_in(last)) & self.bad:
            return 400, b'{"error":"partial write: field type conflict dropped=1"}'
        self.good |= set(ids_in(last))
        return 204, b""


@pytest.mark.asyncio
async def test_a_refused_point_goes_to_the_dead_letters_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    records = list(exchanges(ROWS))
    bad = {records[3].id, records[40].id}
    with receiving(Picky(bad)) as to:
        influx = Influxdb(url=to.url, database="d", flush_seconds=0.05)
        with exporting(tmp_path, influxdb=influx) as it:
            await until(lambda: it.told("dead_letters_total") == {"influxdb": 2})
            assert it.told("up") == {"influxdb": 1}
        assert isinstance(to, Picky)
        assert to.good == {record.id for record in records} - bad
    letters = (tmp_path / "ledger.db.influxdb.dead.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in letters} == bad
    assert json.loads(letters[0])["point"].startswith("llm_request,")


@pytest.mark.asyncio
async def test_points_that_influxdb_would_delete_at_once_count_as_written(tmp_path: Path) -> None:
    with receiving(Receiver()) as to:
        told = b'{"error":"partial write: points beyond retention policy dropped=60"}'
        to.answers = [(400, told)]
        influx = Influxdb(url=to.url, database="d", flush_seconds=0.05)
        with exporting(tmp_path, influxdb=influx) as it:
            await until(lambda: it.told("rows_total") == {"influxdb": ROWS})
    assert len(to.requests) == 1


@pytest.mark.asyncio
async def test_an_exporter_that_hangs_harms_no_other_and_delays_no_stop(tmp_path: Path) -> None:
    with receiving(Receiver()) as stuck, receiving(OtlpReceiver()) as to:
        stuck.hangs.set()
        assert isinstance(to, OtlpReceiver)
        wanted = {
            "influxdb": Influxdb(url=stuck.url, database="d", flush_seconds=0.05),
            "otlp": Otlp(url=to.url, flush_seconds=0.05),
        }
        with exporting(tmp_path, **wanted) as it:
            await until(lambda: len(to.spans) == ROWS and len(stuck.requests) == 1)
            await until(lambda: it.told("rows_total") == {"influxdb": 0, "otlp": ROWS})
            assert it.told("behind")["influxdb"] == ROWS
    assert len(stuck.requests) == 1


@pytest.mark.asyncio
async def test_secrets_are_in_no_repr_and_in_no_cursor(tmp_path: Path) -> None:
    with receiving(Receiver()) as to:
        settings = {"url": to.url, "database": "d", "token": "t0ken-0123"}
        with exporting(tmp_path, influxdb=Influxdb(**settings, flush_seconds=0.05)) as it:
            await until(lambda: it.told("behind") == {"influxdb": 0} and bool(to.requests))
        assert "t0ken" not in repr(Wanted(influxdb=Influxdb(**settings)))
        assert Config(exporters=Wanted(influxdb=Influxdb(**settings))).secrets() == {"t0ken-0123"}
    assert b"t0ken" not in it.path.read_bytes()
