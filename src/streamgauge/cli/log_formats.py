"""The log's formats for people, beside logfmt and JSON: `pretty` and `compact`. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, TextIO

from streamgauge.cli.figures import ASCII, UNICODE, Signs, status_colour
from streamgauge.sinks.logline import encode_json, encode_logfmt

__all__ = ["FORMATS", "Entry", "Look", "escaped", "look_of", "shows_colour"]

FORMATS = ("auto", "logfmt", "json", "pretty", "compact")
"""What `log.format` and `tail --format` may be."""

_COLOURS: Mapping[str, int] = MappingProxyType({"red": 31, "green": 32, "yellow": 33, "cyan": 36})
_LEVEL_COLOURS: Mapping[str, str] = MappingProxyType({"warning": "yellow", "error": "red"})
_SHORT_ID = 12
"""Enough of a random id for `show`, which takes any unique beginning."""

_UNSAID = frozenset({"-", "stop", "end_turn"})
"""What is unknown, and a reason that the status has told already, would only make a line longer."""

_UNITS = ("ms", "%")
_IDENTITIES = frozenset({"id", "trace"})


class Entry(NamedTuple):
    """One line's content; `at`: when it happened, for the formats that show it."""

    level: str
    event: str
    fields: Sequence[tuple[str, str]]
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How entries become lines. `colour`: escape codes may be used; `signs`: what can be shown."""

    style: str
    colour: bool = False
    signs: Signs = UNICODE

    @property
    def tells_time(self) -> bool:
        """Whether lines show when it happened."""
        return self.style == "pretty"

    def line(self, entry: Entry) -> str:
        """Return `entry` as one line, its control bytes escaped (SPEC §9.1, §9.4)."""
        return _ENCODERS[self.style](entry, self)

    def painted(self, text: str, colour: str | None) -> str:
        """Return `text` in `colour`, where colours may be used."""
        if not self.colour or colour is None:
            return text
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def look_of(style: str, stream: TextIO, environ: Mapping[str, str]) -> Look:
    """Return the look of `style` on `stream`; `auto` is logfmt on a terminal, else JSON."""
    if style == "auto":
        style = "logfmt" if stream.isatty() else "json"
    encoding = getattr(stream, "encoding", None) or "ascii"
    signs = UNICODE if encoding.lower().startswith("utf") else ASCII
    return Look(style, shows_colour(stream, environ), signs)


def shows_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether escape codes may go to `stream`: a terminal that can, and no NO_COLOR."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def escaped(text: str) -> str:
    """Return `text` on one line: what is not printable stands as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _logfmt(entry: Entry, _look: Look) -> str:
    """An exchange's own line has no event word in front (SPEC §9.1)."""
    if entry.event == "exchange":
        return encode_logfmt(entry.fields)
    return f"{entry.event} {encode_logfmt(entry.fields)}".rstrip()


def _json(entry: Entry, _look: Look) -> str:
    return encode_json(entry.level, entry.event, entry.fields)


def _pretty(entry: Entry, look: Look) -> str:
    time = f"{entry.at:%H:%M:%S}" if entry.at is not None else look.signs.dash
    if entry.event == "exchange":
        return f"{time}  {_pretty_exchange(dict(entry.fields), look)}"
    level = look.painted(f"{entry.level:<9}", _LEVEL_COLOURS.get(entry.level))
    return f"{time}  {level} {escaped(entry.event):<22}  {_pairs(entry.fields)}".rstrip()


def _pretty_exchange(fields: Mapping[str, str], look: Look) -> str:
    known = {name: escaped(_known(value, look)) for name, value in fields.items()}
    read, _, written = known["tokens"].partition("/")
    speed = known["tps"].partition("/")[0]
    status = look.painted(f"{look.signs.status(known['status']):<25}", _colour_of(fields))
    estimate = "~" if fields["usage"] in ("counted", "running") else " "
    columns = (
        status,
        f"{known['upstream']:<10}",
        f"{known['model']:<24}",
        f"{known['mode']:<6}",
        f"in {_known(read, look):>7}",
        f"out {_known(written, look):>6}{estimate}",
        f"{_known(speed, look):>7} tok/s",
        f"ctx {known['ctx']:>6}",
        f"ttft {known['ttft']:>8}",
        f"{known['dur']:>8}",
        f"{known['finish']:<10}",
        f"{known['cost']:<16}",
        known["id"],
    )
    return "  ".join(columns)


def _compact(entry: Entry, look: Look) -> str:
    if entry.event != "exchange":
        level = "" if entry.level in ("debug", "info") else f"{entry.level} "
        short = [(n, v[:_SHORT_ID] if n in _IDENTITIES else v) for n, v in entry.fields]
        line = f"{level}{escaped(entry.event)} {_pairs(short)}".rstrip()
        return look.painted(line, _LEVEL_COLOURS.get(entry.level))
    fields = {name: escaped(value) for name, value in entry.fields}
    status = look.painted(look.signs.status(fields["status"]), _colour_of(fields))
    times = "/".join(_known(fields[name], look).replace(" ", "") for name in ("ttft", "dur"))
    words = [status, fields["model"], fields["tokens"], times]
    words += [fields[name] for name in ("finish", "cost") if fields[name] not in _UNSAID]
    return " ".join([*words, fields["id"][:_SHORT_ID]])


def _colour_of(fields: Mapping[str, str]) -> str:
    return status_colour(fields["status"])


def _known(value: str, look: Look) -> str:
    """Return `value`, or the dash where it is unknown, its unit with it."""
    bare = value
    for unit in _UNITS:
        bare = bare.removesuffix(unit)
    if bare in ("-", "N/A"):
        return look.signs.dash
    return f"{bare} ms" if value.endswith("ms") and bare.isdecimal() else value


def _pairs(fields: Sequence[tuple[str, str]]) -> str:
    return "  ".join(f"{name}={escaped(value)}" for name, value in fields)


_ENCODERS: Mapping[str, Callable[[Entry, Look], str]] = MappingProxyType(
    {"logfmt": _logfmt, "json": _json, "pretty": _pretty, "compact": _compact}
)
