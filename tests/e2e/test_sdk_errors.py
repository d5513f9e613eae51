"""What the official SDKs raise when a call fails behind the gateway, and what the rows say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from .agreement import CLIENT_KEY
from .sdk_calls import ASKED
from .stand import Stand, stand

UPSTREAM_KEY = "sk-upstream-secret"

# fault, status at the client, error_code of the row
REFUSALS = [
    ("http_400", 400, "upstream_error"),
    ("http_401", 502, "upstream_auth"),
    ("http_429", 429, "upstream_error"),
    ("http_500", 500, "upstream_error"),
    ("http_503", 503, "upstream_error"),
    ("html", 502, "upstream_protocol_error"),
    ("redirect", 502, "upstream_error"),
]
# fault, row's status, row's error_code, for a stream that has begun
ENDS = [
    ("error_mid", "upstream_error", "upstream_error"),
    ("cut", "stream_incomplete", "stream_incomplete"),
    ("reset", "stream_incomplete", "stream_incomplete"),
    ("stall", "upstream_timeout", "upstream_timeout"),
]
OPENAI_ERRORS = {
    400: openai.BadRequestError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
}
ANTHROPIC_ERRORS = {
    400: anthropic.BadRequestError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    502: anthropic.InternalServerError,
    503: anthropic.InternalServerError,
}
STREAMING = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
LIMITS = {"first_token": 5, "idle": 0.3}

pytestmark = [pytest.mark.asyncio]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


async def chat(it: Stand, fault: str, retries: int = 0, **request: Any) -> list[str]:
    """Return the texts of a chat completion in which `fault` happens."""
    key = {"api_key": CLIENT_KEY, "max_retries": retries}
    sim = {"sim": {"fault": fault, "after": 2}}
    async with openai.AsyncOpenAI(base_url=f"{it.url}/v1", **key) as client:
        made: Any = await client.chat.completions.create(
            model="sim", messages=ASKED, extra_body=sim, **request
        )
        if not request.get("stream"):
            return [made.choices[0].message.content]
        return [c.choices[0].delta.content or "" async for c in made if c.choices]


async def message(it: Stand, fault: str, retries: int = 0, **request: Any) -> list[str]:
    """Return the texts of a message in which `fault` happens."""
    key = {"api_key": CLIENT_KEY, "max_retries": retries}
    sim = {"sim": {"fault": fault, "after": 2}}
    async with anthropic.AsyncAnthropic(base_url=it.url, **key) as client:
        made: Any = await client.messages.create(
            model="sim", messages=ASKED, max_tokens=50, extra_body=sim, **request
        )
        if not request.get("stream"):
            return [block.text for block in made.content]
        return [e.delta.text async for e in made if e.type == "content_block_delta"]


@STREAMING
@pytest.mark.parametrize(("fault", "status", "code"), REFUSALS)
@pytest.mark.parametrize("flavour", ["openai", "llamacpp"])
async def test_openai_raises_the_class_of_the_status(
    tmp_path: Path, fault: str, status: int, code: str, flavour: str, stream: bool
) -> None:
    async with stand(tmp_path, flavour=flavour, api_key=UPSTREAM_KEY) as it:
        with pytest.raises(OPENAI_ERRORS[status]) as caught:
            await chat(it, fault, stream=stream)
        [row] = await it.rows()
    error = caught.value
    assert error.status_code == row["http_status"] == status
    assert row["error_code"] == code
    assert row["status"] in ("upstream_error", "upstream_protocol_error")
    assert error.request_id == row["id"]
    assert row["error_message"] in str(error)
    assert UPSTREAM_KEY not in str(error)


@STREAMING
@pytest.mark.parametrize(("fault", "status", "code"), REFUSALS)
@pytest.mark.parametrize("flavour", ["anthropic", "llamacpp"])
async def test_anthropic_raises_the_class_of_the_status(
    tmp_path: Path, fault: str, status: int, code: str, flavour: str, stream: bool
) -> None:
    async with stand(tmp_path, flavour=flavour, api_key=UPSTREAM_KEY) as it:
        with pytest.raises(ANTHROPIC_ERRORS[status]) as caught:
            await message(it, fault, stream=stream)
        [row] = await it.rows()
    error: Any = caught.value
    assert error.status_code == row["http_status"] == status
    assert row["error_code"] == code
    assert error.request_id == row["id"]
    assert error.body["type"] == "error"
    assert error.body["error"]["message"]
    assert UPSTREAM_KEY not in str(error)


@pytest.mark.parametrize(("fault", "status", "code"), ENDS)
@pytest.mark.parametrize("flavour", ["openai", "llamacpp"])
async def test_openai_raises_where_a_stream_ends_badly(
    tmp_path: Path, fault: str, status: str, code: str, flavour: str
) -> None:
    async with stand(tmp_path, flavour=flavour, timeouts=LIMITS) as it:
        with pytest.raises(openai.APIError) as caught:
            await chat(it, fault, stream=True)
        [row] = await it.rows()
    assert (row["status"], row["error_code"], row["success"]) == (status, code, False)
    assert row["delivered"] == "part"
    assert caught.value.message


@pytest.mark.parametrize(("fault", "status", "code"), ENDS)
@pytest.mark.parametrize("flavour", ["anthropic", "llamacpp"])
async def test_anthropic_raises_where_a_stream_ends_badly(
    tmp_path: Path, fault: str, status: str, code: str, flavour: str
) -> None:
    async with stand(tmp_path, flavour=flavour, timeouts=LIMITS) as it:
        with pytest.raises(anthropic.APIError) as caught:
            await message(it, fault, stream=True)
        [row] = await it.rows()
    assert (row["status"], row["error_code"], row["success"]) == (status, code, False)
    assert row["delivered"] == "part"
    assert caught.value.body


async def test_a_repeat_by_the_sdk_is_a_row_of_its_own(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        with pytest.raises(openai.RateLimitError):
            await chat(it, "http_429", retries=1)
        with pytest.raises(anthropic.RateLimitError):
            await message(it, "http_429", retries=1)
        rows = await it.rows()
    assert [row["dialect"] for row in rows] == ["anthropic", "anthropic", "openai", "openai"]
    assert {row["status"] for row in rows} == {"upstream_error"}


async def test_a_key_that_an_upstream_refuses_is_not_tried_again(tmp_path: Path) -> None:
    """Behind the gateway its 401 is a 502, which SDKs repeat else."""
    async with stand(tmp_path, api_key=UPSTREAM_KEY) as it:
        with pytest.raises(openai.InternalServerError):
            await chat(it, "http_401", retries=2)
        with pytest.raises(anthropic.InternalServerError):
            await message(it, "http_401", retries=2)
        rows = await it.rows()
    assert [(row["http_status"], row["error_code"]) for row in rows] == [(502, "upstream_auth")] * 2


async def test_what_we_refuse_is_raised_as_well(tmp_path: Path) -> None:
    async with stand(tmp_path, kind="openai", flavour="openai") as it:
        with pytest.raises(anthropic.BadRequestError, match="tool_choice"):
            await message(it, "cut", tool_choice={"type": "tool", "name": "nope"})
        with pytest.raises(openai.BadRequestError) as caught:
            await chat(it, "cut", extra_headers={"x-streamgauge-meta": "loud"})
        async with openai.AsyncOpenAI(base_url=f"{it.url}/v9", api_key="x", max_retries=0) as lost:
            with pytest.raises(openai.NotFoundError):
                await lost.chat.completions.create(model="sim", messages=ASKED)
        rows = await it.rows()
        assert it.simulator.begun == []
    assert caught.value.code == "bad_request"
    told = [(row["status"], row["error_code"], row["http_status"]) for row in rows]
    assert told == [("rejected", "bad_request", 400)] * 2
