"""Asks once for all who want to know within a while. It knows neither question nor answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Fresh"]

T = TypeVar("T")


class Fresh(Generic[T]):
    """An answer that is at most `seconds` old when it is given; a failure is kept as long.

    For one event loop. `failures`: what `ask` may raise; it is raised again to all.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        seconds: float,
        failures: tuple[type[Exception], ...],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._failures = failures
        self._clock = clock
        self._lock = asyncio.Lock()
        self._until: float | None = None
        self._told: T | Exception

    async def get(self) -> T:
        """Return the answer, asking where the last one is too old."""
        async with self._lock:
            if self._until is None or self._clock() >= self._until:
                try:
                    self._told = await self._ask()
                except self._failures as error:
                    self._told = error
                self._until = self._clock() + self._seconds
            told = self._told
        if isinstance(told, Exception):
            raise told
        return told
