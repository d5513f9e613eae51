"""Prints the score: per file and in all, the survivors by name. It runs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mutation.children import Outcome
from mutation.mutants import Mutant

__all__ = ["Result", "lives", "report", "score"]

Result = tuple[Mutant, Outcome]


def score(outcomes: Mapping[Outcome, int]) -> float | None:
    """Return killed ÷ all in percent, None of nothing. Out of time is killed: a test would hang."""
    every = sum(outcomes.values())
    killed = outcomes.get(Outcome.KILLED, 0) + outcomes.get(Outcome.TIMED_OUT, 0)
    return 100 * killed / every if every else None


def report(results: Sequence[Result], equivalent: Mapping[str, str]) -> float | None:
    """Print tables and survivors; return the score, with the equivalent ones left out."""
    counted = [(m, o) for m, o in results if not (lives(o) and m.name in equivalent)]
    for mutant, outcome in sorted(counted, key=lambda result: (result[0].path, result[0].line)):
        if lives(outcome):
            print(f"{outcome.value:15} line {mutant.line:3} {mutant.name}")
    for path in sorted({mutant.path for mutant, _ in counted}):
        _row(path, Counter(outcome for mutant, outcome in counted if mutant.path == path))
    total = Counter(outcome for _, outcome in counted)
    _row("all", total)
    print(f"equivalent, left out: {len(results) - len(counted)}")
    return score(total)


def lives(outcome: Outcome) -> bool:
    """Return whether no test noticed."""
    return outcome in (Outcome.SURVIVED, Outcome.UNSEEN)


def _row(name: str, outcomes: Counter[Outcome]) -> None:
    share = score(outcomes)
    parts = ", ".join(f"{outcomes[each]} {each.value}" for each in Outcome if outcomes[each])
    print(
        f"{name:36} {'-' if share is None else f'{share:5.1f} %'}  of {outcomes.total():4}  {parts}"
    )
