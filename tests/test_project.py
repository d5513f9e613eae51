"""The project's own rules: sizes, names, the lock, the architecture, docs that name what the code names."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from streamgauge.cli.main import VERBS
from streamgauge.core.errors import ErrorCode
from streamgauge.core.pricing import CostReason
from streamgauge.core.record import (
    Anomaly,
    AttemptRecord,
    Delivered,
    Disposition,
    ExchangeRecord,
    Status,
)

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "streamgauge"
MODULES = sorted(SOURCE.rglob("*.py"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _tracked() -> Iterator[tuple[Path, str]]:
    """Yield each file that git holds or would add, with its text; recorded bytes are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and not name.startswith("tests/data/"):
            yield path, path.read_text(encoding="utf-8", errors="replace")


# -- sizes and names


def test_no_module_has_more_than_300_lines() -> None:
    long = {_name(m): len(m.read_text().splitlines()) for m in MODULES}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}


def test_no_function_has_more_than_50_lines() -> None:
    long = [
        f"{_name(module)}:{node.lineno} {node.name}"
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > 50
    ]
    assert long == []


def test_every_module_says_what_it_is_for() -> None:
    assert [_name(m) for m in MODULES if not ast.get_docstring(ast.parse(m.read_text()))] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty_words = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [_name(m) for m in MODULES if {m.stem, *m.parent.parts[-1:]} & empty_words] == []


# -- the architecture


def test_every_contract_on_imports_can_fail(tmp_path: Path) -> None:
    """A copy of the source with one forbidden import for each contract breaks every one of them."""
    plants = {
        "core/usage.py": ["streamgauge.core.events"],  # upward in the core
        "core/sse.py": ["json", "time"],
        "core/meter.py": ["streamgauge.core.dialects.base"],
        "core/dialects/openai/__init__.py": ["streamgauge.core.dialects.anthropic"],
        "config/__init__.py": ["streamgauge.cli.main", "streamgauge.ledger.sqlite"],
        "gateway/http.py": ["streamgauge.gateway.http_guard"],  # upward in the shell
        "gateway/pool.py": ["streamgauge.gateway.relay"],
    }
    shutil.copytree(SOURCE, tmp_path / "src" / "streamgauge")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, imported in plants.items():
        with (tmp_path / "src" / "streamgauge" / name).open("a") as module:
            module.writelines(f"\nimport {target}\n" for target in imported)
    contracts = [c["name"] for c in PROJECT["tool"]["importlinter"]["contracts"]]

    broken = _lint_imports(tmp_path)

    assert [name for name in contracts if f"{name} BROKEN" not in broken] == []
    assert f"{len(contracts)} broken" in broken


def _lint_imports(root: Path) -> str:
    program = (
        "import sys; from importlinter.cli import lint_imports; "
        "sys.exit(lint_imports(no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        env={"PYTHONPATH": str(root / "src"), "COLUMNS": "400", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return done.stdout + done.stderr


# -- dependencies


@pytest.mark.parametrize("lock", LOCKS, ids=_name)
def test_a_lock_pins_every_release_with_hashes_and_names_no_index(lock: Path) -> None:
    entries = re.split(r"\n(?=\S)", lock.read_text().strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==[^ ]+ ", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
        assert "://" not in entry, entry
        assert not re.search(r"(?m)^\s*(-i|-f|--index|--extra-index|--find-links)", entry), entry


def test_the_runtime_lock_holds_what_the_project_needs_and_what_builds_it() -> None:
    wanted = {
        line.strip()
        for line in (ROOT / "requirements" / "runtime.in").read_text().splitlines()
        if line and not line.startswith(("#", "-"))
    }
    assert wanted == set(PROJECT["project"]["dependencies"])
    locked = _pins("runtime")
    assert "hatchling" in locked
    assert {re.split(r"[<>=;\[ ]", each)[0].replace(".", "-") for each in wanted} <= locked.keys()


def test_the_development_lock_agrees_with_the_runtime_lock() -> None:
    assert _pins("runtime").items() <= _pins("dev").items()


def _pins(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    return dict(re.findall(r"(?m)^([a-z0-9.-]+)==(\S+)", text))


# -- what a commit must not carry


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    hosts = ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com")
    machine_path = re.compile(r"(?:^|[\s\"'(=`])/(?:root|home|work|Users)/[A-Za-z]", re.MULTILINE)
    found = [
        _name(path)
        for path, text in _tracked()
        if any(host in text for host in hosts) or machine_path.search(text)
    ]
    assert found == []


def test_the_client_lock_gives_hashes_and_no_addresses() -> None:
    text = (ROOT / ".ci" / "clients" / "package-lock.json").read_text()
    assert "sha512-" in text
    assert "resolved" not in text
    assert "://" not in text


# -- the command line


def test_help_answers_quickly_and_imports_no_verb() -> None:
    program = (
        "import sys\n"
        "from streamgauge.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*sorted(m for m in sys.modules if m.startswith('streamgauge.')), file=sys.stderr)"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    elapsed = time.monotonic() - started
    own = ["streamgauge.cli", "streamgauge.cli.main", "streamgauge.cli.standard_streams"]
    assert done.stderr.split() == own
    assert all(re.search(rf"(?m)^  {verb}\b", done.stdout) for verb in VERBS)
    assert elapsed < 1.5  # five times the 0.3 s of SPEC §18


def test_the_help_of_a_verb_imports_nothing_that_only_its_work_needs() -> None:
    program = (
        "import sys\n"
        "from streamgauge.cli.main import VERBS\n"
        "for verb in VERBS.values(): verb.load()\n"
        "print({'pydantic', 'starlette', 'uvicorn', 'sqlite3', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_in_the_table_loads_and_explains_itself(verb: str) -> None:
    command = VERBS[verb].load()
    assert command.name == verb
    assert command.help


def test_an_unknown_verb_is_a_usage_error_that_names_the_nearest() -> None:
    done = _streamgauge("srve")
    assert done.returncode == 2
    assert "Did you mean 'serve'?" in done.stderr
    assert done.stdout == ""


def test_run_is_another_word_for_serve() -> None:
    assert _streamgauge("run", "-h").stdout == _streamgauge("serve", "-h").stdout.replace(
        "streamgauge serve", "streamgauge run"
    )


def test_the_version_is_the_packages() -> None:
    from streamgauge import __version__

    assert _streamgauge("--version").stdout == f"streamgauge {__version__}\n"
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def _streamgauge(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamgauge", *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


# -- the docs


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("metrics.md", [f.name for f in fields(ExchangeRecord)]),
        ("metrics.md", [f.name for f in fields(AttemptRecord)]),
        ("errors.md", list(ErrorCode)),
        ("errors.md", list(Status)),
        ("errors.md", list(Anomaly)),
        ("errors.md", list(Delivered)),
        ("errors.md", list(Disposition)),
        ("metrics.md", list(CostReason)),
    ],
    ids=[
        "columns",
        "attempt-columns",
        "codes",
        "statuses",
        "anomalies",
        "delivered",
        "disposition",
        "cost-reasons",
    ],
)
def test_a_page_explains_every_name_of_the_code(page: str, names: list[str]) -> None:
    text = _page(page)
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("page", "heading", "names"),
    [
        ("metrics.md", "## Columns", [f.name for f in fields(ExchangeRecord)]),
        ("metrics.md", "## Attempts", [f.name for f in fields(AttemptRecord)]),
        ("errors.md", "## Statuses", list(Status)),
        ("errors.md", "## Codes", list(ErrorCode)),
        ("errors.md", "## Anomalies", list(Anomaly)),
    ],
    ids=["columns", "attempt-columns", "statuses", "codes", "anomalies"],
)
def test_a_table_of_the_docs_has_the_codes_names_in_order(
    page: str, heading: str, names: list[str]
) -> None:
    section = _page(page).split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [cell for line in re.findall(r"(?m)^\| (`[^|]*`) \|", section) for cell in [line]]
    assert [name for row in rows for name in re.findall(r"`([^`]+)`", row)] == list(names)


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    dead = [
        f"{_name(path)}: {target}"
        for path in pages
        for target, anchor in re.findall(r"\]\(([^)#:\s]*)#?([^)\s]*)\)", path.read_text())
        if not _leads_somewhere(path, target, anchor)
    ]
    assert dead == []


def _leads_somewhere(page: Path, target: str, anchor: str) -> bool:
    file = page.parent / target if target else page
    if not file.exists():
        return False
    headings = re.findall(r"(?m)^#+ (.+)$", file.read_text()) if anchor else []
    return not anchor or anchor in {
        re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings
    }


def test_every_command_of_the_readme_exists() -> None:
    blocks = re.findall(r"(?s)```\n(.*?)```", (ROOT / "README.md").read_text())
    commands = [
        line for block in blocks for line in block.splitlines() if line[:1] not in {"", " "}
    ]
    assert {"scripts/demo", "scripts/test"} <= set(commands)
    for command in commands:
        word, *rest = command.split()
        if word.endswith("/streamgauge"):
            assert rest[0] in VERBS
        elif word not in {"curl", "eval"}:  # tests/e2e/test_readme.py runs them all
            assert os.access(ROOT / word, os.X_OK), word


@pytest.mark.xdist_group("sockets")
def test_the_demo_script_balances_its_books_from_any_directory(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "demo", "--once"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )
    assert done.returncode == 0, done.stderr
    assert "balanced=yes" in done.stdout + done.stderr
