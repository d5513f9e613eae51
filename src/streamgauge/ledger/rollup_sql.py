"""What a roll-up adds up, and by what: the SQL of both, from tables. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

__all__ = [
    "BUCKETS",
    "BUCKET_COLUMNS",
    "DAY_US",
    "EXACT",
    "HOUR_US",
    "LATER",
    "METRICS",
    "NAMES_AN_HOUR",
    "OTHER",
    "PARTS",
    "TIMES",
    "USAGE",
    "Table",
    "cost_sums",
    "new_names",
    "row_values",
    "usage_sums",
]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

LATER = (
    "FROM closings c CROSS JOIN requests r ON r.id = c.request_id "
    "WHERE c.seq > (SELECT rolled_up_to FROM rollup_state)"
)
"""Rows that were closed after the roll-ups were last brought up to date."""

EXACT = "provider"
"""The source of exact counts: only what the upstream gave as its final numbers (SPEC §6.3)."""

OTHER = "(other)"
"""Models and applications beyond `NAMES_AN_HOUR`."""

NAMES_AN_HOUR = {"model": 256, "client_app": 64}
"""Clients make these names up: so many are told apart in an hour, above what one gateway serves."""

METRICS = ("ttft_ms", "stream_duration_ms")
"""The columns of `requests` that have a histogram."""

BUCKETS = (
    *(5, 7),
    *(step * power for power in (1, 10, 100, 1_000, 10_000) for step in (10, 15, 20, 30, 50, 70)),
)
"""Upper bounds in ms, six a decade: a quantile read between two of them is off by a fifth at most."""

BUCKET_COLUMNS = (*(f"upto_{bound}" for bound in BUCKETS), "longer")

_LONGEST_MS = 1e9
"""Eleven days: no sum of times can outgrow 64 bits, whatever a broken clock measured."""

_TOKENS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
}
_SOURCES = {
    "input": "input_source",
    "cache_read": "input_source",
    "cache_write": "input_source",
    "output": "usage_source",
    "reasoning": "usage_source",
}
"""Which source speaks for which count: cached tokens are input, reasoning is output."""

PARTS = tuple((part, exact) for part in _TOKENS for exact in (True, False))
"""The token counts that are told apart, in the order of `usage_sums`."""

_HOUR = f"ifnull(r.finished_at, r.started_at) / {HOUR_US} * {HOUR_US}"


def _name(kind: str) -> str:
    """Return the expression of a row's model (as the log line names it) or `client_app`."""
    columns = {
        "model": ("response_model", "upstream_model", "requested_model"),
        "client_app": ("client_app",),
    }[kind]
    known = [f"nullif(r.{name}, '')" for name in columns]
    return f"coalesce({', '.join(known)}, '')"


def _bounded(kind: str) -> str:
    """Return the name itself while the hour has room for it; a table tells which had."""
    of_hour = f"FROM rollup_names n WHERE n.hour = {_HOUR} AND n.kind = '{kind}'"
    name = _name(kind)
    return (
        f"CASE WHEN EXISTS (SELECT 1 {of_hour} AND n.name = {name}) "
        f"OR (SELECT count(*) {of_hour}) < {NAMES_AN_HOUR[kind]} "
        f"THEN {name} ELSE '{OTHER}' END"
    )


def new_names(kind: str, source: str) -> str:
    """Return a SELECT of hour and name, of rows whose name `rollup_names` does not have."""
    name = _name(kind)
    return (
        f"SELECT DISTINCT {_HOUR}, {name} {source} AND NOT EXISTS (SELECT 1 FROM rollup_names n "
        f"WHERE n.hour = {_HOUR} AND n.kind = '{kind}' AND n.name = {name})"
    )


def _plain(column: str) -> str:
    return f"ifnull(r.{column}, '')"


_USAGE_DIMENSIONS = {
    "upstream": _plain("upstream"),
    "model": _bounded("model"),
    "dialect": _plain("dialect"),
    "status": _plain("status"),
    "key_id": _plain("key_id"),
    "client_app": _bounded("client_app"),
    "usage_source": _plain("usage_source"),
    "input_source": _plain("input_source"),
    "currency": _plain("currency"),
}
"""Column: expression over a row `r` of `requests`."""

_USAGE_SUMS = {
    "exchanges": "count(*)",
    "successes": "count(*) FILTER (WHERE r.success = 1)",
    "failures": "count(*) FILTER (WHERE r.success = 0)",
    **{
        column: expression
        for part, tokens in _TOKENS.items()
        for column, expression in (
            (tokens, f"ifnull(sum(r.{tokens}), 0)"),
            (f"{part}_known", f"count(r.{tokens})"),
        )
    },
    "cost_high": "ifnull(sum(r.cost_nano >> 32), 0)",
    "cost_low": "ifnull(sum(r.cost_nano & 4294967295), 0)",
    "cost_known": "count(r.cost_nano)",
}
"""Column: aggregate. A sum of nothing is 0 here, because the count beside it tells."""

_TIMES_DIMENSIONS = {
    name: _USAGE_DIMENSIONS[name] for name in ("upstream", "model", "dialect", "status")
}


def _bucket_sums(metric: str) -> Iterable[tuple[str, str]]:
    above: int | None = None
    for column, bound in zip(BUCKET_COLUMNS, (*BUCKETS, None), strict=True):
        tests = [f"r.{metric} > {above}"] if above is not None else []
        tests += [f"r.{metric} <= {bound}"] if bound is not None else []
        yield column, f"count(*) FILTER (WHERE {' AND '.join(tests)})"
        above = bound


def _times_sums(metric: str) -> dict[str, str]:
    return {
        "exchanges": "count(*)",
        "sum_us": f"sum(CAST(round(min(r.{metric}, {_LONGEST_MS}) * 1000) AS INTEGER))",
        **dict(_bucket_sums(metric)),
    }


@dataclass(frozen=True, slots=True)
class Table:
    """A pair of tables with the same columns: `name` by hour, `name`_daily by day.

    `dimensions`: the key's columns, `hour` or `day` left out. `selects`: from a `FROM … WHERE …`
    over `requests r`, the queries that add its rows up to rows of the hourly table.
    """

    name: str
    dimensions: tuple[str, ...]
    sums: tuple[str, ...]
    selects: Callable[[str], list[str]]

    @property
    def daily(self) -> str:
        """The table by day."""
        return f"{self.name}_daily"


def _usage_selects(source: str) -> list[str]:
    return [_select(source, {"hour": _HOUR, **_USAGE_DIMENSIONS}, _USAGE_SUMS)]


def _times_selects(source: str) -> list[str]:
    return [
        _select(
            f"{source} AND r.{metric} IS NOT NULL",
            {"hour": _HOUR, "metric": f"'{metric}'", **_TIMES_DIMENSIONS},
            _times_sums(metric),
        )
        for metric in METRICS
    ]


def _select(source: str, dimensions: dict[str, str], sums: dict[str, str]) -> str:
    columns = [f"{expression} AS {name}" for name, expression in (dimensions | sums).items()]
    places = ", ".join(str(i + 1) for i in range(len(dimensions)))
    return f"SELECT {', '.join(columns)} {source} GROUP BY {places}"


USAGE = Table("rollup_usage", tuple(_USAGE_DIMENSIONS), tuple(_USAGE_SUMS), _usage_selects)
TIMES = Table(
    "rollup_times",
    ("metric", *_TIMES_DIMENSIONS),
    tuple(_times_sums(METRICS[0])),
    _times_selects,
)


def row_values() -> dict[str, str]:
    """Return what a row `r` of `requests` alone has for each of USAGE's sums and for its sources."""
    values = {
        "exchanges": "1",
        "successes": "r.success = 1",
        "failures": "r.success = 0",
        "cost_high": "r.cost_nano >> 32",
        "cost_low": "r.cost_nano & 4294967295",
        "cost_known": "r.cost_nano IS NOT NULL",
        "currency": "r.currency",
    }
    for part, tokens in _TOKENS.items():
        values |= {tokens: f"r.{tokens}", f"{part}_known": f"r.{tokens} IS NOT NULL"}
    return values | {source: f"r.{source}" for source in _SOURCES.values()}


def usage_sums(of: Mapping[str, str]) -> list[str]:
    """Return the aggregates that `add_usage` reads of a group: exchanges, then tokens by PARTS.

    `of`: expressions of USAGE's sums and the sources. Exact counts and others are told apart here
    and not by groups of their own: those would have to be sorted, at half the time of a query.
    Three columns a part: high and low 32 bits, as sums of sums may outgrow 64, and how many.
    """
    sums = [f"sum({of[name]})" for name in ("exchanges", "successes", "failures", "cost_known")]
    for part, exact in PARTS:
        tokens, known = of[_TOKENS[part]], of[f"{part}_known"]
        these = f"FILTER (WHERE {of[_SOURCES[part]]} {'IS' if exact else 'IS NOT'} '{EXACT}')"
        halves = (f"({tokens}) >> 32", f"({tokens}) & 4294967295")
        sums += [f"sum({each}) {these}" for each in (*halves, known)]
    return sums


def cost_sums(of: Mapping[str, str]) -> tuple[list[str], list[str], str]:
    """Return groups, aggregates and condition of what `add_usage` reads of costs.

    The groups are the currency and whether both counts are exact; the sums are in two halves,
    neither of which outgrows 64 bits, and how many.
    """
    exact = " AND ".join(f"{of[name]} IS '{EXACT}'" for name in ("usage_source", "input_source"))
    sums = [f"sum({of[name]})" for name in ("cost_high", "cost_low", "cost_known")]
    return [of["currency"], exact], sums, f"({of['cost_known']}) > 0"
