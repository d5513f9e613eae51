"""The log's four formats: what each shows, and that none sends a terminal what it would obey (S12)."""

from __future__ import annotations

import io
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.cli.figures import ASCII
from streamgauge.cli.log import LogWriter
from streamgauge.cli.log_formats import FORMATS, Entry, Look, look_of
from streamgauge.config.schema import LogFormat
from streamgauge.core.record import Status
from streamgauge.sinks.logline import LogLine, encode_json, exchange_fields

from .books import an_exchange

AT = datetime(2026, 1, 31, 12, 34, 56)
STYLES = FORMATS[1:]
SPEC_LINE = (
    "model=gemma-3 tokens=1000/100 tps=52.0/-ms ctx:N/A stream finish=stop status=completed "
    "upstream=sim ttft=42ms dur=1400ms cost=0.003200000EUR usage=provider id=0199aaaa-bbbb-cccc"
)


def entry(**values: Any) -> Entry:
    fields = exchange_fields(an_exchange("0199aaaa-bbbb-cccc", **values))
    return Entry("info", "exchange", fields, AT)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_the_formats_are_those_of_the_configuration() -> None:
    assert tuple(each.value for each in LogFormat) == FORMATS


def test_logfmt_is_the_line_of_the_spec_and_no_terminal_changes_it() -> None:
    assert Look("logfmt").line(entry()) == SPEC_LINE
    assert Look("logfmt", colour=True).line(entry()) == SPEC_LINE


@pytest.mark.parametrize(("streaming", "word"), [(True, "stream"), (False, "sync"), (None, "-")])
def test_whether_a_stream_was_asked_for_is_a_dash_where_nobody_knows(
    streaming: bool | None, word: str
) -> None:
    assert f" ctx:N/A {word} finish=" in Look("logfmt").line(entry(streaming=streaming))


def test_pretty_is_one_aligned_line() -> None:
    done = Look("pretty").line(entry())
    assert done.split() == [
        "12:34:56", "✓", "completed", "sim", "gemma-3", "stream", "in", "1000", "out", "100",
        "52.0", "tok/s", "ctx", "–", "ttft", "42", "ms", "1400", "ms", "stop", "0.003200000EUR",
        "0199aaaa-bbbb-cccc",
    ]  # fmt: skip
    unknown = dict.fromkeys(
        ("input_tokens", "generation_tps", "ttft_ms", "cost_nano", "finish_reason")
    )
    left = Look("pretty").line(
        entry(status=Status.CLIENT_DISCONNECTED, usage_source="counted", output_tokens=7, **unknown)
    )
    assert "out      7~" in left
    for sign in ("0199aaaa", "ttft", "tok/s", "stream"):
        assert left.index(sign) == done.index(sign), "columns stand below each other"


def test_compact_says_no_more_than_is_needed() -> None:
    assert Look("compact").line(entry()) == (
        "✓ completed gemma-3 1000/100 42ms/1400ms 0.003200000EUR 0199aaaa-bbb"
    )
    failed = entry(
        status=Status.UPSTREAM_ERROR, ttft_ms=None, cost_nano=None, finish_reason="length"
    )
    assert Look("compact", signs=ASCII).line(failed) == (
        "x upstream_error gemma-3 1000/100 -/1400ms length 0199aaaa-bbb"
    )


@pytest.mark.parametrize(
    ("style", "line"),
    [
        ("logfmt", 'stream_without_marker trace=0199aaaa-bbbb-cccc why="a b"'),
        ("pretty", "12:34:56  warning   stream_without_marker   trace=0199aaaa-bbbb-cccc  why=a b"),
        ("compact", "warning stream_without_marker trace=0199aaaa-bbb  why=a b"),
    ],
)
def test_other_events(style: str, line: str) -> None:
    fields = [("trace", "0199aaaa-bbbb-cccc"), ("why", "a b")]
    assert Look(style).line(Entry("warning", "stream_without_marker", fields, AT)) == line


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "evil", ["\x1b[31m", "a\nb", "\r", "\x7f", "\x9b2J", "\u202e", "\u2028", "\0", "\ud800", "\t"]
)
def test_no_control_byte_leaves_in_any_format(style: str, evil: str) -> None:
    lines = [
        Look(style).line(entry(upstream_model=evil, finish_reason=evil, upstream=f"x{evil}y")),
        Look(style).line(Entry("error", "log", [("message", evil)], AT)),
    ]
    assert all(line.isprintable() for line in lines), lines


@pytest.mark.parametrize("style", STYLES)
def test_colour_is_for_a_terminal_that_wants_it(style: str) -> None:
    def codes(stream: io.StringIO, environ: dict[str, str]) -> bool:
        LogWriter(style, "info", stream, clock=lambda: AT, environ=environ)(
            "info", "exchange", fields
        )
        LogWriter(style, "info", stream, clock=lambda: AT, environ=environ)("error", "log", [])
        assert len(stream.getvalue().splitlines()) == 2
        return "\x1b" in stream.getvalue()

    fields = list(entry().fields)
    assert codes(Terminal(), {}) == (style in ("pretty", "compact"))
    assert not codes(Terminal(), {"NO_COLOR": "1"})
    assert not codes(Terminal(), {"TERM": "dumb"})
    assert not codes(io.StringIO(), {})


def test_auto_is_logfmt_on_a_terminal_and_json_elsewhere() -> None:
    assert look_of("auto", Terminal(), {}).style == "logfmt"
    assert look_of("auto", io.StringIO(), {}).style == "json"
    assert json.loads(look_of("auto", io.StringIO(), {}).line(entry()))["model"] == "gemma-3"


def test_a_terminal_without_utf8_gets_ascii() -> None:
    plain = Terminal()
    plain.encoding = "latin-1"
    line = look_of("pretty", plain, {"NO_COLOR": "1"}).line(entry(finish_reason=None))
    assert line.isascii()
    assert "+ completed" in line


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    writer = LogWriter("compact", "warning", stream)
    writer("info", "exchange", list(entry().fields))
    writer("warning", "stream_without_marker", [])
    assert stream.getvalue() == "warning stream_without_marker\n"


@given(st.text(st.characters(categories=None), max_size=20))
def test_a_json_line_is_what_json_makes_of_it_in_ascii(text: str) -> None:
    line = encode_json("info", "log", [("message", text), ("level", text)])
    fields = {"level": text, "event": "log", "message": text}
    assert line == json.dumps(fields, separators=(",", ":"))


def test_lines_of_a_level_that_is_not_shown_are_not_made() -> None:
    made: list[str] = []
    sink = LogLine(lambda level, event, fields: made.append(event), lambda level: level != "debug")
    record = an_exchange("0199aaaa-bbbb-cccc", streaming=False)
    sink.started(record)
    sink.write(record)
    assert made == ["exchange"]


@pytest.mark.parametrize(
    ("status", "anomalies", "told"),
    [
        (Status.STREAM_INCOMPLETE, [], True),
        (Status.UPSTREAM_TIMEOUT, ["finished_without_marker"], True),
        (Status.UPSTREAM_TIMEOUT, [], False),
        (Status.COMPLETED, [], False),
    ],
)
def test_a_stream_says_that_its_marker_was_missed_however_it_ended(
    status: Status, anomalies: list[str], told: bool
) -> None:
    made: list[str] = []
    sink = LogLine(lambda level, event, fields: made.append(event))
    sink.write(an_exchange("0199aaaa-bbbb-cccc", status=status, anomalies=anomalies))
    assert ("stream_without_marker" in made) is told
