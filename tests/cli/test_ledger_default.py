"""Which ledger the reading verbs take when none is named: the gateway's, else the demo's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from streamgauge.cli.ls import ls
from streamgauge.cli.main import VERBS, cli
from streamgauge.cli.show import show
from streamgauge.cli.tail import tail

from .books import an_exchange, write


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STREAMGAUGE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("server:\n  port: 1\nledger:\n  url: 5\n", "4:3: ledger.url: must be text"),
        ("ledger: 5\n", "1:1: ledger: must be a mapping"),
        ("ledger:\n  url: mysql://h/x\n", "2:3: ledger.url: must be sqlite:///FILE"),
    ],
)
@pytest.mark.parametrize("arguments", [["ls"], ["tail"], ["keys", "ls"], ["ledger", "backup", "x"]])
def test_a_ledger_that_is_none_is_told_by_its_place_in_the_file(
    arguments: list[str], text: str, told: str
) -> None:
    Path("streamgauge.yaml").write_text(text)
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"streamgauge.yaml:{told}" in result.stderr
    assert "(see `streamgauge config check`)" in result.stderr


def ids(*arguments: str) -> list[str]:
    result = CliRunner().invoke(ls, ["--json", *arguments])
    assert result.exit_code == 0, result.stderr
    return [line.split('"')[3] for line in result.stdout.splitlines()]


def a_ledger(name: str) -> None:
    write(Path(name), (an_exchange(f"in-{name}"), []))


def test_the_one_in_the_working_directory() -> None:
    a_ledger("streamgauge.db")
    a_ledger("demo.db")
    assert ids() == ["in-streamgauge.db"]


def test_after_a_demo_its_ledger_is_shown_and_said() -> None:
    a_ledger("demo.db")
    for verb, words in ((ls, ["--json"]), (show, ["in-demo"]), (tail, ["--no-follow"])):
        result = CliRunner().invoke(verb, words)
        assert result.exit_code == 0
        assert "in-demo.db" in result.stdout
        assert (
            result.stderr == "no streamgauge.db here: this is --ledger demo.db, left by the demo\n"
        )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "streamgauge.yaml",
            "ledger: {url: 'sqlite:///${BOOKS}'}\nupstreams: [{api_key: '${NOT_SET}'}]",
        ),
        ("streamgauge.toml", "[ledger]\nurl = 'sqlite:///${BOOKS}'\n[server]\nprot = 1"),
        ("xdg/streamgauge/streamgauge.yaml", "ledger: {url: 'sqlite:///other.db'}"),
    ],
)
def test_the_configurations_whatever_else_is_wrong_with_it(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKS", "other.db")
    for each in ("streamgauge.db", "other.db", "third.db"):
        a_ledger(each)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    assert ids() == ["in-other.db"]
    monkeypatch.setenv("STREAMGAUGE_LEDGER__URL", "sqlite:///third.db")
    assert ids() == ["in-third.db"]
    assert ids("--ledger", "streamgauge.db") == ["in-streamgauge.db"]


def test_a_named_configuration_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    a_ledger("streamgauge.db")
    a_ledger("other.db")
    Path("streamgauge.yaml").write_text("ledger: {url: 'sqlite:///streamgauge.db'}")
    Path("named.yaml").write_text("ledger: {url: 'sqlite:///other.db'}")
    monkeypatch.setenv("STREAMGAUGE_CONFIG", "named.yaml")
    assert ids() == ["in-other.db"]


def failed(text: str) -> Result:
    Path("streamgauge.yaml").write_text(text)
    a_ledger("streamgauge.db")
    result = CliRunner().invoke(ls, [])
    assert (result.exit_code, result.stdout) == (3, "")
    assert "streamgauge config check" in result.stderr
    return result


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "ledger: {url: 'sqlite:///${NOT_SET_HERE}'}",
            "streamgauge.yaml:1:10: ledger.url: the environment variable NOT_SET_HERE",
        ),
        ("ledger: {url: 'postgresql://h/db'}", "ledger.url: PostgreSQL is not served yet"),
        (
            "ledger: {url: streamgauge.db}",
            "streamgauge.yaml:1:10: ledger.url: must be sqlite:///FILE",
        ),
        ("ledger: {url: 'sqlite:///streamgauge.db?mode=ro'}", "must hold no query and no fragment"),
        ("ledger: [", "streamgauge.yaml"),
        ("\0", "streamgauge.yaml"),
    ],
)
def test_another_ledger_is_never_shown_for_one_that_cannot_be_named(text: str, words: str) -> None:
    assert words in failed(text).stderr


@pytest.mark.parametrize("text", ["", "ledger: 5"])
def test_who_judges_a_log_hears_nothing_of_ledgers(text: str) -> None:
    Path("streamgauge.yaml").write_text(text)
    a_ledger("demo.db")
    result = CliRunner().invoke(cli, ["tail", "--log", "-"], input="")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("no EMIT line was read")


def test_nothing_anywhere_says_how_to_make_one() -> None:
    result = CliRunner().invoke(ls, [])
    assert result.exit_code == 1
    assert "there is no ledger at streamgauge.db" in result.stderr
    assert "streamgauge demo" in result.stderr


def test_a_configuration_that_is_named_tells_which_ledger_it_is() -> None:
    Path("streamgauge.yaml").write_text("ledger: 5")
    Path("far.yaml").write_text("ledger: {url: 'sqlite:///far.db'}\nserver: {port: 4711}")
    a_ledger("far.db")
    a_ledger("near.db")
    assert ids("--config", "far.yaml") == ["in-far.db"]
    assert ids("--ledger", "near.db", "--config", "far.yaml") == ["in-near.db"]
    made = CliRunner().invoke(cli, ["keys", "create", "--label", "x", "--config", "far.yaml"])
    assert made.exit_code == 0, made.stderr
    listed = CliRunner().invoke(cli, ["keys", "ls", "--json", "--ledger", "far.db"])
    assert '"label": "x"' in listed.stdout
    pointed = CliRunner().invoke(cli, ["env", "openai", "--config", "far.yaml"])
    assert "http://127.0.0.1:4711/v1" in pointed.stdout


def test_a_configuration_that_is_named_and_not_there_ends_the_verb() -> None:
    a_ledger("streamgauge.db")
    for arguments in (["ls"], ["keys", "ls"], ["env", "openai"], ["top", "--once"], ["capture"]):
        result = CliRunner().invoke(cli, [*arguments, "--config", "nobody.yaml"])
        assert (result.exit_code, result.stdout) == (3, "")
        assert "cannot read nobody.yaml: No such file or directory" in result.stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/dev/zero", "/dev/zero: configuration: is larger than 4194304 bytes"),
        ("latin.yaml", "latin.yaml:2:4: configuration: is not UTF-8 text"),
        ("folder", "cannot read folder: Is a directory"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_as_serve_tells_it(name: str, told: str) -> None:
    Path("latin.yaml").write_bytes(b"a: 1\nb: \xfc\n")
    Path("folder").mkdir()
    result = CliRunner().invoke(cli, ["ls", "--config", name])
    assert (result.exit_code, result.stdout) == (3, "")
    assert told in result.stderr


def test_every_verb_that_reads_the_configuration_can_be_told_which() -> None:
    alone = {"demo", "sim", "replay", "bench", "verify", "config init", "config schema"}
    names = [name for name in VERBS if name not in alone]
    commands = dict(_leaves((name, VERBS[name].load()) for name in names))
    without = [
        name
        for name, command in commands.items()
        if not any("--config" in param.opts for param in command.params)
    ]
    assert set(without) - alone - {"config reference"} == set()


def _leaves(named: Iterable[tuple[str, click.Command]]) -> Iterator[tuple[str, click.Command]]:
    for name, command in named:
        if isinstance(command, click.Group):
            yield from _leaves((f"{name} {n}", c) for n, c in command.commands.items())
        else:
            yield name, command
