"""Runs each mutant against the tests that reach it: the pytest plugin behind `scripts/mutation`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, Phase, settings

from mutation.baseline import Baseline, measure, passes
from mutation.children import Outcome, in_child
from mutation.mutants import Mutant
from mutation.nursery import Nursery
from mutation.patching import can_swap, import_mutated, swap_code
from mutation.report import Result, lives

__all__ = ["OPTIONS", "Trials", "fresh_trial"]

OPTIONS = [
    "tests/core",
    "-x",
    "-q",
    "-p",
    "no:randomly",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
]
OPTIONS += ["-o", "timeout=0", "--no-header", "--disable-warnings", "-s"]
OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is here already
OPTIONS += ["-k", "not cut_in_two and not same_place_of_each_frame"]
"""Without the two that cut every recorded wire everywhere: minutes, for what others notice first."""

_TESTS_SECONDS = 5.0
"""CPU seconds of tests that a mutant must survive: with all of them fewer would, so the score is low."""
_GRACE, _SLOWER = 20.0, 10.0
"""Seconds that a mutant's tests may take, and how many more for each CPU second of the unmutated."""


class _Settings:
    """Examples the same in each run, none kept and none made smaller: the first failure is enough."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        settings.register_profile(
            "mutation",
            parent=settings.get_profile("streamgauge"),
            database=None,
            derandomize=True,
            max_examples=50,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        settings.load_profile("mutation")


class Trials(_Settings):
    """Collects the tests, runs them once unmutated, then each mutant; `results` has the outcomes."""

    def __init__(self, mutants: Iterator[Mutant], nursery: Nursery, count: int) -> None:
        self._mutants = mutants
        self._nursery = nursery
        self._count = count
        self.results: list[Result] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Stand in for pytest's own loop."""
        print(f"{len(session.items)} tests unmutated …", file=sys.stderr, flush=True)
        self._items = session.items
        self._baseline: Baseline = measure(session.items)
        gc.freeze()  # a child that collects would copy all of it
        print(f"{self._count} mutants …", file=sys.stderr, flush=True)
        for number, mutant in enumerate(self._mutants, 1):
            self.results.append((mutant, self._outcome(mutant)))
            if not number % 100:
                print(f"{number} of {self._count}, at {mutant.path}", file=sys.stderr, flush=True)
            if lives(self.results[-1][1]):
                print(f"  {mutant.name}", file=sys.stderr, flush=True)
        return True

    def _outcome(self, mutant: Mutant) -> Outcome:
        tests = self._tests(mutant)
        if not tests:
            return Outcome.UNSEEN
        limit = _GRACE + _SLOWER * sum(self._baseline.seconds[test] for test in tests)
        if mutant.scope and can_swap(mutant):
            return in_child(lambda: self._survives(mutant, tests), limit)
        ids = frozenset(self._items[test].nodeid for test in tests)
        return self._nursery.run(mutant, ids, limit)

    def _survives(self, mutant: Mutant, tests: Sequence[int]) -> bool:
        swap_code(mutant)
        return all(passes(self._items[test]) for test in tests)

    def _tests(self, mutant: Mutant) -> list[int]:
        """Return the tests that reach the mutant: those named after its module first, then the fastest."""
        known = self._baseline.lines.get(mutant.path, {})
        line = mutant.line if mutant.scope else 0
        around = _neighbours(known, mutant.line) if mutant.scope else list(known)
        stem = mutant.path.removesuffix(".py").rpartition("/")[2]
        found = self._baseline.tests_of(mutant.path, line, around)
        found.sort(key=lambda test: stem not in self._items[test].path.stem)
        chosen, spent = [], 0.0
        for test in found:
            spent += self._baseline.seconds[test]
            if chosen and spent > _TESTS_SECONDS:
                break
            chosen.append(test)
        return chosen


def _neighbours(known: dict[int, frozenset[int]], line: int) -> list[int]:
    """Return the nearest line with code before `line`, and the nearest behind it."""
    before = [each for each in known if each < line and known[each]]
    behind = [each for each in known if each > line and known[each]]
    return [*([max(before)] if before else []), *([min(behind)] if behind else [])]


class _Only(_Settings):
    def __init__(self, ids: frozenset[str]) -> None:
        self._ids = ids

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self._ids]


def fresh_trial(mutant: Mutant, ids: frozenset[str]) -> bool:
    """Import the core with `mutant` in it and run the tests of `ids`."""
    import_mutated(mutant)
    files = sorted({each.partition("::")[0] for each in ids})
    code = pytest.main([*files, *OPTIONS[1:]], plugins=[_Only(ids)])
    # NO_TESTS_COLLECTED: their ids are made of what has changed, so none of them ran.
    return code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
