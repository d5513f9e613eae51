"""The bench's results as a table for people. Measures nothing; a figure that does not apply is a dash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from streamgauge.cli.figures import Signs
    from streamgauge.tools.bench.difference import Difference
    from streamgauge.tools.bench.results import Result

__all__ = ["print_results"]

_GAP = 2
_FIGURES: Sequence[tuple[str, str, str]] = (
    ("cpu_us_per_event", "{micro}s/event", "{:.1f}"),
    ("cpu_us_per_request", "{micro}s/request", "{:.0f}"),
    ("ratio_to_nginx", "{times} nginx", "{:.2f}"),
    ("added_p50_ms", "added p50 ms", "{:.2f}"),
    ("added_p99_ms", "p99 ms", "{:.2f}"),
    ("ttft_ms", "ttft ms", "{:.1f}"),
    ("rss_mib", "RSS MiB", "{:.0f}"),
    ("kib_per_stream", "KiB/stream", "{:.1f}"),
    ("syscalls_per_event", "calls/event", "{:.2f}"),
    ("events_per_read", "events/read", "{:.2f}"),
    ("per_second", "per second", "{:.0f}"),
)


def print_results(found: Sequence[Result], console: Console, signs: Signs) -> None:
    """Print one table for each profile in `found`, columns without a figure left out."""
    for name in dict.fromkeys(each.profile.name for each in found):
        its = [each for each in found if each.profile.name == name]
        console.print(Text(f"{name}: {_load(its[0])}", "bold"))
        console.print(_table(its, signs))


def _load(it: Result) -> str:
    profile = it.profile
    if profile.requests:
        return f"{profile.requests} requests, {profile.streams} at once"
    pace = f"one every {profile.gap_ns / 1e6:g} ms" if profile.paced else "as fast as can be"
    return f"{profile.streams} streams of {profile.events} events, {pace}"


def _table(its: Sequence[Result], signs: Signs) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    table.add_column("target", no_wrap=True)
    shown = [figure for figure in _FIGURES if any(it.median[figure[0]] is not None for it in its)]
    for _, title, _ in shown:
        table.add_column(title.format(micro=signs.micro, times=signs.times), justify="right")
    compared = next((it.dearer.against for it in its if it.dearer is not None), None)
    if compared is not None:
        table.add_column(Text(f"more than {compared}"), justify="right")
    table.add_column("errors", justify="right")
    for it in its:
        cells = [_cell(it, name, form, signs) for name, _, form in shown]
        if compared is not None:
            cells.append(_more(it.dearer, signs))
        errors = Text(str(it.errors), "red" if it.errors else "")
        table.add_row(Text(it.target), *cells, errors)
    return table


def _cell(it: Result, name: str, form: str, signs: Signs) -> str:
    value = it.median[name]
    return signs.dash if value is None else form.format(value)


def _more(dearer: Difference | None, signs: Signs) -> str:
    """Return a difference, and between what it lies for sure where that is known."""
    if dearer is None:
        return signs.dash
    if dearer.low is None or dearer.high is None:
        return f"{dearer.median:+.1f}"
    return f"{dearer.median:+.1f} ({dearer.low:+.1f} to {dearer.high:+.1f})"
