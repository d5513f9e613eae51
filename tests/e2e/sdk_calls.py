"""Calls by the official SDKs, sync and async, with a client that does not repeat by itself."""

from __future__ import annotations

import asyncio
from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, LengthFinishReasonError, OpenAI

from .agreement import CLIENT_KEY
from .stand import Stand

__all__ = [
    "ASKED",
    "anthropic_client",
    "chat_chunks",
    "final_completion",
    "message_events",
    "openai_client",
    "whole",
]

ASKED: list[Any] = [{"role": "user", "content": "say it, please"}]


def openai_client(it: Stand) -> AsyncOpenAI:
    """Return a client that does not repeat by itself."""
    return AsyncOpenAI(base_url=f"{it.url}/v1", api_key=CLIENT_KEY, max_retries=0)


def anthropic_client(it: Stand) -> AsyncAnthropic:
    """Return a client that does not repeat by itself."""
    return AsyncAnthropic(base_url=it.url, api_key=CLIENT_KEY, max_retries=0)


async def chat_chunks(it: Stand, way: str = "async", **request: Any) -> list[Any]:
    """Return the chunks of one streamed chat completion."""
    request = {"model": "sim", "messages": ASKED, "stream": True, **request}
    if way == "async":
        async with openai_client(it) as client:
            return [chunk async for chunk in await client.chat.completions.create(**request)]

    def run() -> list[Any]:
        with OpenAI(base_url=f"{it.url}/v1", api_key=CLIENT_KEY, max_retries=0) as client:
            return list(client.chat.completions.create(**request))

    return await asyncio.to_thread(run)


async def final_completion(stream: Any) -> Any:
    """Return what the SDK made of a stream, also where it was cut at the token limit."""
    try:
        return await stream.get_final_completion()
    except LengthFinishReasonError as cut_short:
        return cut_short.completion


async def message_events(it: Stand, way: str = "async", **request: Any) -> tuple[list[Any], Any]:
    """Return the raw events of one streamed message, and the message that the SDK makes of them."""
    request = {"model": "sim", "messages": ASKED, "max_tokens": 500, **request}
    if way == "async":
        async with anthropic_client(it) as client, client.messages.stream(**request) as stream:
            return [e async for e in stream], await stream.get_final_message()

    def run() -> tuple[list[Any], Any]:
        with (
            Anthropic(base_url=it.url, api_key=CLIENT_KEY, max_retries=0) as client,
            client.messages.stream(**request) as stream,
        ):
            return list(stream), stream.get_final_message()

    return await asyncio.to_thread(run)


async def whole(it: Stand, sdk: str, way: str, **request: Any) -> Any:
    """Return one answer that is not streamed, by the SDK called `sdk`."""
    request = {"model": "sim", "messages": ASKED, **request}
    if way == "async":
        if sdk == "openai":
            async with openai_client(it) as client:
                return await client.chat.completions.create(**request)
        async with anthropic_client(it) as other:
            return await other.messages.create(**request)

    def run() -> Any:
        if sdk == "openai":
            with OpenAI(base_url=f"{it.url}/v1", api_key=CLIENT_KEY, max_retries=0) as client:
                return client.chat.completions.create(**request)
        with Anthropic(base_url=it.url, api_key=CLIENT_KEY, max_retries=0) as other:
            return other.messages.create(**request)

    return await asyncio.to_thread(run)
