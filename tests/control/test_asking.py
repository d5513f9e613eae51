"""A fault behind the control listener is told as what it is: it is no ledger and no loop that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from streamgauge.cli.control_listener import GatewayPlane
from streamgauge.control.books import Books, BooksThread
from streamgauge.control.guard import Refused
from streamgauge.ledger.base import LedgerError


class Shelf:
    """Books that can only be closed."""

    def close(self) -> None:
        """Nothing is open."""


def fails(error: Exception) -> Callable[[Books], None]:
    def question(books: Books) -> None:
        raise error

    return question


@pytest.mark.asyncio
async def test_a_fault_in_a_question_is_no_shutdown() -> None:
    books = BooksThread(Shelf())
    with pytest.raises(RuntimeError, match="a slip"):
        await books.ask(fails(RuntimeError("a slip")))
    with pytest.raises(Refused, match="cannot be read: torn"):
        await books.ask(fails(LedgerError("torn")))
    books.close()
    with pytest.raises(Refused, match="shutting down"):
        await books.ask(fails(RuntimeError("never asked")))


@pytest.mark.asyncio
async def test_a_fault_on_the_data_loop_is_no_loop_that_does_not_answer() -> None:
    gateway: Any = object()  # which has nothing of what is asked for
    plane = GatewayPlane(gateway, gateway, dict, asyncio.get_running_loop(), moment_seconds=5.0)
    with pytest.raises(AttributeError):
        await asyncio.to_thread(lambda: asyncio.run(plane.drain("far", drained=True)))
