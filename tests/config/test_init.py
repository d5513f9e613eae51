"""`streamgauge config init`: what it writes is valid, says where the schema is, and holds no key."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamgauge.cli.main import cli
from streamgauge.config import Config, LoadOptions, load

from .mistakes import CANARY

VARIABLES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY")


@pytest.fixture(autouse=True)
def _only_our_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [*VARIABLES, *(name for name in os.environ if name.startswith("STREAMGAUGE_"))]:
        monkeypatch.delenv(name, raising=False)


def init(*arguments: str, env: dict[str, str] | None = None) -> Result:
    result = CliRunner().invoke(cli, ["config", "init", *arguments], env=env)
    assert CANARY not in result.output
    return result


def read(file: str, **environ: str) -> Config:
    return load(LoadOptions(config=Path(file), environ=environ)).config


@pytest.mark.parametrize("file", ["streamgauge.yaml", "streamgauge.toml"])
def test_upstreams_of_the_command_line_stand_in_the_file(file: str) -> None:
    flags = ("llamacpp=http://127.0.0.1:8080", "openai=https://api.openai.com/v1", "http://[::1]:1")
    arguments = [part for flag in flags for part in ("--upstream", flag)]
    result = init(*arguments, "-o", file)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{file} written; next: streamgauge config check, streamgauge serve",
        "OPENAI_API_KEY is not set: set it before serve",
    ]
    config = read(file, OPENAI_API_KEY=CANARY)
    assert [(u.name, u.kind.value, u.base_url) for u in config.upstreams] == [
        ("llamacpp", "llamacpp", "http://127.0.0.1:8080"),
        ("openai", "openai", "https://api.openai.com/v1"),
        ("llamacpp-2", "llamacpp", "http://[::1]:1"),
    ]
    assert config.secrets() == {CANARY}
    assert read(file).secrets() == set()
    assert CliRunner().invoke(cli, ["config", "check", file]).exit_code == 0


@pytest.mark.parametrize("before", [None, "streamgauge.yaml"])
def test_a_file_that_serve_would_not_find_is_named_in_the_next_steps(before: str | None) -> None:
    output = "my gauge.yaml"
    if before is not None:  # it is found first
        Path(before).write_text("log: {level: info}\n")
        output = "streamgauge.toml"
    named = shlex.quote(output)
    steps = f"streamgauge config check {named}, streamgauge serve --config {named}"
    assert init("-o", output).stderr.splitlines()[0] == f"{output} written; next: {steps}"


def test_the_first_line_names_the_packaged_schema() -> None:
    first = init("-o", "-").stdout.splitlines()[0]
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert found
    assert json.loads(Path(found[1]).read_text())["title"] == "streamgauge configuration"


@pytest.mark.parametrize("file", ["streamgauge.yaml", "streamgauge.toml"])
def test_without_flags_there_is_one_upstream_for_each_key_that_is_set(file: str) -> None:
    assert init("-o", file, env={"ANTHROPIC_API_KEY": CANARY}).exit_code == 0
    text = Path(file).read_text()
    assert CANARY not in text
    assert '"${ANTHROPIC_API_KEY}"' in text
    (upstream,) = read(file, ANTHROPIC_API_KEY=CANARY).upstreams
    assert upstream.base_url == "https://api.anthropic.com"


@pytest.mark.parametrize("file", ["streamgauge.yaml", "streamgauge.toml"])
def test_what_stands_there_as_a_comment_is_valid_too(file: str) -> None:
    init("-o", file)
    (upstream,) = read(file).upstreams
    assert upstream.base_url == "http://127.0.0.1:8080"
    uncommented = re.sub(r"(?m)^( *)# ([a-z_]+(:| = )|  |\[)", r"\1\2", Path(file).read_text())
    Path(file).write_text(uncommented)
    config = read(file, LLAMACPP_API_KEY=CANARY, STREAMGAUGE_ADMIN_TOKEN="other-" + CANARY)
    assert config.secrets() == {CANARY, "other-" + CANARY}
    (price,) = config.prices
    assert (price.model, price.input, price.output) == ("qwen3-*", 100_000_000, 400_000_000)
    assert config == Config(
        upstreams=config.upstreams,
        prices=config.prices,
        control=Config().control.model_copy(update={"token": config.control.token}),
    )


def test_a_file_that_is_there_stays_unless_forced() -> None:
    Path("streamgauge.yaml").write_text("log: {level: debug}\n")
    refused = init()
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert Path("streamgauge.yaml").read_text() == "log: {level: debug}\n"
    assert init("--force").exit_code == 0
    assert Path("streamgauge.yaml").read_text().startswith("# yaml-language-server")
    assert os.listdir() == ["streamgauge.yaml"]


def test_a_link_stays_a_link() -> None:
    Path("real").mkdir()
    Path("streamgauge.yaml").symlink_to("real/gauge.yaml")
    assert init().exit_code == 0
    assert Path("streamgauge.yaml").is_symlink()
    assert read("real/gauge.yaml").upstreams


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        (
            "olama=http://h",
            "--upstream: upstreams: KIND must be one of llamacpp, ollama, vllm, openai, openrouter, "
            "anthropic, sim (did you mean 'ollama'?)",
        ),
        (
            f"http://u:{CANARY}@h",
            "--upstream: upstreams[0].base_url: must hold no user name or password; "
            "use api_key or headers",
        ),
        (
            "ollama=http://127.0.0.1:11434/api",
            "--upstream: upstreams[0].base_url: "
            "is a base to which paths are added: leave /api at its end out",
        ),
    ],
)
def test_a_wrong_upstream_writes_nothing(flag: str, line: str) -> None:
    result = init("--upstream", flag)
    assert (result.exit_code, result.stdout, result.stderr) == (3, "", line + "\n")
    assert os.listdir() == []


def test_where_nothing_can_be_written_it_says_so() -> None:
    result = init("-o", "no/such/folder/s.yaml")
    assert result.exit_code == 2
    assert "cannot write no/such/folder/s.yaml: No such file or directory" in result.stderr


def test_signs_that_mean_something_in_a_file_come_through() -> None:
    assert init("--upstream", "vllm=http://h/${A}/#", "-o", "s.yaml").exit_code == 3
    assert init("--upstream", "vllm=http://h/${A}/:", "-o", "s.yaml").exit_code == 0
    assert read("s.yaml").upstreams[0].base_url == "http://h/${A}/:"
