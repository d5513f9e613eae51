"""A destination that takes rows and throws some away is not asked again, and it is told."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from streamgauge.sinks.cursor import Closed
from streamgauge.sinks.dropped import Dropped

from .test_cursor_sink import Books, FakeDestination


def test_what_a_destination_throws_away_is_counted_and_told_once_a_reason(tmp_path: Path) -> None:
    class Careless(FakeDestination):
        def send(self, rows: Sequence[Closed]) -> None:
            super().send(rows)
            self.drops.append(Dropped("spans", 2, "too old"))

    books = Books(tmp_path)
    ids, to = books.add(130), Careless()
    with closing(books.connection), books.exporting(to) as sink:
        to.wait(lambda: len(to.rows) == 130)
    assert to.rows == ids
    assert sink.state.dropped == {"spans": 2 * len(to.batches)}
    assert (sink.state.dead, sink.state.failures, sink.state.reason) == (0, 0, None)
    fields = {"sink": "test", "what": "spans", "count": "2", "reason": "too old"}
    assert books.lines == [("warning", "export_dropped", fields)]
