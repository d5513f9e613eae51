"""Runs the tests once unmutated: which lines each one runs, and how long it takes."""

from __future__ import annotations

import math
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import coverage
import pytest
from _pytest.runner import runtestprotocol

from mutation.mutants import CORE

__all__ = ["Baseline", "measure", "passes"]

_MAY_FAIL = 20


def passes(item: pytest.Item) -> bool:
    """Run a test, quietly, and return whether it passed."""
    return not any(report.failed for report in runtestprotocol(item, log=False))


@dataclass(frozen=True, slots=True)
class Baseline:
    """`lines`: for each file of the core and line the tests that run it; `seconds`: CPU time per test."""

    lines: dict[str, dict[int, frozenset[int]]]
    seconds: list[float]

    def tests_of(self, path: str, line: int, around: Sequence[int]) -> list[int]:
        """Return the tests that run `line`, or where it has no code any of `around`, fastest first."""
        known = self.lines.get(path, {})
        found = known.get(line, frozenset()) or frozenset(
            test for each in around for test in known.get(each, ())
        )
        return sorted(found, key=self.seconds.__getitem__)


def measure(items: Sequence[pytest.Item]) -> Baseline:
    """Return what `items` run. Those that fail unmutated prove nothing: named, and left out."""
    measured = coverage.Coverage(data_file=None, config_file=False, source=[str(CORE)])
    seconds: list[float] = []
    measured.start()
    try:
        for number, item in enumerate(items):
            measured.switch_context(str(number))
            begun = time.process_time()
            if passes(item):
                seconds.append(time.process_time() - begun)
            else:  # a test of time does, on a loaded machine and measured
                print(f"left out, as it fails without any mutant: {item.nodeid}", file=sys.stderr)
                seconds.append(math.inf)
    finally:
        measured.stop()
    if seconds.count(math.inf) > _MAY_FAIL:
        pytest.exit("the tests fail without any mutant", returncode=1)
    sound = frozenset(n for n, lasted in enumerate(seconds) if lasted < math.inf)
    return Baseline(_lines(measured.get_data(), sound), seconds)


def _lines(
    data: coverage.CoverageData, sound: frozenset[int]
) -> dict[str, dict[int, frozenset[int]]]:
    lines: dict[str, dict[int, frozenset[int]]] = defaultdict(dict)
    for file in data.measured_files():
        name = file.removeprefix(f"{CORE}/")
        for line, contexts in data.contexts_by_lineno(file).items():
            lines[name][line] = sound & {int(context) for context in contexts if context}
    return lines
