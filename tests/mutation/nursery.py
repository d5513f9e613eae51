"""Runs the mutants that only a new import shows, in forks of a process that has imported nothing of ours."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
from collections.abc import Callable
from typing import BinaryIO

from mutation.children import Outcome, in_child
from mutation.mutants import Mutant

__all__ = ["Nursery", "Trial"]

# Slow to import and no part of what is tested: once is enough.
_SLOW = ("anthropic", "hypothesis", "msgspec", "openai", "pydantic", "pytest")

Trial = Callable[[Mutant, "frozenset[str]"], bool]
"""Imports the mutant, runs the tests of these ids and returns whether it survived."""


class Nursery:
    """A process, forked before streamgauge is imported, that forks one child a mutant."""

    def __init__(self, trial: Trial) -> None:
        for name in _SLOW:
            importlib.import_module(name)
        assert not any(name.startswith("streamgauge") for name in sys.modules)
        there, self._out = os.pipe()
        self._in, back = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._out)
            os.close(self._in)
            _serve(os.fdopen(there, "rb"), os.fdopen(back, "wb"), trial)
            os._exit(0)
        os.close(there)
        os.close(back)
        self._requests, self._answers = os.fdopen(self._out, "wb"), os.fdopen(self._in, "rb")

    def run(self, mutant: Mutant, tests: frozenset[str], limit: float) -> Outcome:
        """Return what becomes of `mutant` under `tests` within `limit` seconds."""
        pickle.dump((mutant, tests, limit), self._requests)
        self._requests.flush()
        outcome: Outcome = pickle.load(self._answers)
        return outcome

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        os.waitpid(self._pid, 0)


def _serve(requests: BinaryIO, answers: BinaryIO, trial: Trial) -> None:
    while True:
        try:
            mutant, tests, limit = pickle.load(requests)
        except EOFError:
            return
        pickle.dump(in_child(lambda: trial(mutant, tests), limit), answers)  # noqa: B023
        answers.flush()
