"""`streamgauge keys`: what its verbs print, what they refuse, and how they end (SPEC §15.1, §18)."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamgauge.cli.keys import keys
from streamgauge.core.keys import is_well_formed
from streamgauge.ledger.key_secret import secret_path
from streamgauge.ledger.lock import LedgerLock
from streamgauge.ledger.schema import open_for_writing

DAY_US = 86_400_000_000


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STREAMGAUGE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(keys, arguments)


def ok(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def create(*arguments: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(ok("create", "--label", "ann", "--json", *arguments))
    return made


def listed() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ok("ls", "--json").splitlines()]


def test_a_new_key_is_printed_once_with_id_and_label() -> None:
    made = create()
    assert list(made) == ["id", "key", "label"]
    assert made["label"] == "ann"
    assert is_well_formed(made["key"])
    later = ok("ls") + ok("ls", "--json")
    assert made["id"] in later
    assert made["key"][:10] in later
    assert made["key"] not in later


def test_without_json_the_key_stands_alone_on_stdout() -> None:
    result = run("create", "--label", "ann")
    assert is_well_formed(result.stdout.removesuffix("\n"))
    assert "not shown again" in result.stderr


def test_every_limit_is_stored_as_it_was_given() -> None:
    before = time.time_ns() // 1000
    create("--models", "qwen3-*, gpt-5,gpt-5", "--max-streams", "3", "--rpm", "60", "--tpm", "9",
           "--per-day", "5 usd", "--per-month", "0.5 usd", "--expires", "30d")  # fmt: skip
    (row,) = listed()
    limits = {name: row[name] for name in ("max_streams", "rpm", "tpm", "per_day", "per_month")}
    assert limits == {
        "max_streams": 3, "rpm": 60, "tpm": 9, "per_day": "5 USD", "per_month": "0.5 USD"
    }  # fmt: skip
    assert row["models"] == ["qwen3-*", "gpt-5"]
    assert 0 <= row["expires_at"] - before - 30 * DAY_US < 60_000_000
    assert row["state"] == "active"


def test_a_key_without_limits_has_none() -> None:
    create("--rpm", "none", "--expires", "none", "--models", "none")
    (row,) = listed()
    assert row["models"] == []
    assert {
        row[n] for n in ("rpm", "tpm", "max_streams", "per_day", "per_month", "expires_at")
    } == {None}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rpm", "0"], ["--rpm", "-1"], ["--rpm", "many"], ["--tpm", "1.5"],
        ["--max-streams", "1e3"], ["--per-day", "5"], ["--per-day", "0 USD"],
        ["--per-day", "-5 USD"], ["--per-day", "USD 5"], ["--per-day", "5 $"],
        ["--per-day", "0.0000000001 USD"], ["--per-day", "1e18 USD"], ["--per-month", "5 USD EUR"],
        ["--per-day", "5 USD", "--per-month", "50 EUR"],
        ["--models", "gpt-[5"], ["--models", ""], ["--models", "a,,b"], ["--models", "a\x07"], ["--models", "x" * 201],
        ["--expires", "soon"], ["--expires", "2001-01-01"], ["--expires", "0d"],
        ["--expires", "999999w"], ["--label", " "], ["--label", "a\nb"], ["--label", "x" * 101],
    ],
)  # fmt: skip
def test_what_is_no_limit_is_a_usage_error_and_makes_no_key(arguments: list[str]) -> None:
    result = run("create", "--label", "ann", *arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.stderr or "label" in result.stderr or "currency" in result.stderr
    assert not Path("streamgauge.db").exists()


@pytest.mark.parametrize("said", ["0 USD", "-5 USD", "5"])
def test_a_limit_in_money_that_is_none_is_told_what_one_is(said: str) -> None:
    told = run("create", "--label", "ann", "--per-day", said).stderr
    assert 'is not an amount above 0 with its currency, such as "5 USD", or none' in told


def test_a_label_is_needed() -> None:
    assert run("create").exit_code == 2


def test_a_rotation_gives_a_new_text_to_the_same_key() -> None:
    made = create("--rpm", "7")
    rotated = json.loads(ok("rotate", made["id"], "--grace", "10m", "--json"))
    assert (rotated["id"], rotated["label"]) == (made["id"], "ann")
    assert rotated["key"] != made["key"]
    (row,) = listed()
    assert (row["rpm"], row["shown"]) == (7, rotated["key"][:10])
    assert row["rotated_at"] is not None


def test_a_rotation_of_a_key_that_has_expired_says_so() -> None:
    made = create("--expires", "1d")
    assert "warning" not in run("rotate", made["id"]).stderr
    with closing(sqlite3.connect("streamgauge.db")) as ledger, ledger:
        ledger.execute("UPDATE client_keys SET expires_at = 1")
    told = run("rotate", made["id"]).stderr
    assert f"warning: {made['id']} has expired, so it opens nothing" in told
    assert "--expires 30d" in told


def test_a_revoked_key_is_listed_as_such_and_has_no_way_back() -> None:
    made = create()
    assert made["id"] in ok("revoke", made["id"])
    assert listed()[0]["state"] == "revoked"
    assert "revoked" in ok("ls")
    for act in (["rotate", made["id"]], ["set", made["id"], "--rpm", "1"]):
        result = run(*act)
        assert (result.exit_code, "for good" in result.stderr) == (1, True)


def test_set_changes_what_is_named_and_none_takes_a_limit_away() -> None:
    made = create("--rpm", "7", "--tpm", "9", "--per-day", "5 USD", "--expires", "1d")
    before = listed()[0]
    assert run("set", made["id"], "--per-month", "50 EUR").exit_code == 2
    assert listed()[0] == before
    ok("set", made["id"], "--label", "anne", "--rpm", "none", "--per-day", "none",
       "--per-month", "50 EUR", "--models", "gpt-*", "--expires", "none")  # fmt: skip
    changed = {
        "label": "anne", "rpm": None, "per_day": None, "per_month": "50 EUR", "models": ["gpt-*"],
        "expires_at": None,
    }  # fmt: skip
    assert listed()[0] == {**before, **changed}


def test_set_without_anything_is_a_usage_error() -> None:
    assert run("set", create()["id"]).exit_code == 2


@pytest.mark.parametrize("verb", [["rotate"], ["revoke"], ["set", "--rpm", "1"]])
def test_an_unknown_id_and_a_missing_ledger_end_with_1(verb: list[str]) -> None:
    absent = run(verb[0], "key_x", *verb[1:])
    assert (absent.exit_code, "no ledger" in absent.stderr) == (1, True)
    assert not Path("streamgauge.db").exists()
    create()
    unknown = run(verb[0], "key_x", *verb[1:])
    assert (unknown.exit_code, "keys ls" in unknown.stderr) == (1, True)


def test_a_lost_secret_ends_with_4_and_names_the_file() -> None:
    create()
    secret_path(Path("streamgauge.db")).unlink()
    result = run("create", "--label", "bob")
    assert result.exit_code == 4
    assert "streamgauge.db.keys-secret is missing" in result.stderr


def test_keys_may_be_written_while_a_gateway_has_the_ledger() -> None:
    create()
    lock = LedgerLock(Path("streamgauge.db"), owner="a gateway")
    try:
        create()
    finally:
        lock.release()
    assert len(listed()) == 2


def test_keys_never_go_to_what_a_demo_has_left() -> None:
    ok("create", "--label", "x", "--ledger", "demo.db")
    create()
    assert [row["label"] for row in listed()] == ["ann"]


def test_an_empty_list_says_how_to_make_one() -> None:
    with closing(open_for_writing(Path("streamgauge.db"))):
        pass
    assert "streamgauge keys create" in ok("ls")
    assert ok("ls", "--json") == ""


def test_a_label_that_would_steer_a_terminal_is_refused() -> None:
    assert run("create", "--label", "\x1b[2J").exit_code == 2


@pytest.mark.parametrize(
    ("said", "meant"),
    [("5 EURO", "5 EUR"), ("5 dollars", "5 USD"), ("5 Sats", "5 sat"), ("5 credits", "5 credits")],
)
def test_a_currency_has_one_name_whatever_people_say(said: str, meant: str) -> None:
    create("--per-day", said)
    assert listed()[0]["per_day"] == meant


def test_a_limit_in_a_currency_that_no_price_is_in_is_warned_of() -> None:
    prices = "prices: [{model: a, input: 1, output: 2, currency: eur}, {currency: 7}, 8]\n"
    Path("streamgauge.yaml").write_text(prices)
    for said, warned in (("5 EURO", False), ("5 USD", False), ("5 apples", True), ("none", False)):
        result = run("create", "--label", "ann", "--per-day", said)
        assert result.exit_code == 0
        assert ("no price here is in apples, only in EUR, USD" in result.stderr) == warned
        assert ("warning" in result.stderr) == warned
    changed = run("set", listed()[0]["id"], "--per-day", "3 GBP", "--rpm", "none")
    assert "no price here is in GBP" in changed.stderr
    assert run("set", listed()[1]["id"], "--per-day", "none").stderr == ""
    Path("streamgauge.yaml").write_text("a: [")
    blind = run("create", "--label", "ann", "--per-day", "5 apples", "--ledger", "far.db")
    assert (blind.exit_code, "warning" in blind.stderr) == (0, False)
