"""Tests that hold the program to a time: another program's work on the machine must not fail them."""

from __future__ import annotations

import pytest

__all__ = ["TooLate", "in_time", "timed"]


class TooLate(AssertionError):
    """Something took longer than it may."""


timed = pytest.mark.flaky(reruns=2, reruns_delay=1, only_rerun=["TooLate"])
"""Of three tries one must be in time: a machine that stands still for half a second does so for all of its
processes. Whatever else is wrong fails at once."""


def in_time(took: float, most: float) -> None:
    """Raise TooLate where `took` is more than `most`, in whatever unit both are."""
    if took > most:
        raise TooLate(f"{took:.4g} is more than {most:.4g}")
