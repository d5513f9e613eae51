"""`streamgauge explain`: the whole table of decisions in its words, and as a person runs it (SPEC §18)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamgauge.cli.explain import as_json, as_text, explanation_of
from streamgauge.cli.main import cli
from streamgauge.config.load import LoadOptions, load

from ..core.routing.decisions import CASES, CONFIG, Case

LOADED = load(LoadOptions(config=CONFIG, environ={})).config


@pytest.fixture(autouse=True)
def _only_our_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("STREAMGAUGE_CONFIG", raising=False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_phase_rule_and_candidates_are_told_of_each_case_of_the_table(case: Case) -> None:
    found = explanation_of(LOADED, case.endpoint, case.request, case.header.items(), case.key)
    words, plain = as_text(found), as_json(found)
    phase, _, rule = case.route.partition(":")
    told_phase = found.phase
    assert told_phase is not None
    assert told_phase == phase or (told_phase, phase) == ("upstreams", "models")
    assert f"phase     {told_phase}" in words.splitlines()
    assert (f"rule      {rule}" in words.splitlines()) is bool(rule)
    assert (plain["phase"], plain["rule"]) == (told_phase, rule or None)
    lines = [line.split() for line in words.splitlines()]
    for number, item in enumerate(case.tried, 1):
        upstream, _, model = item.partition(">")[0].partition("/")
        dialect = item.partition(">")[2]
        wanted = [f"{number}.", upstream, *(model or "no model").split(), "as", dialect or "is"]
        assert any(line[: len(wanted)] == wanted for line in lines), wanted
    for upstream, reason in case.out.items():
        assert any(x.startswith("-") and upstream in x and reason in x for x in words.splitlines())
    assert [c["place"] for c in plain["candidates"] if c["place"]] == [
        *range(1, len(case.tried) + 1)
    ]
    assert (case.error is None) is (plain["error"] is None)


def test_a_person_is_told_in_lines() -> None:
    arguments = ["explain", "--config", str(CONFIG), "--header", "X-Team=batch-eu", "anything"]
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "phase     rule",
        "rule      batch",
        "strategy  cheapest",
        "1.  cheap       gpt-4.1-mini    as is     1 USD per 1M",
        "2.  sats        gpt-4.1         as is     priced in sat",
        "3.  local       qwen3-8b        as is     unpriced",
        "-   openrouter  openai/gpt-4.1  left out  5 USD per 1M, over 3 USD",
    ]


def test_a_request_from_a_file_or_stdin_is_read_and_a_named_model_wins(tmp_path: Path) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "the nightly run"}]}
    (tmp_path / "body.json").write_text(json.dumps(body))
    start = ["explain", "--config", str(CONFIG), "--json", "--key", "ci-1", "--request"]
    for arguments, text in (
        ([*start, "body.json"], None),
        ([*start, "-"], json.dumps(body)),
        ([*start, "body.json", "other"], None),
    ):
        result = CliRunner().invoke(cli, arguments, input=text)
        told = json.loads(result.stdout)
        assert (result.exit_code, told["route"]) == (0, "rule:nightly")
    result = CliRunner().invoke(cli, [*start, "body.json", "attic/other"])
    assert json.loads(result.stdout)["candidates"] == [
        {"place": 1, "upstream": "attic", "model": "other", "dialect": None,
         "reason": "in the order of the configuration"}
    ]  # fmt: skip


def test_a_file_in_the_place_of_a_model_is_noticed() -> None:
    Path("request.json").write_text("{}")
    result = CliRunner().invoke(cli, ["explain", "--config", str(CONFIG), "request.json"])
    hint = "request.json is taken for a model; the file is read with --request\n"
    assert (result.exit_code, result.stderr) == (0, hint)


def test_no_route_is_exit_1_with_what_the_client_would_be_told() -> None:
    arguments = ["explain", "--config", str(CONFIG), "--endpoint", "completions", "claude/x"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith(
        "404 no_route: upstream claude (anthropic) has"
    )
    assert (
        json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)["error"]["status"] == 404
    )


def test_a_name_too_long_for_a_file_is_a_model_and_a_header_holds_any_bytes() -> None:
    start = ["explain", "--config", str(CONFIG), "--header", "x-team=\udcff"]
    for model in ("m" * 256, "no/such/file"):
        assert "Traceback" not in CliRunner().invoke(cli, [*start, model]).output
    result = CliRunner().invoke(cli, [*start, "m" * 256])
    assert isinstance(result.exception, SystemExit | None), result.exception


def test_what_is_no_request_or_no_header_is_exit_2_and_no_configuration_exit_3() -> None:
    start = ["explain", "--config", str(CONFIG)]
    for arguments, text, words in (
        (["--request", "-"], "{", "this is no request"),
        (["--request", "-", "m"], "[]", "this is no request"),
        (["--header", "x-team"], "", "a header is NAME=VALUE"),
        (["--header", "x team=a"], "", "a header is NAME=VALUE"),
        (["--header", "x-\udcff=a"], "", "a header is NAME=VALUE"),
    ):
        result = CliRunner().invoke(cli, [*start, *arguments], input=text)
        assert (result.exit_code, words in result.stderr) == (2, True), result.output
    assert CliRunner().invoke(cli, ["explain", "--config", "nowhere.yaml", "m"]).exit_code == 3
