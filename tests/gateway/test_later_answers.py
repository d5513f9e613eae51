"""Answers that wait: each answers its client, whatever becomes of what it waits for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from streamgauge.core.errors import ErrorCode, RequestError
from streamgauge.gateway.http import ClientEvents, Header, request_head
from streamgauge.gateway.ids import IdSource
from streamgauge.gateway.later_answers import LaterAnswers

HEAD = request_head("GET", "/v1/models", "", (), "127.0.0.1")


class Told:
    """A responder that keeps what it is given."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.ends = 0

    def subscribe(self, events: ClientEvents) -> None:
        pass

    def send_head(self, status: int, headers: Sequence[Header], length: int | None) -> None:
        self.status = status

    def send(self, data: bytes) -> None:
        self.body += data

    def end(self) -> None:
        self.ends += 1

    def abort(self) -> None:
        pass


async def failing(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


async def told_of(error: BaseException) -> Told:
    told, later = Told(), LaterAnswers(IdSource())
    later.run(failing(error), HEAD, told)
    await asyncio.gather(
        *(task for task in asyncio.all_tasks() if task.get_name() == "answer /v1/models")
    )
    assert repr(later) == "<LaterAnswers tasks=0>"
    return told


@pytest.mark.asyncio
async def test_a_refusal_is_told_as_it_stands() -> None:
    told = await told_of(RequestError("no such model", status=404, code=ErrorCode.NO_ROUTE))
    assert (told.status, told.ends) == (404, 1)
    assert json.loads(told.body)["error"]["message"] == "no such model"


@pytest.mark.asyncio
async def test_a_fault_of_ours_is_a_500_and_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = await told_of(RecursionError("too deep"))
    assert (told.status, told.ends) == (500, 1)
    assert json.loads(told.body)["error"]["code"] == "overloaded"
    assert b"too deep" not in told.body
    assert "handler_failed where=/v1/models client=127.0.0.1" in caplog.text


@pytest.mark.asyncio
async def test_what_is_dropped_answers_nobody() -> None:
    told, later = Told(), LaterAnswers(IdSource())
    later.run(asyncio.sleep(60), HEAD, told)
    await asyncio.sleep(0)
    await later.aclose()
    assert (told.status, told.ends) == (0, 0)
