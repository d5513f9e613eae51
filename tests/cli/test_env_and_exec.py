"""`streamgauge env` and `exec`: clients are pointed at the gateway, whatever stands in the values."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from shlex import split
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from streamgauge.cli.client_settings import shell_line
from streamgauge.cli.env import env

from .books import ENVIRONMENT, RUN

pytestmark = pytest.mark.xdist_group("sockets")

GATEWAY = "http://127.0.0.1:8066"
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
HARD = ["it's", 'a "b" $HOME `id` \\ !x', "tab\tline\nend", "", "-n", "ü 你好", "a'; rm -rf x; '"]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*KEYS, "STREAMGAUGE_CONFIG", "STREAMGAUGE_CLIENT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(env, list(arguments))


def lines(*arguments: str) -> list[str]:
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines()


# -- env


def test_openai_clients_get_the_v1_and_anthropics_do_not() -> None:
    assert lines("openai") == [
        f"export OPENAI_BASE_URL={GATEWAY}/v1",
        "export OPENAI_API_KEY=streamgauge",
    ]
    assert lines("anthropic") == [
        f"export ANTHROPIC_BASE_URL={GATEWAY}",
        "export ANTHROPIC_AUTH_TOKEN=streamgauge",
    ]


def test_opencode_gets_a_provider_in_its_configuration() -> None:
    (line,) = lines("opencode", "--model", "m1", "--model", "m2")
    name, _, value = line.removeprefix("export ").partition("=")
    assert name == "OPENCODE_CONFIG_CONTENT"
    config = json.loads(value.strip("'"))
    assert config["provider"]["streamgauge"] == {
        "npm": "@ai-sdk/openai-compatible",
        "name": "streamgauge",
        "options": {"baseURL": f"{GATEWAY}/v1", "apiKey": "streamgauge"},
        "models": {"m1": {}, "m2": {}},
    }
    assert (config["model"], config["small_model"]) == ("streamgauge/m1", "streamgauge/m1")


def test_a_key_that_is_there_stays_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "real")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "real")
    assert lines("openai") == [f"export OPENAI_BASE_URL={GATEWAY}/v1"]
    assert lines("anthropic") == [f"export ANTHROPIC_BASE_URL={GATEWAY}"]
    assert lines("openai", "--key", "k")[1] == "export OPENAI_API_KEY=k"
    assert lines("anthropic", "--key", "k")[1:] == [
        "export ANTHROPIC_AUTH_TOKEN=k",
        "export ANTHROPIC_API_KEY=k",
    ]


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_a_url_is_taken_as_people_write_it(url: str) -> None:
    assert lines("anthropic", "--url", url)[0] == "export ANTHROPIC_BASE_URL=http://h:1"
    assert lines("openai", "--url", url)[0] == "export OPENAI_BASE_URL=http://h:1/v1"


@pytest.mark.parametrize("url", ["", "h:1", "ftp://h", "http://", "http://h:x", "http://h?q=1"])
def test_what_is_no_url_is_a_usage_error(url: str) -> None:
    assert run("openai", "--url", url).exit_code == 2


@pytest.mark.parametrize(
    ("config", "variable", "url"),
    [
        ("server: {port: 9000}", None, "http://127.0.0.1:9000"),
        ("server: {host: 0.0.0.0, port: 9000}", "9001", "http://127.0.0.1:9001"),
        ("server: {host: '::'}", None, "http://[::1]:8066"),
        (
            "server: {host: box.lan}\nupstreams: [{api_key: '${NOT_SET_HERE}'}]",
            None,
            "http://box.lan:8066",
        ),
    ],
)
def test_the_url_is_that_of_the_configuration(
    config: str, variable: str | None, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("streamgauge.yaml").write_text(config)
    if variable is not None:
        monkeypatch.setenv("STREAMGAUGE_SERVER__PORT", variable)
    assert split(lines("anthropic")[0]) == ["export", f"ANTHROPIC_BASE_URL={url}"]


def test_a_configuration_that_does_not_say_the_url_is_reported() -> None:
    Path("streamgauge.yaml").write_text("server: {port: 0}")
    assert "name the URL with --url" in run("openai").stderr
    Path("streamgauge.yaml").write_text("server: [")
    result = run("openai")
    assert result.exit_code == 3
    assert "streamgauge.yaml" in result.stderr


@pytest.mark.parametrize("port", ["abc", "x y", "70000", "-1", "8066.0"])
def test_a_port_that_is_none_is_a_mistake_and_no_part_of_a_url(
    monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    monkeypatch.setenv("STREAMGAUGE_SERVER__PORT", port)
    result = run("openai")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "server.port: must be a whole number of at most 65535" in result.stderr


def test_every_value_survives_the_shell() -> None:
    for value in HARD:
        script = f'{shell_line("sh", "X", value)}\nprintf %s "$X"'
        done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
        assert done.stdout.decode() == value
    assert shell_line("fish", "X", "it's \\ me") == "set -gx X 'it\\'s \\\\ me';"
    assert shell_line("powershell", "X", "it's") == "$env:X = 'it''s'"


def test_eval_sets_them() -> None:
    command = (
        f'eval "$({" ".join(RUN[:1])} -m streamgauge env anthropic)" && echo "$ANTHROPIC_BASE_URL"'
    )
    done = subprocess.run(
        ["sh", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{GATEWAY}\n"


# -- the gateway's models


class Models(BaseHTTPRequestHandler):
    """Answers `GET /v1/models` with what `listed` says."""

    listed = b'{"data":[{"id":"m1"},{"id":"m2"},{"id":"m1"}]}'
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/v1/models" else 404)
        self.send_header("content-length", str(len(self.listed)))
        self.end_headers()
        self.wfile.write(self.listed)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("listed", "models"), [(Models.listed, ["m1", "m2"]), (b"<html>", [])])
def test_opencodes_models_are_those_that_the_gateway_lists(
    listed: bytes, models: list[str]
) -> None:
    handler = type("Handler", (Models,), {"listed": listed})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        result = run("opencode", "--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    if models:
        config = json.loads(result.stdout.partition("=")[2].strip().strip("'"))
        assert list(config["provider"]["streamgauge"]["models"]) == models
    else:
        assert result.exit_code == 1
        assert "--model" in result.stderr
        assert result.stdout == ""


def test_an_empty_key_is_none() -> None:
    assert lines("openai", "--key", "") == lines("openai")
    assert lines("anthropic", "--key", "") == lines("anthropic")


def test_the_client_key_may_stand_where_no_list_of_processes_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STREAMGAUGE_CLIENT_KEY", "sg-there")
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    assert lines("openai")[1] == "export OPENAI_API_KEY=sg-there"
    assert lines("openai", "--key", "sg-here")[1] == "export OPENAI_API_KEY=sg-here"
    child = execute("--url", GATEWAY, "--", "/usr/bin/env", STREAMGAUGE_CLIENT_KEY="sg-there")
    assert "ANTHROPIC_AUTH_TOKEN=sg-there\n" in child.stdout


def test_a_gateway_that_wants_a_key_is_not_said_to_be_away() -> None:
    handler = type("Handler", (Models,), {"status": 401})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        without, wrong = (run("opencode", "--url", url, *key) for key in ((), ("--key", "no")))
        child = execute("--url", url, "--", "/usr/bin/env")
        server.shutdown()
    assert (without.exit_code, wrong.exit_code, child.returncode) == (1, 1, 0)
    cure = "give one with --key or STREAMGAUGE_CLIENT_KEY"
    assert f"{url} wants a client key: {cure}" in without.stderr
    assert f"{url} does not take this key" in wrong.stderr
    assert f"OPENAI_BASE_URL={url}" in child.stdout
    assert "OPENCODE" not in child.stdout


# -- exec


def execute(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, "exec", *arguments],
        env={**ENVIRONMENT, **environment}, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip


def test_a_child_has_the_variables_of_all_clients_and_its_own_words() -> None:
    script = "import os, sys, json; print(json.dumps([dict(os.environ), sys.argv[1:]]))"
    done = execute("--model", "m", "--", sys.executable, "-c", script, "-h", "--url", "a b")
    told, words = json.loads(done.stdout)
    assert words == ["-h", "--url", "a b"]
    assert told["OPENAI_BASE_URL"] == f"{GATEWAY}/v1"
    assert told["ANTHROPIC_BASE_URL"] == GATEWAY
    assert told["OPENCODE_CONFIG_CONTENT"].startswith('{"provider"')
    assert told["PYTHONPATH"] == ENVIRONMENT["PYTHONPATH"]
    assert (done.returncode, done.stderr) == (0, "")


def test_the_exit_code_is_the_childs_and_nothing_is_said() -> None:
    done = execute("sh", "-c", "exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


def test_the_child_takes_the_process_over() -> None:
    with subprocess.Popen(
        [*RUN, "exec", "--", sys.executable, "-c",
         "import os, signal; print(os.getpid(), flush=True); signal.pause()"],
        env=ENVIRONMENT, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("streamgauge-nonesuch",), 127, "there is no command 'streamgauge-nonesuch'"),
        (("--", "/"), 126, "cannot run '/': Permission denied"),
        ((), 2, "CMD"),
        (("--ulr", "http://h", "ls"), 2, "--url"),
    ],
)
def test_what_cannot_be_run(command: tuple[str, ...], code: int, words: str) -> None:
    done = execute(*command)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def test_the_child_keeps_the_terminal() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*RUN, "exec", "sh", "-c", "test -t 0 && test -t 1"],
        env=ENVIRONMENT, stdin=theirs, stdout=theirs, check=False, timeout=30,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
