"""`streamgauge config check` on each mistake of the table: place, cure, exit 3, and no secret."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamgauge.cli.main import cli

from .mistakes import CANARY, MISTAKES, Mistake

SOURCES = Path(__file__).parents[2] / "src"
OTHER_CANARY = "sk-canary-of-the-environment-77"
# One for each way a file is read: a reader's own complaint, the schema's, a rule between settings.
BY_PROCESS = [
    mistake
    for mistake in MISTAKES
    if mistake.name in {"a quote left open", "a mistyped kind", "two upstreams of one name"}
]


@pytest.fixture(autouse=True)
def _only_our_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STREAMGAUGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", OTHER_CANARY)


def written(mistake: Mistake) -> str:
    name = f"streamgauge.{mistake.suffix}"
    Path(name).write_text(mistake.text, encoding="utf-8")
    return name


def test_the_table_has_both_formats_and_no_case_twice() -> None:
    ids = [mistake.id for mistake in MISTAKES]
    assert len(set(ids)) == len(ids)
    assert min(sum(m.suffix == suffix for m in MISTAKES) for suffix in ("yaml", "toml")) >= 25
    assert all(CANARY in mistake.text for mistake in MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.id)
@pytest.mark.parametrize("verb", ["check", "show"])
def test_each_mistake_gives_its_place_its_cure_and_exit_3(mistake: Mistake, verb: str) -> None:
    name = written(mistake)
    result = CliRunner().invoke(cli, ["config", verb, name])
    assert result.stderr == mistake.report(name) + "\n"
    assert (result.exit_code, result.stdout) == (3, "")
    assert CANARY not in result.output
    assert OTHER_CANARY not in result.output


@pytest.mark.parametrize("mistake", BY_PROCESS, ids=lambda mistake: mistake.id)
@pytest.mark.parametrize("verb", [("config", "check"), ("serve",)])
def test_the_real_program_says_the_same(mistake: Mistake, verb: tuple[str, ...]) -> None:
    name = written(mistake)
    done = subprocess.run(
        [sys.executable, "-m", "streamgauge", *verb],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "", mistake.report(name) + "\n")


@pytest.mark.parametrize("verb", ["config check", "serve --port 0 --config"])
def test_files_that_hold_no_certificate_are_told_at_their_places(verb: str, tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text(CANARY)
    junk, file = tmp_path / "junk.pem", tmp_path / "streamgauge.yaml"
    file.write_text(
        "upstreams:\n"
        f"- {{name: a, kind: sim, base_url: https://h, tls: {{ca_file: {junk}}}}}\n"
        f"- {{name: b, kind: sim, base_url: http://h, tls: {{ca_file: {junk}}}}}\n"
        "- name: c\n  kind: sim\n  base_url: https://h\n"
        f"  tls:\n    client_cert: {junk}\n"
    )
    result = CliRunner().invoke(cli, [*verb.split(), str(file)])
    assert result.exit_code == 3
    first, second = result.output.splitlines()
    assert first.startswith(f"{file}:2:51: upstreams[0].tls.ca_file: '{junk}': ")
    assert first.endswith("; must be a PEM file of certificates")
    assert second.startswith(f"{file}:8:5: upstreams[2].tls.client_cert: '{junk}': ")
    assert second.endswith("; must be a PEM file, and client_key its key")
    assert CANARY not in result.output


def test_a_good_file_is_summed_up_without_its_keys() -> None:
    Path("streamgauge.toml").write_text(
        'control.token = "${TOKEN}"\n[[upstreams]]\nname = "a"\nkind = "sim"\n'
        f'base_url = "http://h"\napi_key = "{CANARY}"\n'
    )
    result = CliRunner().invoke(cli, ["config", "check"], env={"TOKEN": OTHER_CANARY})
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        "data      http://127.0.0.1:8066",
        "control   http://127.0.0.1:8067",
        "ledger    streamgauge.db",
        "upstream  a  sim  http://h  (default)",
    ]
    assert result.stderr == (
        "warning: streamgauge.toml:6:1: upstreams[0].api_key: "
        "a key stands here as text; write ${NAME} or file:/path\n"
    )
    assert CANARY not in result.output
    assert OTHER_CANARY not in result.output


def test_with_nothing_configured_serve_names_what_to_do_next_on_one_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    result = CliRunner().invoke(cli, ["serve"])
    assert (result.exit_code, result.stdout) == (3, "")
    lines = result.stderr.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    for command in ("demo", "config init", "serve --upstream llamacpp=http://127.0.0.1:8080"):
        assert f"streamgauge {command}" in result.stderr


def test_each_configuration_in_the_pages_is_valid() -> None:
    pages = [
        SOURCES.parent / name for name in ("README.md", "docs/operations.md", "docs/config.md")
    ]
    files = [
        text for page in pages for text in re.findall(r"(?ms)^```yaml\n(.*?)^```", page.read_text())
    ]
    assert files
    for text in files:
        Path("streamgauge.yaml").write_text(text)
        result = CliRunner().invoke(cli, ["config", "check"])
        assert result.exit_code == 0, result.output


def test_the_routes_of_the_pages_captures_are_such_as_rows_have() -> None:
    pages = {
        name: (SOURCES.parent / "docs" / name).read_text() for name in ("capture.md", "routing.md")
    }
    kinds = {
        route.partition(":")[0]
        for route in re.findall(r"\| `([a-z]+(?::[A-Z]+)?)` \|$", pages["routing.md"], re.M)
    }
    assert {"default", "rule"} <= kinds
    (routes,) = re.findall(r"^capture: .*routes: \[(.*)\]\}$", pages["capture.md"], re.M)
    assert {route.strip(' "').partition(":")[0] for route in routes.split(",")} <= kinds
