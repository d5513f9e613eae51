"""Each screen's query takes less than 100 ms of half a million rows; five times that fails.

In the default run the ledger has a twentieth of it: `scripts/test --full` makes the whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streamgauge.ledger.questions import RequestFilter
from streamgauge.ledger.rollup import Hours
from streamgauge.ledger.rollup_sql import DAY_US, HOUR_US
from streamgauge.ledger.session_queries import ScreenQueries

from ..timed import in_time
from .large_ledger import end_of, make_large

ROWS = 500_000 if os.environ.get("STREAMGAUGE_FULL") == "1" else 25_000
FIGURE_MS = 100
LENIENCY = 5
END = end_of(ROWS) // HOUR_US * HOUR_US
DAY = Hours(END - DAY_US, END)
MONTH = Hours(END - 30 * DAY_US, END)
NOWHERE = RequestFilter(text="no row has this")
FAILED = ["cancelled", "rejected", "upstream_error", "upstream_timeout"]

Ask = Callable[[ScreenQueries], object]
QUERIES: dict[str, Ask] = {
    "requests": lambda q: q.requests(RequestFilter(), 50),
    "requests, the largest page": lambda q: q.requests(RequestFilter(), 500),
    "requests, a text that is nowhere": lambda q: q.requests(NOWHERE, 50),
    "requests, a model that is nowhere": lambda q: q.requests(RequestFilter(model="none*"), 50),
    "requests, a key": lambda q: q.requests(RequestFilter(key="key-a"), 50),
    "requests, failures": lambda q: q.requests(RequestFilter(statuses=FAILED), 50),
    "requests, failures and a text": lambda q: q.requests(
        RequestFilter(statuses=FAILED, text="no row has this"), 50
    ),
    "requests of a session": lambda q: q.requests(RequestFilter(session="session-7-3"), 50),
    "usage of the day by model": lambda q: q.usage(DAY, ["model"]),
    "usage of the day by hour": lambda q: q.usage(DAY, ["hour"]),
    "usage of a month by model and day": lambda q: q.usage(MONTH, ["model", "day"]),
    "usage of a month by key": lambda q: q.usage(MONTH, ["key_id"]),
    "usage of two weeks by hour": lambda q: q.usage(Hours(END - 14 * DAY_US, END), ["hour"]),
    "usage of all time by upstream": lambda q: q.usage(Hours(), ["upstream"]),
    "times of a month by upstream": lambda q: q.times("ttft_ms", MONTH, ["upstream"]),
    "times of the day by hour": lambda q: q.times("stream_duration_ms", DAY, ["hour"]),
    "sessions with their sums": lambda q: [
        q.session_usage(each.session_id, each.turns) for each in q.sessions(25).sessions
    ],
    "speeds of the day": lambda q: q.speeds(END - DAY_US),
    "the last minute": lambda q: q.begun_since(END - 60_000_000),
    "what closed": lambda q: q.closed_after(q.last_closing() - 200, 200),
    "one exchange": lambda q: q.exchange("0000000000000001"),
    "health": lambda q: (q.schema, q.oldest_at(), q.usage(MONTH, ["upstream", "model"])),
}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledger, made once."""
    path = tmp_path_factory.mktemp("large") / "ledger.db"
    make_large(path, ROWS)
    return path


@pytest.mark.timeout(180)
def test_every_screen_asks_in_time(large: Path, record_property: Callable[..., None]) -> None:
    took: dict[str, float] = {}
    with ScreenQueries(large) as queries:
        for name, ask in QUERIES.items():
            began = time.perf_counter()
            ask(queries)
            took[name] = round((time.perf_counter() - began) * 1000, 1)
    record_property("screens_ms", took)
    slowest = max(took, key=lambda name: took[name])
    in_time(took[slowest], FIGURE_MS * LENIENCY)
    print("\n".join(f"{ms:8.1f} ms  {name}" for name, ms in took.items()))


@pytest.mark.timeout(180)
def test_a_page_far_down_costs_what_the_first_one_does(large: Path) -> None:
    with ScreenQueries(large) as queries:
        place, pages = None, 0
        began = time.perf_counter()
        for _ in range(20):
            page = queries.requests(RequestFilter(model="gpt*"), 200, place)
            place, pages = page.next, pages + 1
            if place is None:
                break
        each_ms = (time.perf_counter() - began) * 1000 / pages
    assert pages > 5
    in_time(each_ms, FIGURE_MS * LENIENCY)
