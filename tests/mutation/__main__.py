"""The command line of `scripts/mutation`."""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mutation.equivalent import read_equivalent, stale
from mutation.mutants import CORE, ROOT, Mutant, MutatedModule, modules
from mutation.nursery import Nursery
from mutation.report import report
from mutation.trials import OPTIONS, Trials, fresh_trial

_WANTED = 85.0
"""The lowest score in percent that passes."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/mutation", description=__doc__)
    how_many = parser.add_mutually_exclusive_group()
    how_many.add_argument(
        "--sample", type=int, metavar="N", help="so many, chosen by the seed (300)"
    )
    how_many.add_argument("--all", action="store_true", help="every mutant: about an hour")
    parser.add_argument(
        "--imports", action="store_true", help="also what is run at import: tables, fields; slow"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("path", nargs="*", type=Path, help="files and folders of the core")
    return parser.parse_args()


def _chosen(
    found: Sequence[MutatedModule], sample: int | None, seed: int
) -> list[tuple[MutatedModule, int]]:
    every = [(module, number) for module in found for number in range(len(module))]
    if sample is None or sample >= len(every):
        return every
    return sorted(random.Random(seed).sample(every, sample), key=every.index)


def _made(chosen: Sequence[tuple[MutatedModule, int]]) -> Iterator[Mutant]:
    for module, number in chosen:
        if (mutant := module.mutant(number)) is not None:
            yield mutant


def main() -> int:
    """Run, print the report and return 0 where the score is enough."""
    given = _arguments()
    paths = [str(path.resolve().relative_to(CORE)) for path in given.path]
    os.chdir(ROOT)
    nursery = Nursery(fresh_trial)
    found = modules(paths, imports=given.imports)
    sample = None if given.all else given.sample or 300
    chosen = _chosen(found, sample, given.seed)
    trials = Trials(_made(chosen), nursery, len(chosen))
    code = pytest.main(OPTIONS, plugins=[trials])
    nursery.close()
    if code != pytest.ExitCode.OK:
        return int(code)
    equivalent = read_equivalent()
    share = report(trials.results, equivalent)
    old = []
    if sample is None:
        made = [mutant.name for mutant, _ in trials.results]
        old = stale(equivalent, made, [module.name for module in found])
    for name in old:
        print(f"listed as equivalent, but no longer made: {name}")
    return 0 if share is not None and share >= _WANTED and not old else 1


if __name__ == "__main__":
    sys.exit(main())
