"""`streamgauge show ID`: one exchange, spelled out (SPEC §18.0)."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from streamgauge.cli.exchange_page import print_exchange
from streamgauge.cli.show import show
from streamgauge.core.record import Status
from streamgauge.ledger.reader import LedgerReader
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS

from .books import NOW, PRICE, an_attempt, an_exchange, write

ID = "0199aaaa-first"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "books.db"
    record = an_exchange(ID, context_used=1100, context_total=8192, context_percent=13.4)
    failed = an_attempt(record, outcome="upstream_error", http_status=503, upstream="other",
                        finished_at=NOW + 8_000, may_have_been_billed=False)  # fmt: skip
    served = an_attempt(record, 2, started_at=NOW + 9_000, connected_ms=9.5, last_token_ms=1350.0,
                        usage_ms=1390.0)  # fmt: skip
    write(path, (record, [failed, served]), (an_exchange("0199bbbb-second"), []))
    return path


def run(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(show, [*arguments, "--ledger", str(path)])


def page_of(tmp_path: Path, **values: Any) -> dict[str, list[str]]:
    """Return the page of an exchange with these values: each section's lines."""
    path = tmp_path / "one.db"
    record = an_exchange("one-exchange-alone", **values)
    write(path, (record, []))
    result = run(path, "one")
    assert result.exit_code == 0, result.output
    sections: dict[str, list[str]] = {}
    for line in result.stdout.splitlines():
        if line and not line.startswith(" "):
            lines = sections.setdefault(line.strip(), [])
        elif line.strip():
            lines.append(" ".join(line.split()))
    return sections


def test_json_is_the_request_and_its_attempts(path: Path) -> None:
    result = run(path, ID, "--json")
    found = json.loads(result.stdout)
    assert list(found) == ["request", "attempts"]
    assert tuple(found["request"]) == REQUESTS.names
    assert [tuple(attempt) for attempt in found["attempts"]] == [ATTEMPTS.names] * 2
    assert [attempt["may_have_been_billed"] for attempt in found["attempts"]] == [False, True]


def test_a_unique_beginning_is_enough(path: Path) -> None:
    assert json.loads(run(path, "0199a", "--json").stdout)["request"]["id"] == ID


def test_an_ambiguous_beginning_names_the_candidates(path: Path) -> None:
    result = run(path, "0199")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"{ID}, 0199bbbb-second: give more of it" in result.stderr


def test_the_clients_own_request_id_finds_the_exchange_too(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    records = [
        an_exchange("aaaa-1", client_request_id="once"),
        an_exchange("aaaa-2", client_request_id="twice"),
        an_exchange("aaaa-3", client_request_id="twice"),
        an_exchange("once-own-id", client_request_id="other"),
        an_exchange("bbbb-5", client_request_id="aaaa-1"),
    ]
    write(path, *((record, []) for record in records))
    found = json.loads(run(path, "other", "--json").stdout)
    assert found["request"]["id"] == "once-own-id"
    ours = json.loads(run(path, "once", "--json").stdout)
    assert ours["request"]["id"] == "once-own-id", "our own ids come first"
    assert json.loads(run(path, "aaaa-1", "--json").stdout)["request"]["id"] == "aaaa-1"
    several = run(path, "twice")
    assert several.exit_code == 1
    assert "'twice' for several exchanges, newest first: aaaa-3, aaaa-2: name one" in several.stderr


@pytest.mark.parametrize("id", ["nobody", "", "0199_aaa", "%"])
def test_an_unknown_id_exits_with_1(path: Path, id: str) -> None:
    result = run(path, id, "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "no exchange" in result.stderr


def test_no_ledger_exits_with_1_and_says_how_to_make_one(tmp_path: Path) -> None:
    result = run(tmp_path / "none.db", "x")
    assert result.exit_code == 1
    assert "streamgauge serve" in result.stderr


def test_no_id_is_a_usage_error(path: Path) -> None:
    assert run(path).exit_code == 2


def test_the_page_tells_the_whole_story(path: Path) -> None:
    head, text = run(path, ID).stdout.split("\ntimeline\n")
    assert head.startswith(
        f"{ID}  ✓ completed\n"
        "  The upstream sent its end marker, and the client was there to the end. There were 2 "
        "attempts: 1 at other: upstream_error (HTTP 503), 2 at sim: completed.\n"
    )
    order = ["accepted", "routed", "attempt 1 at other ended: upstream_error", "headers",
             "attempt 2 at sim begun", "connected", "first byte", "first token", "last token",
             "usage", "end marker", "attempt 2 at sim ended: completed",
             "row committed"]  # fmt: skip
    places = [text.index(step) for step in order]
    assert places == sorted(places)
    for part in ("1100 of 8192  13.4 %", "the upstream's final numbers (provider)", "none"):
        assert part in text
    assert "\x1b" not in text


def test_the_cost_is_worked_out_term_by_term(tmp_path: Path) -> None:
    assert page_of(tmp_path)["cost"] == [
        "price of sim / gemma*",
        "input 600 × 2 EUR / 1M = 0.0012",
        "cache_read 400 × 0.5 EUR / 1M = 0.0002",
        "output 100 × 8 EUR / 1M = 0.0008",
        "fee 0.001",
        "booked 0.0032 EUR from config",
    ]


def test_the_service_tier_of_the_price_is_named(tmp_path: Path) -> None:
    flex = replace(PRICE, service_tier="flex")
    bare = replace(flex, upstream=None, model=None)
    assert page_of(tmp_path, price=flex.as_json())["cost"][0] == (
        "price of sim / gemma*, served as flex"
    )
    (tmp_path / "one.db").unlink()
    assert page_of(tmp_path, price=bare.as_json())["cost"][0] == "price of served as flex"


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ({"cost_nano": None, "cost_reason": "no_price", "price": None}, ["booked – no_price"]),
        (
            {"cost_source": "upstream", "currency": "USD", "cost_nano": 1234},
            ["price as the upstream stated it for this call", "booked 0.000001234 USD from upstream"],
        ),
        (
            {"price": '{"odd": 1}', "cost_nano": 5},
            ['price kept in no form that is known: {"odd": 1}',
             "booked 0.000000005 EUR from config"],
        ),
        (
            {"price": "cheap"},
            ['price kept in no form that is known: "cheap"', "booked 0.0032 EUR from config"],
        ),
        (
            {"input_tokens": None, "cost_nano": 7},
            ["price does not fit the row's counts: input_unknown",
             "booked 0.000000007 EUR from config"],
        ),
    ],
)  # fmt: skip
def test_a_cost_that_has_no_terms(tmp_path: Path, values: dict[str, Any], lines: list[str]) -> None:
    assert page_of(tmp_path, **values)["cost"] == lines


def test_terms_that_do_not_add_up_are_not_hidden(tmp_path: Path) -> None:
    assert page_of(tmp_path, cost_nano=9)["cost"][-2:] == [
        "together 0.0032 EUR: not what was booked",
        "booked 0.000000009 EUR from config",
    ]


def test_estimates_and_unknowns_are_marked(tmp_path: Path) -> None:
    page = page_of(
        tmp_path, status=Status.CANCELLED, usage_source="counted", input_source="none",
        input_tokens=None, cache_read_tokens=None, output_tokens=17, cost_nano=None, price=None,
        anomalies=["slow_reader", "partial_usage"],
    )  # fmt: skip
    assert page["usage, as reported and as booked"] == [
        "count reported booked source",
        "input – –",
        "cache read – –",
        "cache write – –",
        "output – 17~ counted here: frames with content, at most the tokens (counted)",
        "reasoning – –",
    ]
    assert page["anomalies"] == [
        "slow_reader the client read nothing for write_seconds, and was cut off",
        "partial_usage the input is the upstream's count, the output is our own",
    ]
    assert page["attempts"] == ["none: no upstream was called"]


def test_what_the_upstream_reported_stands_beside_what_was_booked(tmp_path: Path) -> None:
    page = page_of(
        tmp_path, usage_source="running", input_source="provider", input_tokens=1000,
        cache_read_tokens=400, cache_write_tokens=None, output_tokens=17, reasoning_tokens=0,
    )  # fmt: skip
    assert page["usage, as reported and as booked"][1:] == [
        "input 1000 1000 the upstream's final numbers (provider)",
        "cache read 400 400 the upstream's final numbers (provider)",
        "cache write – –",
        "output 17 17~ the upstream's running count when it was cut (running)",
        "reasoning 0 0~ the upstream's running count when it was cut (running)",
    ]


def test_an_attempt_that_was_completed_is_billed_and_one_that_was_cut_perhaps(
    tmp_path: Path,
) -> None:
    record = an_exchange("three-attempts")
    ends = (("upstream_error", False), ("stream_incomplete", True), ("completed", True))
    attempts = [
        an_attempt(record, n, outcome=outcome, may_have_been_billed=billed)
        for n, (outcome, billed) in enumerate(ends, 1)
    ]
    write(tmp_path / "one.db", (record, attempts))
    lines = run(tmp_path / "one.db", "three").stdout.partition("\nattempts\n")[2].splitlines()
    place = lines[0].index("billed")
    assert [line[place:].split()[0] for line in lines[1:4]] == ["no", "perhaps", "yes"]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_word_of_the_attempts_and_counts_is_cut_in_a_narrow_window(
    path: Path, width: int
) -> None:
    with LedgerReader(path) as reader:
        request, attempts = reader.exchange(ID) or ({}, [])
    out = io.StringIO()
    print_exchange(request, attempts, Console(file=out, width=width, highlight=False))
    text = out.getvalue()
    assert "…" not in text.partition("\nusage")[2]
    wide = "n  upstream  dialect" in text
    assert wide == (width == 200)
    for word in ("upstream_error", "first byte", "completed", "cache write"):
        assert word in text
    assert max(map(len, text.partition("\nusage")[2].splitlines())) <= width


def test_an_exchange_in_flight_has_no_end(tmp_path: Path) -> None:
    page = page_of(tmp_path, status=Status.IN_FLIGHT, finished_at=None, stream_duration_ms=None)
    assert page["timeline"][-1] == "– not ended"


def test_the_wait_for_the_next_start_is_no_pace(tmp_path: Path) -> None:
    path, crash = tmp_path / "one.db", Status.GATEWAY_CRASH
    after = {"finished_at": NOW + 3 * 86_400 * 10**6, "success": False}
    record = an_exchange("a-crashed-exchange", status=crash, stream_duration_ms=None, **after)
    attempt = an_attempt(record, outcome=crash, first_byte_ms=None, connected_ms=None,
                         finished_at=record.finished_at)  # fmt: skip
    write(path, (record, [attempt]))
    page = run(path, "a-crashed").stdout
    assert "slowest step" not in page
    attempts = page.partition("\nattempts\n")[2].splitlines()
    assert "gateway_crash" in attempts[1]
    assert " d" not in attempts[1].partition("gateway_crash")[2]


def test_an_empty_row_makes_a_page(tmp_path: Path) -> None:
    names = set(REQUESTS.names) - {"id", "owner", "started_at", "status", "anomalies"}
    page = page_of(tmp_path, status=Status.REJECTED, **dict.fromkeys(names))
    assert page["cost"] == ["booked –"]
    assert page["anomalies"] == ["none"]
    assert "pace" not in page
