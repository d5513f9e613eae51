"""`prices lookup|list`: what a model costs where, since when, and which line says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from click.testing import CliRunner, Result

from streamgauge.cli.prices import prices

LISTED = f"genai-prices {genai_prices.__version__}"
CONFIG = """\
upstreams:
  - {name: local, kind: llamacpp, base_url: "http://127.0.0.1:1"}
  - {name: cloud, kind: anthropic, base_url: "http://127.0.0.1:1"}
prices:
  - {upstream: local, model: "qwen*", currency: sat, input: 0, output: 0, fee: 21}
  - model: "gpt-5*"
    input: 1.25
    output: 10
    tiers: [{above: 200000, input: 2.5, output: 15}]
    service_tiers:
      - {name: flex, input: 0.625, output: 5, tiers: [{above: 9, input: 1, output: 6}]}
    valid_from: 2026-01-01
    currency: USD
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "streamgauge.yaml"
    found.write_text(CONFIG)
    return found


def run(*arguments: object) -> Result:
    return CliRunner().invoke(prices, [str(each) for each in arguments])


def objects(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_lookup_names_the_line_of_the_entry(file: Path) -> None:
    result = run("lookup", "qwen3", "--config", file)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"qwen3 at local (llamacpp): from {file}:5:5",
        "  input        0 sat / 1M tokens",
        "  output       0 sat / 1M tokens",
        "  fee          21 sat / request",
        "qwen3 at cloud (anthropic): unknown: no entry of `prices` fits, and no list has it",
    ]


def test_a_lookup_as_json_is_an_object_a_line(file: Path) -> None:
    known, unknown = objects(run("lookup", "qwen3", "--config", file, "--json"))
    assert known == {
        "upstream": "local",
        "kind": "llamacpp",
        "model": "qwen3",
        "cost_source": "config",
        "origin": f"{file}:5:5",
        "price": {
            "source": "config",
            "currency": "sat",
            "input": "0",
            "output": "0",
            "fee": "21",
            "upstream": "local",
            "model": "qwen*",
        },
    }
    assert (unknown["price"], unknown["cost_source"], unknown["origin"]) == (None, None, None)


def test_a_price_of_the_list_names_the_list_s_version(file: Path) -> None:
    result = run("lookup", "claude-sonnet-4-5", "--upstream", "cloud", "--config", file)
    lines = result.stdout.splitlines()
    assert lines[0] == f"claude-sonnet-4-5 at cloud (anthropic): from {LISTED}"
    assert "  cache_write  3.75 USD / 1M tokens" in lines
    assert "  input        6 USD / 1M tokens, more than 200000 read" in lines


@pytest.mark.parametrize(
    ("when", "code"), [("2025-12-31T23:59:59Z", 1), ("2026-01-01", 0), ("2026-01-01T01:00+01:00", 0)]
)  # fmt: skip
def test_a_lookup_is_of_its_moment(file: Path, when: str, code: int) -> None:
    result = run("lookup", "gpt-5.1", "--upstream", "local", "--at", when, "--config", file)
    assert result.exit_code == code, result.output


def test_all_rates_of_an_entry_are_told(file: Path) -> None:
    lines = run("lookup", "gpt-5", "--upstream", "local", "--config", file).stdout.splitlines()
    assert lines[1:] == [
        "  input        1.25 USD / 1M tokens",
        "  output       10 USD / 1M tokens",
        "  input        2.5 USD / 1M tokens, more than 200000 read",
        "  output       15 USD / 1M tokens, more than 200000 read",
        "  input        0.625 USD / 1M tokens, served as flex",
        "  output       5 USD / 1M tokens, served as flex",
        "  input        1 USD / 1M tokens, served as flex, more than 9 read",
        "  output       6 USD / 1M tokens, served as flex, more than 9 read",
        "  valid_from   2026-01-01T00:00:00Z",
    ]


def test_an_unknown_price_is_a_finding(file: Path) -> None:
    result = run("lookup", "nobody-s-model", "--config", file)
    assert result.exit_code == 1
    assert result.stdout.count("unknown") == 2


def test_a_kind_stands_for_an_upstream_that_is_not_there_yet(file: Path) -> None:
    (plain,) = objects(run("lookup", "gpt-4o", "--kind", "openai", "--config", file, "--json"))
    assert (plain["upstream"], plain["origin"]) == ("openai", LISTED)
    (named,) = objects(
        run("lookup", "gpt-4o", "--kind", "openai", "--upstream", "x", "--config", file, "--json")
    )
    assert (named["upstream"], named["cost_source"]) == ("x", LISTED)
    (there,) = objects(run("lookup", "qwen3", "--kind", "llamacpp", "--config", file, "--json"))
    assert there["upstream"] == "local"


def test_without_a_configuration_each_kind_of_the_list_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    result = run("lookup", "gpt-4o", "--json")
    assert [one["kind"] for one in objects(result)] == ["anthropic", "openai", "openrouter"]
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--upstream", "nobody"), "configured: local, cloud"),
        (("--kind", "gpt"), "must be one of llamacpp"),
        (("--at", "soon"), "must be a date or time"),
        (("--at", "0001-01-01T00:00+14:00"), "must be a date or time"),
    ],
)
def test_a_wrong_option_is_a_usage_error(file: Path, arguments: tuple[str, ...], says: str) -> None:
    result = run("lookup", "m", "--config", file, *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize("verb", [("lookup", "m"), ("list",)])
def test_a_configuration_that_is_wrong_ends_with_its_exit_code(
    file: Path, verb: tuple[str, ...]
) -> None:
    file.write_text("prices:\n  - {input: 3 USD}\n")
    result = run(*verb, "--config", file)
    assert result.exit_code == 3
    assert f"{file}:2:6: prices[0].input: must be a decimal number" in result.stderr


def test_the_list_has_each_entry_with_its_line_and_then_the_price_list(file: Path) -> None:
    lines = run("list", "--config", file).stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        f"{file}:5:5: local / qwen*",
        f"{file}:6:5: * / gpt-5*",
        f"{LISTED}: whatever no entry fits, at upstreams of kind anthropic, openai, openrouter",
    ]
    plain = objects(run("list", "--config", file, "--json"))
    assert [one["origin"] for one in plain] == [f"{file}:5:5", f"{file}:6:5", LISTED]
    assert plain[1]["price"]["service_tiers"][0]["name"] == "flex"
    assert plain[2]["kinds"] == ["anthropic", "openai", "openrouter"]
