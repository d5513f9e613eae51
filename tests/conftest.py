"""What all tests share: how hypothesis runs, which tests share a worker, where real programs are."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from .faults.table import MARK, ROWS, markdown, marked_tests, merged, results_of, summary
from .standstill import Watch
from .timed import again_if_late, ask_at_once

# A loaded machine is slow, not wrong: no example has a deadline.
settings.register_profile("streamgauge", deadline=None, print_blob=True)
settings.load_profile("streamgauge")

_HERE = Path(__file__).parent
_SOCKET_ROOMS = {"control", "e2e", "faults", "gateway", "soak", "tools"}
_TABLE = "<!-- table -->\n"
_WATCH = pytest.StashKey[Watch]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes how the fault rows went into their page."""
    parser.addoption(
        "--faults-page", type=Path, help="renew the table in this page, docs/faults.md"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark that names the rows of the fault matrix which a test proves; begin to watch."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a shell starts what runs in the background; programs of the tests would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_WATCH] = Watch()
    config.addinivalue_line(
        "markers",
        f"{MARK}(*rows, seeds=1): the rows of docs/faults.md that this test proves; how many seeds it runs",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that open sockets on one worker, so that they do not disturb each other's times."""
    late = again_if_late(config.stash[_WATCH])
    ask_at_once(config)
    for item in items:
        if not config.option.usepdb:  # a debugger stands still for long
            item.add_marker(late)
        room = item.path.relative_to(_HERE).parts[0]
        if room in _SOCKET_ROOMS and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("sockets"))
        for mark in item.iter_markers(MARK):
            for row in mark.args:
                item.user_properties.append((MARK, (row, mark.kwargs.get("seeds", 1))))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look whether this process stands still from here on."""
    item.config.stash[_WATCH].begin()


@pytest.fixture(scope="session")
def real_program() -> Callable[[str], Path]:
    """Return a finder of a real program: `nginx`, `influxd`, `claude`, …

    `STREAMGAUGE_NGINX` and so on name its file, else the PATH is searched. Where it is missing the
    test is skipped, or fails when `STREAMGAUGE_REQUIRE_REAL` is set, as `.ci/run` does.
    """

    def find(name: str) -> Path:
        named = os.environ.get(f"STREAMGAUGE_{name.upper()}") or shutil.which(name)
        if named and os.access(named, os.X_OK):
            return Path(named)
        if os.environ.get("STREAMGAUGE_REQUIRE_REAL"):
            pytest.fail(f"{name} is not installed, and STREAMGAUGE_REQUIRE_REAL is set")
        pytest.skip(f"{name} is not installed; .ci/run brings it")

    return find


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print how many cases of each corpus went as they should, and how the fault rows went."""
    _print_corpora(terminalreporter)
    stats = terminalreporter.stats
    results = results_of([r for outcome in ("passed", "failed") for r in stats.get(outcome, [])])
    for line in summary(results) if results else ():
        terminalreporter.write_line(line)
    page: Path | None = config.getoption("--faults-page")
    if page is not None:
        head, _, table = page.read_text(encoding="utf-8").partition(_TABLE)
        full = os.environ.get("STREAMGAUGE_FULL") == "1"
        known = {row: result for row, result in results.items() if row in ROWS}
        table = markdown(marked_tests(_HERE), merged(table, known, full=full))
        page.write_text(f"{head}{_TABLE}{table}", encoding="utf-8")


def _print_corpora(terminalreporter: Any) -> None:
    for room in ("test_request_corpus", "test_response_corpus", "test_captures"):
        tally = {
            outcome: sum(
                f"e2e/{room}" in r.nodeid or f"gateway/{room}" in r.nodeid for r in reports
            )
            for outcome in ("passed", "failed")
            if (reports := terminalreporter.stats.get(outcome, []))
        }
        if sum(tally.values()):
            counts = ", ".join(f"{count} {outcome}" for outcome, count in tally.items())
            terminalreporter.write_line(f"{room.removeprefix('test_')}: {counts}")
