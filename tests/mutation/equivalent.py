"""The list of mutants that no test can kill, each with its reason. It judges none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mutation.mutants import ROOT

__all__ = ["read_equivalent", "stale"]

LIST = ROOT / "tests" / "core" / "equivalent_mutants.txt"


def read_equivalent(path: Path = LIST) -> Mapping[str, str]:
    """Return the reason of each mutant by its name. Raises ValueError for one without a reason."""
    reasons: dict[str, str] = {}
    reason: list[str] = []
    heading = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            reason = [*reason, line[1:].strip()] if heading else [line[1:].strip()]
            heading = True
        elif line.strip():
            heading = False
            if not reason:
                raise ValueError(f"{path.name}: no reason stands over {line!r}")
            reasons[line.strip()] = " ".join(reason)
        else:
            heading, reason = False, []
    return reasons


def stale(known: Iterable[str], made: Iterable[str], files: Iterable[str]) -> list[str]:
    """Return the listed mutants of `files` that were not `made`: their code has changed."""
    made, files = set(made), set(files)
    return [name for name in known if name not in made and name.split(" ", 1)[0] in files]
