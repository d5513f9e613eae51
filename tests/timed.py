"""Tests that look at times: what else goes on upon the machine must not fail them."""

from __future__ import annotations

import socket
from functools import partial

import pytest

from .standstill import LATE_SECONDS, Watch

__all__ = ["TooLate", "again_if_late", "ask_at_once", "in_time"]

_TRIES = 2
"""More than the first."""


class TooLate(AssertionError):
    """Something took longer than it may."""


def in_time(took: float, most: float) -> None:
    """Raise TooLate where `took` is more than `most`, in whatever unit both are."""
    if took > most:
        raise TooLate(f"{took:.4g} is more than {most:.4g}")


def again_if_late(watch: Watch) -> pytest.MarkDecorator:
    """Return the mark of a test that is tried again where it was late itself, or raised TooLate.

    Of three tries one must pass. What is wrong while nothing stands still fails at once.
    """
    condition = partial(_was_late, watch)
    return pytest.mark.flaky(reruns=_TRIES, reruns_delay=1, condition=condition)


def ask_at_once(config: pytest.Config) -> None:
    """Let a worker's two small messages before each test not wait for one another.

    The plugin asks its controller whether the test has crashed before; the second message would be held back
    until the first is acknowledged, 40 ms later.
    """
    asking = getattr(getattr(config, "failures_db", None), "sock", None)
    if asking is not None and hasattr(config, "workerinput"):
        asking.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _was_late(watch: Watch, error: BaseException | None) -> bool:
    return isinstance(error, TooLate) or watch.longest > LATE_SECONDS
