"""What a newcomer types wrong, and the words that lead on: no verb answers a slip with a riddle (SPEC §18)."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from streamgauge.cli.listening import cannot_listen, key_at_fault
from streamgauge.cli.main import VERBS, cli

from .books import ENVIRONMENT, RUN

LOCAL = ("--upstream", "llamacpp=http://127.0.0.1:9")

MISTYPES = [
    (["srve"], 2, "There is no verb 'srve'. Did you mean 'serve'?"),
    (["wibble"], 2, "The verbs are serve, demo, sim"),
    (["serve", "--prot", "1"], 2, "No such option '--prot'."),
    (["serve", "--port", "99999"], 2, "99999 is not in the range"),
    (["replay", "x.ndjson", "--speed", "nan"], 2, "nan is not a finite number"),
    (["doctor", "--silence", "nan"], 2, "nan is not a finite number"),
    (["bench", "--gap-ms", "inf"], 2, "inf is not a finite number"),
    (["serve"], 3, "To see it work without any model: streamgauge demo"),
    (["serve", "--upstream", "nonsense"], 3, "must be an http or https URL"),
    (["serve", "--upstream", "foo=http://x"], 3, "KIND must be one of llamacpp"),
    (["serve", "--config", "no.yaml"], 3, "cannot read no.yaml: No such file or directory"),
    (["serve", *LOCAL, "--host", "0.0.0.0"], 3, "make one with `streamgauge keys create"),
    (["serve", *LOCAL, "--ledger", "sqlite:///no/x.db"], 4, "there is no directory"),
    (["serve", *LOCAL, "--ledger", "no/x.db"], 4, "there is no directory"),
    (["serve", *LOCAL, "--ledger", ":memory:"], 3, "--ledger: ledger.url: must be sqlite:///FILE"),
    (["config", "chek"], 2, "No such command 'chek'."),
    (["config", "check", "bad.yaml"], 3, "bad.yaml:3:4: configuration: this line stands further"),
    (["config", "check", "words.yaml"], 3, "(did you mean 'server'?)"),
    (["ls", "--leger", "x"], 2, "No such option '--leger'."),
    (["ls", "--since", "yesterday"], 2, "is neither an age (10m, 2h, 3d) nor an ISO time"),
    (["ls", "--model", "["], 2, "'--model': '[' is no glob: a [ is not closed"),
    (["ls", "--session", ""], 2, "'--session': '' is no glob: it is empty"),
    (["ledger", "export", "csv", "--upstream", "a[b"], 2, "'a[b' is no glob: a [ is not closed"),
    (["capture", "--route", "rule:["], 2, "'rule:[' is no glob: a [ is not closed"),
    (["keys", "create", "--label", "a", "--models", "a,b["], 2, "'--models': 'b[' is no glob: a ["),
    (["ls", "--ledger", "no.db"], 1, "`streamgauge serve` makes one"),
    (["ls", "--ledger", "postgres://x"], 2, "only sqlite is supported"),
    (["show", "abc", "--ledger", "words.yaml"], 1, "words.yaml is damaged or no SQLite database"),
    (["keys", "ls"], 1, "`streamgauge keys create` makes one with its first key"),
    (["keys", "create"], 2, "Missing option '--label'"),
    (["keys", "create", "--label", "a", "--per-day", "5"], 2, 'such as "5 USD", or none'),
    (["keys", "create", "--label", "a", "--expires", "soon"], 2, "a span from now (12h, 30d)"),
    (["verify", "no.sse"], 2, "No such file or directory"),
    (["verify", "words.yaml"], 1, "name it with --protocol"),
    (["replay", "words.yaml"], 1, "line 1: this is no JSON object"),
    (["verify", "words.yaml", "--id", "x"], 2, "--id needs --ledger"),
    (["verify", "words.yaml", "--strict"], 2, "--strict needs --grammar"),
    (["doctor", "--silence", "3"], 2, "--silence needs URL"),
    (["doctor", "--key", "sk-sg-a"], 2, "--key needs URL"),
    (["doctor", "http://127.0.0.1:9", "--key", "sk-sg-ab…"], 2, "shows its beginning only"),
    (["doctor", "http://127.0.0.1:9", "--key", "sk-sg-a\nb"], 2, "shows its beginning only"),
    (["env", "openai", "--key", "sk-sg-ab…"], 2, "shows its beginning only"),
    (["exec", "--key", "sk-sg-ab…", "--", "true"], 2, "shows its beginning only"),
    (["doctor", "http://€.example"], 2, "has signs that no URL has: write it in ASCII"),
    (["doctor", "http://127.0.0.1:9/a b"], 2, "has signs that no URL has: write it in ASCII"),
    (["doctor", ""], 2, "'' is no URL such as https://llm.example.com"),
    (["doctor", "notaurl"], 2, "'notaurl' is no URL such as https://llm.example.com"),
    (["doctor"], 3, "see `streamgauge config init`"),
    (["explain", "gpt-5"], 1, "no upstream is configured: see `streamgauge config init`"),
    (["env", "foo"], 2, "is not one of 'openai', 'anthropic', 'opencode'"),
    (["top", "--once", "--control", "notaurl"], 2, "is no URL such as http://127.0.0.1:8067"),
    (["capture", "--control", "http://127.0.0.1:9"], 1, "no gateway's control listener answers"),
    (["bench", "--target", "foo"], 2, "it must be streamgauge, nginx, direct or NAME=COMMAND"),
    (
        ["ledger", "export", "csv", "--since", "1h", "--until", "2h"],
        2,
        "--since must be before --until",
    ),
    (["ledger", "rollup", "--since", "1h", "--until", "1d"], 2, "--since must be before --until"),
    (["ledger", "backup", "-"], 2, "a backup is a file and cannot go to stdout"),
    (["ledger", "export", "xml"], 2, "is not one of 'csv', 'jsonl'"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home with two files that are no configuration, and no keys of anybody."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("STREAMGAUGE_CONFIG", "XDG_CONFIG_HOME", "OPENAI_API_KEY", "ANTHROPIC_API_KEY",
                 "OPENROUTER_API_KEY", "STREAMGAUGE_ADMIN_TOKEN"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bad.yaml").write_text("upstreams:\n  - name: a\n   kind: openai\n")
    (tmp_path / "words.yaml").write_text("servr: 1\n")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on, which knows no page."""

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("typed", "code", "words"), MISTYPES, ids=lambda each: str(each)[:40])
def test_a_slip_is_answered_by_what_to_do(typed: list[str], code: int, words: str) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(cli, typed)
    assert words in result.output
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert "sk-sg-a" not in result.output, "a key is a secret, also one that is mistyped"


@pytest.mark.parametrize("verb", [["sim"], ["serve", *LOCAL]], ids=["sim", "serve"])
def test_a_port_that_is_taken_is_named_once_and_in_plain_words(
    verb: list[str], taken: int, tmp_path: Path
) -> None:
    done = subprocess.run(  # in a process of its own, as serve takes signals
        [*RUN, *verb, "--port", str(taken)], cwd=tmp_path, check=False, timeout=30,
        env={**ENVIRONMENT, "STREAMGAUGE_LEDGER__SPOOL_MB": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert f"cannot listen on 127.0.0.1:{taken}: Address already in use" in done.stderr
    assert done.stderr.count(str(taken)) == 1
    assert done.returncode == 4


@pytest.mark.parametrize("verb", [["top", "--once"], ["capture", "--count", "1"]])
def test_a_port_of_another_program_is_doubted(verb: list[str], taken: int) -> None:
    result = CliRunner().invoke(cli, [*verb, "--control", f"http://127.0.0.1:{taken}"])
    assert "status 404: is this the control listener of a gateway?" in result.output
    assert result.exit_code == 1


@pytest.mark.parametrize("verb", [["top", "--once"], ["capture", "--count", "1"]])
def test_the_port_of_the_models_is_doubted_too(verb: list[str], tmp_path: Path) -> None:
    command = [*RUN, "serve", *LOCAL, "--port", "0", "--no-control"]
    spool = {"STREAMGAUGE_LEDGER__SPOOL_MB": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, env={**ENVIRONMENT, **spool}, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            url = process.stderr.readline().split()[1].removeprefix("data=")
            result = CliRunner().invoke(cli, [*verb, "--control", url])
        finally:
            process.kill()
    assert "is this the control listener of a gateway?" in result.output
    assert result.exit_code == 1


def test_the_reason_of_a_failed_name_look_up_is_kept() -> None:
    failed = socket.gaierror(-2, "Name or service not known")
    assert "not known" in cannot_listen("nowhere.invalid", 1, failed)
    assert key_at_fault(failed) == "host"


@pytest.mark.parametrize("name", ["server", "control"])
def test_an_address_of_another_machine_is_not_blamed_on_the_port(name: str, tmp_path: Path) -> None:
    done = subprocess.run(  # in a process of its own, as serve takes signals
        [*RUN, "serve", *LOCAL, "--port", "0", "--insecure-no-auth"], cwd=tmp_path, check=False,
        env={**ENVIRONMENT, "STREAMGAUGE_LEDGER__SPOOL_MB": "1", "STREAMGAUGE_CONTROL__PORT": "0",
             f"STREAMGAUGE_{name.upper()}__HOST": "203.0.113.9"},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert f"; set {name}.host, or " in done.stderr
    assert done.returncode == 4


def test_sums_of_an_empty_ledger_say_that_there_are_no_rows() -> None:
    made = CliRunner().invoke(cli, ["keys", "create", "--label", "ann"])
    assert made.exit_code == 0
    assert CliRunner().invoke(cli, ["ledger", "rollup"]).output == "no rows\n"
    assert CliRunner().invoke(cli, ["ledger", "rollup", "--json"]).output == ""


def test_no_line_of_a_help_is_cut_short_and_no_option_is_without_a_word() -> None:
    for verb in VERBS:
        command = VERBS[verb].load()
        help_text = CliRunner().invoke(cli, [verb, "--help"]).output
        assert "..." not in help_text.replace("[ARGS]...", ""), verb
        commands = command.commands if isinstance(command, click.Group) else {verb: command}
        for name, each in commands.items():
            silent = [p.name for p in each.params
                      if isinstance(p, click.Option) and not p.hidden and not p.help]  # fmt: skip
            assert silent == [], (verb, name)


@pytest.mark.parametrize(
    "arguments", [["serve", *LOCAL], ["demo", "--once"], ["config", "init"]], ids=lambda words: words[0]
)  # fmt: skip
def test_a_directory_that_is_gone_is_told_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = (
        f"import os, sys; os.rmdir('../gone'); os.execv(sys.executable, {[*RUN, *arguments]!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=gone, env=ENVIRONMENT, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.stderr == "Error: this directory is gone: change to one that is there\n"
    assert done.returncode == 4
