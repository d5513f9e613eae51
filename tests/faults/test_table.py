"""The table of fault rows: every row has its tests, and the page says which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from .table import ROWS, Result, markdown, marked_tests, merged, results_of, summary

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"
MARKED = """
import pytest

@pytest.mark.fault("F26", "F27")
def test_one():
    pass

@pytest.mark.fault("F1", seeds=7)
@pytest.mark.parametrize("seed", range(3))
def test_two(seed):
    assert seed != 2
"""


def report(name: str, outcome: str, *noted: tuple[str, int]) -> SimpleNamespace:
    """Return what a run says of one test."""
    properties = [("fault", each) for each in noted] + [("other", "x")]
    return SimpleNamespace(nodeid=name, outcome=outcome, user_properties=properties)


def test_every_row_has_a_test_and_every_mark_a_row() -> None:
    marked = marked_tests(TESTS)
    assert {row for row in ROWS if row not in marked} == set()
    assert {row for row in marked if row not in ROWS} == set()


def test_every_row_has_a_test_that_runs_twenty_seeds() -> None:
    names = ("SEEDS", "ROUNDS", "seeded")
    files = {name.partition("::")[0] for tests in marked_tests(TESTS).values() for name in tests}
    many = {file for file in files if any(n in (TESTS / file).read_text() for n in names)}
    few = {
        row: tests
        for row, tests in marked_tests(TESTS).items()
        if not any(test.partition("::")[0] in many for test in tests)
    }
    assert few == {}


def test_the_page_names_the_tests_of_each_row() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition("<!-- table -->\n")[2]
    assert table == markdown(marked_tests(TESTS), merged(table, {}, full=False)), (
        "renew it: scripts/test --faults-page=docs/faults.md"
    )


def test_the_marks_in_a_source_are_read(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "test_x.py").write_text(MARKED)
    one, two = "room/test_x.py::test_one", "room/test_x.py::test_two"
    assert marked_tests(tmp_path) == {"F26": [one], "F27": [one], "F1": [two]}


def test_seeds_and_failures_are_added_up() -> None:
    reports = [
        report("a.py::test_x[0]", "passed", ("F26", 1)),
        report("a.py::test_x[1]", "failed", ("F26", 1)),
        report("b.py::test_y", "passed", ("F26", 40), ("F1", 40)),
        report("c.py::test_z", "passed"),
    ]
    results = results_of(reports)
    assert results == {
        "F26": Result({"a.py::test_x", "b.py::test_y"}, 42, 1),
        "F1": Result({"b.py::test_y"}, 40, 0),
    }
    assert [str(results[row]) for row in ("F26", "F1")] == ["1 of 42 failed", "40 held"]
    assert [line.split()[0] for line in summary(results)] == ["fault", "F1", "F26"]


def test_a_run_renews_its_own_column_and_rows_only() -> None:
    tests = {"F1": ["a.py::test_x"], "F26": ["b.py::test_y", "b.py::test_z"]}
    first = markdown(tests, merged("", {"F1": Result({"x"}, 8)}, full=False))
    second = merged(first, {"F1": Result({"x"}, 500), "F26": Result({"y"}, 20)}, full=True)
    assert (second["F1"], second["F26"], second["F2"]) == (
        ("8 held", "500 held"),
        ("-", "20 held"),
        ("-", "-"),
    )
    assert "| `b.py` | - | 20 held |" in markdown(tests, second)


def test_a_run_with_workers_prints_the_table_and_writes_the_page(tmp_path: Path) -> None:
    page, room = tmp_path / "faults.md", TESTS / "faults"
    page.write_text("# Head\n<!-- table -->\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2"),
            *(
                str(room / "test_ledger_weather.py"),
                "-k",
                "corrupt",
                "--faults-page",
                str(page),
            ),
        ],
        cwd=TESTS.parent,
        env={**os.environ, "STREAMGAUGE_FULL": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "F13        1      2  2 held" in done.stdout
    assert "| F13 |" in page.read_text()
    assert "`, `ledger/test_outage.py` | 2 held | - |" in page.read_text()
