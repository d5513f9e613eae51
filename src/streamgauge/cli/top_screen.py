"""`top` as a page of text: the strip, the streams, what ended last. Asks nobody and reads no key."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.text import Text

from streamgauge.cli.figures import Signs, duration, tokens, when
from streamgauge.cli.fitted_table import Cell, Column, fitted, printable
from streamgauge.cli.ledger_table import rows_table
from streamgauge.cli.plots import bar, sparkline
from streamgauge.cli.top_sources import Page, View

__all__ = ["Frame", "Speeds", "page"]

_SPEEDS_KEPT = 10
_CONTEXT_CELLS = 6
_NAME_CELLS = 24
_ID_CELLS = 8
"""Enough for `show`, which takes any beginning that tells an id apart."""
_SILENT_MS = 1000.0
"""From here on a gap is a stall (docs/metrics.md)."""
_FEWEST_ENDED = 4
"""Lines that the streams leave to what has ended, its heading included."""
_STATES: Mapping[str, tuple[str, str, str]] = {
    "connecting": ("○", ".", "blue"),
    "prefill": ("◔", "o", "blue"),
    "streaming": ("▶", ">", "green"),
    "draining": ("▽", "v", "yellow"),
    "done": ("✓", "+", "green"),
}


@dataclass(slots=True)
class Speeds:
    """The speeds of each stream at the last looks, as they were told. One that is gone is forgotten."""

    _seen: dict[str, deque[float | None]] = field(default_factory=dict)

    def note(self, view: View) -> None:
        """Keep the speeds of one look; while a gateway does not answer, nothing is forgotten."""
        if view.live is None:
            return
        rows = view.live["rows"]
        gone = {*self._seen} - {row["id"] for row in rows}
        for id in gone:
            del self._seen[id]
        for row in rows:
            seen = self._seen.setdefault(row["id"], deque(maxlen=_SPEEDS_KEPT))
            seen.append(row["generation_tps"])

    def of(self, id: str) -> Sequence[float | None]:
        """Return the last speeds of a stream, the oldest first."""
        return tuple(self._seen.get(id, ()))


@dataclass(frozen=True, slots=True)
class Frame:
    """What a page is drawn for. `height` None: as long as it gets. `offset`: streams scrolled over.

    `keys`: what the reader may press, or nothing. `for_eyes`: ids are cut, and bars are drawn.
    """

    signs: Signs
    width: int
    height: int | None = None
    offset: int = 0
    keys: str = ""
    for_eyes: bool = True


def page(view: View, frame: Frame, speeds: Speeds, trouble: str | None = None) -> Group:
    """Return `view` as text of at most `frame.height` lines. `trouble`: why it is not newer."""
    parts: list[RenderableType] = [_title(view, frame), *_strip(view, frame.signs)]
    parts += [Text(printable(f"! {note}"), "yellow") for note in (trouble, view.note) if note]
    parts.append(Text())
    rows = [] if view.live is None else list(view.live["rows"])
    room = None if frame.height is None else frame.height - len(parts)
    shown = _window(rows, room, frame.offset)
    parts += _streams(view, rows, shown, frame, speeds)
    if view.ended:
        left = None if room is None else room - len(shown) - 3
        parts += _ended(view.ended, left, frame)
    for part in parts:
        if isinstance(part, Text):
            part.no_wrap, part.overflow = True, "ellipsis"
    return Group(*parts)


def _title(view: View, frame: Frame) -> Text:
    at = when(view.summary["at"], date=False)
    text = Text("streamgauge top", "bold").append(f"  {printable(view.source)}  {at}", "")
    return text.append(f"   {frame.keys}", "dim") if frame.keys else text


def _strip(view: View, signs: Signs) -> Iterator[Text]:
    """Yield the strip of the dashboard (UX, screen 1): this moment, and today."""
    for figures in (_now(view.summary, signs), _today(view.summary["today"], signs)):
        text = Text()
        for name, value, style in figures:
            text.append(f"{name} ", "dim").append(printable(value), style).append("   ")
        text.rstrip()
        yield text


def _now(summary: Page, signs: Signs) -> Iterator[tuple[str, str, str]]:
    ledger, speed = summary["ledger"], summary["tokens_per_second"]
    yield "streams", signs.or_dash(summary["streams"]), "bold"
    yield "req/min", signs.or_dash(summary["requests_last_minute"]), ""
    yield "tok/s", signs.or_dash(None if speed is None else f"{speed:.1f}"), ""
    if ledger is not None:
        yield "queue", str(ledger["queue"]), ""
        state = "ok" if ledger["healthy"] else f"not writable: {ledger['reason']}"
        yield "ledger", state, "" if ledger["healthy"] else "red"
    if summary["drained"]:
        yield "drained by an admin", ", ".join(summary["drained"]), "yellow"
    if summary["stopping"]:
        yield "gateway", "is stopping", "yellow"


def _today(sums: Page, signs: Signs) -> Iterator[tuple[str, str, str]]:
    yield "today", _costs(sums["costs"], signs), "bold"
    failed, all_ = sums["failures"], sums["exchanges"]
    yield "failed", f"{failed} of {all_}", "red" if failed else ""
    yield "unpriced", str(sums["unpriced"]), ""


def _costs(costs: Mapping[str, Page], signs: Signs) -> str:
    """Each currency alone, and estimates apart from what is exact."""
    parts = []
    for currency, cost in costs.items():
        exact, estimated = cost["exact"], cost["estimated"]
        sums = [exact] if exact is not None else []
        sums += [f"{estimated}~"] if estimated is not None else []
        parts.append(f"{' + '.join(sums)} {currency}")
    return ", ".join(parts) or signs.dash


def _window(rows: Sequence[Page], room: int | None, offset: int) -> Sequence[Page]:
    """Return the rows that there is room for, beside their heading and what ended last."""
    if room is None:
        return rows
    lines = max(room - 2 - _FEWEST_ENDED, 1)
    first = min(offset, max(len(rows) - lines, 0))
    return rows[first : first + lines]


def _streams(
    view: View, rows: Sequence[Page], shown: Sequence[Page], frame: Frame, speeds: Speeds
) -> Iterator[RenderableType]:
    if view.live is None:
        yield Text("the streams are not known at present", "dim")
    elif not rows:
        yield Text("no streams", "dim")
    else:
        yield fitted(_columns(frame, speeds), shown, frame.signs, frame.width)
        if len(shown) < view.live["streams"]:
            first = rows.index(shown[0]) + 1
            told = f"{first} to {first + len(shown) - 1} of {view.live['streams']} streams"
            yield Text(f"{told}, the oldest first; j and k move", "dim")
    yield Text()


def _ended(rows: Sequence[Page], room: int | None, frame: Frame) -> Iterator[RenderableType]:
    shown = rows if room is None else rows[: max(room - 2, 0)]
    if shown:
        yield Text("ended, newest first", "dim")
        yield rows_table(shown, frame.signs, frame.width, for_eyes=frame.for_eyes)


def _columns(frame: Frame, speeds: Speeds) -> list[Column]:
    signs, id_length = frame.signs, _ID_CELLS if frame.for_eyes else None
    lately = Column("lately", 9, lambda row: _lately(speeds.of(row["id"]), signs))
    return [
        Column("id", 1, lambda row: row["id"][:id_length]),
        Column("state", 0, lambda row: _state(row, signs)),
        Column("age", 0, lambda row: duration(row["age_ms"]), right=True),
        Column("app", 5, lambda row: _short(row["client_app"], signs)),
        Column("key", 11, lambda row: _short(row["key_label"] or row["key_id"], signs)),
        Column("session", 13, lambda row: _short(row["session_id"], signs)),
        Column("dialect", 12, lambda row: _changed(row, "dialect", "upstream_dialect", signs)),
        Column("model", 2, lambda row: _model(row, signs)),
        Column("upstream", 4, lambda row: _short(row["upstream"], signs)),
        Column("try", 14, lambda row: _count(row["attempt"]), right=True),
        Column("ttft", 6, lambda row: duration(row["ttft_ms"]), right=True),
        Column("in", 8, lambda row: tokens(row["input_tokens"], row["input_source"]), right=True),
        Column("out", 0, lambda row: tokens(row["output_tokens"], row["usage_source"]), right=True),
        Column("tok/s", 3, lambda row: _speed(row["generation_tps"]), right=True),
        *((lately,) if frame.for_eyes else ()),
        Column("context", 10, lambda row: _context(row, signs)),
        Column("bytes", 15, lambda row: _count(row["bytes_out"]), right=True),
        Column("frames", 16, lambda row: _count(row["frames_out"]), right=True),
        Column("last frame", 7, lambda row: _silence(row["last_frame_ms"]), right=True),
    ]


def _state(row: Page, signs: Signs) -> Cell:
    state = row["state"]
    if state is None:
        return Text("in flight", "cyan")
    sign, letter, colour = _STATES.get(state, ("?", "?", ""))
    return Text(printable(f"{letter if signs.ascii_only else sign} {state}"), colour)


def _model(row: Page, signs: Signs) -> str | None:
    """Return the models; `upstream/model` asks for the one that is served, by its place."""
    if row["requested_model"] == f"{row['upstream']}/{row['upstream_model']}":
        return _short(row["upstream_model"], signs)
    return _changed(row, "requested_model", "upstream_model", signs)


def _changed(row: Page, before: str, after: str, signs: Signs) -> str | None:
    """Return what was asked for, and what became of it where that is something else."""
    names = [_short(row[name], signs) for name in (before, after) if row[name] is not None]
    if len(names) == 2 and row[before] != row[after]:
        return f"{names[0]}{signs.arrow}{names[1]}"
    return names[0] if names else None


def _short(name: str | None, signs: Signs) -> str | None:
    if name is None or len(name) <= _NAME_CELLS:
        return name
    return name[: _NAME_CELLS - 2] + (".." if signs.ascii_only else "…")


def _count(count: int | None) -> str | None:
    return None if count is None else str(count)


def _speed(per_second: float | None) -> str | None:
    return None if per_second is None else f"{per_second:.1f}"


def _lately(speeds: Sequence[float | None], signs: Signs) -> Cell:
    return Text(sparkline(speeds, ascii_only=signs.ascii_only), "green")


def _context(row: Page, signs: Signs) -> Cell:
    percent = row["context_percent"]
    if percent is None:
        return None
    drawn = bar(percent / 100, _CONTEXT_CELLS, ascii_only=signs.ascii_only)
    colour = "red" if percent >= 90 else "cyan"
    return Text(drawn, colour).append(f" {percent:.0f} %", "")


def _silence(ms: float | None) -> Cell:
    told = duration(ms)
    if ms is None or told is None:
        return None
    return Text(told, "yellow" if ms > _SILENT_MS else "")
