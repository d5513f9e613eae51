"""`streamgauge config check`, as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamgauge.cli.config import config

GOOD = """\
upstreams:
  - {name: local, kind: llamacpp, base_url: "http://127.0.0.1:8080"}
  - {name: cloud, kind: openrouter, base_url: "https://openrouter.ai/api/v1", api_key: canary-text}
routing: {default: {to: [cloud]}}
"""


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("STREAMGAUGE_CONFIG", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_a_good_file_is_summed_up_with_exit_0_and_warnings_on_stderr() -> None:
    Path("streamgauge.yaml").write_text(GOOD)
    result = CliRunner().invoke(config, ["check"])
    assert result.exit_code == 0
    first, *rest = result.stdout.splitlines()
    assert first.startswith("streamgauge.yaml: ok, version ")
    assert rest == [
        "data      http://127.0.0.1:8066",
        "control   http://127.0.0.1:8067",
        "ledger    streamgauge.db",
        "upstream  local  llamacpp  http://127.0.0.1:8080",
        "upstream  cloud  openrouter  https://openrouter.ai/api/v1  (default)",
    ]
    assert result.stderr == (
        "warning: streamgauge.yaml:3:79: upstreams[1].api_key: "
        "a key stands here as text; write ${NAME} or file:/path\n"
    )


def test_mistakes_go_to_stderr_with_exit_3() -> None:
    Path("bad.toml").write_text('[server]\nport = "x"\nhots = "h"\n')
    result = CliRunner().invoke(config, ["check", "bad.toml"])
    assert result.exit_code == 3
    assert result.stdout == ""
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == [
        "bad.toml:2:1",
        "bad.toml:3:1",
    ]


def test_a_missing_file_is_a_mistake_too() -> None:
    result = CliRunner().invoke(config, ["check", "no.yaml"])
    assert result.exit_code == 3
    assert result.stderr == (
        "no.yaml: configuration: cannot read no.yaml: No such file or directory\n"
    )


def test_without_any_file_it_says_that_there_is_no_upstream() -> None:
    result = CliRunner().invoke(config, ["check"])
    assert result.exit_code == 0
    assert result.stdout.startswith("no file: ok, version ")
    assert "upstream  none" in result.stdout


def test_an_open_bind_that_asks_for_no_key_needs_the_flag() -> None:
    Path("streamgauge.yaml").write_text("server: {host: '::'}\nkeys: {required: false}")
    assert CliRunner().invoke(config, ["check"]).exit_code == 3
    result = CliRunner().invoke(config, ["check", "--insecure-no-auth"])
    assert result.exit_code == 0
    assert "http://[::]:8066" in result.stdout


def test_a_ledger_in_a_directory_that_is_not_there_is_worth_a_warning(tmp_path: Path) -> None:
    Path("streamgauge.yaml").write_text(f"ledger: {{url: 'sqlite:///{tmp_path}/no/x.db'}}\n")
    done = CliRunner().invoke(config, ["check"])
    cure = "make it before the gateway starts"
    said = f"ledger.url: there is no directory {tmp_path}/no: {cure}"
    assert (done.exit_code, done.stderr) == (0, f"warning: streamgauge.yaml:1:10: {said}\n")
    (tmp_path / "no").mkdir()
    assert CliRunner().invoke(config, ["check"]).stderr == ""


def test_json_tells_a_good_file_and_mistakes_to_programs() -> None:
    Path("streamgauge.yaml").write_text(GOOD)
    good = CliRunner().invoke(config, ["check", "--json"])
    told = json.loads(good.stdout)
    assert (good.exit_code, told["ok"], told["problems"]) == (0, True, [])
    assert (told["file"], told["ledger"]) == ("streamgauge.yaml", "streamgauge.db")
    assert (told["data"], told["control"]) == ("http://127.0.0.1:8066", "http://127.0.0.1:8067")
    assert [(each["name"], each["default"]) for each in told["upstreams"]] == [
        ("local", False),
        ("cloud", True),
    ]
    assert [f"warning: {each}" for each in told["warnings"]] == good.stderr.splitlines()
    assert "canary-text" not in good.output

    Path("bad.toml").write_text('[server]\nport = "x"\nhots = "h"\n')
    bad = CliRunner().invoke(config, ["check", "--json", "bad.toml"])
    told = json.loads(bad.stdout)
    lines = [f"{each['place']}: {each['path']}: {each['message']}" for each in told["problems"]]
    assert (bad.exit_code, told["ok"], lines) == (3, False, bad.stderr.splitlines())
    assert len(lines) == 2


@pytest.mark.parametrize("verb", ["check", "show"])
def test_the_file_is_named_by_itself_or_as_in_the_other_verbs(verb: str) -> None:
    Path("streamgauge.yaml").write_text("upstreams: 7")
    Path("good.yaml").write_text(GOOD)
    by_itself = CliRunner().invoke(config, [verb, "good.yaml"])
    by_option = CliRunner().invoke(config, [verb, "--config", "good.yaml"])
    both = CliRunner().invoke(config, [verb, "good.yaml", "--config", "streamgauge.yaml"])
    assert (by_option.exit_code, by_option.stdout) == (0, by_itself.stdout)
    assert both.exit_code == 2
    assert "two files: good.yaml and streamgauge.yaml" in both.stderr
