"""What a row costs on its way to `/metrics` and InfluxDB: 30 µs of CPU, tested at five times that."""

from __future__ import annotations

import gc
import time
from contextlib import closing
from pathlib import Path

from streamgauge.config.exporters import Influxdb
from streamgauge.ledger.cursors import ClosedRows
from streamgauge.ledger.schema import open_for_writing
from streamgauge.sinks.influx import SOURCE_COLUMNS, InfluxDestination
from streamgauge.sinks.labels import Labels
from streamgauge.sinks.prometheus import ExchangeCounts

from ..ledger.made_ledger import add, exchanges

ROWS = 2000
LIMIT_US = 5 * 30


def test_a_row_costs_30_us_on_its_way_out(tmp_path: Path) -> None:
    records = list(exchanges(ROWS, wild=0.2))
    labels = Labels(["local", "openai"], ["qwen3", "gpt-*"])
    counts, to = (
        ExchangeCounts(labels),
        InfluxDestination(Influxdb(url="http://h", database="d"), labels),
    )
    with closing(open_for_writing(tmp_path / "ledger.db")) as connection:
        add(connection, iter(records))
    gc.freeze()  # else it walks what earlier tests of this process have left, time and again
    began = time.thread_time()
    for record in records:
        counts.write(record)
    with closing(ClosedRows(tmp_path / "ledger.db", SOURCE_COLUMNS)) as rows:
        lines = [to.shown(row) for row in rows.after(0, rows.ends()[1], ROWS)]
    took_us = (time.thread_time() - began) / ROWS * 1e6
    gc.unfreeze()
    assert len(lines) == ROWS
    assert took_us < LIMIT_US
