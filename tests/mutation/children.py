"""Processes for mutants: each in a fork with bounds on time and memory. It knows no test."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from enum import Enum

__all__ = ["Outcome", "in_child"]

_MEMORY = 3 << 30
"""Address space of a child in bytes: a mutant that never ends must not eat the machine first."""


class Outcome(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"
    UNSEEN = "no test runs it"


def in_child(work: Callable[[], bool], limit: float) -> Outcome:
    """Run `work` in a fork; it returns whether the mutant survived. `limit`: seconds."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        _bounded(limit)
        code = 1
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)  # the original raises nothing here, so whatever was raised kills
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return Outcome.TIMED_OUT
    return Outcome.SURVIVED if status == 0 else Outcome.KILLED


def _bounded(limit: float) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The default action ends the process at once, wherever a mutant may be looping.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limit)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
