"""The clients of the matrix: the official SDKs, and a plain one for the protocols without any."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anthropic
import httpx2
import openai

from .agreement import CLIENT_KEY
from .matrix import Case, Said
from .sdk_calls import final_completion
from .stand import Stand

__all__ = ["Clients"]


class _Copy(httpx2.AsyncByteStream):
    """A body that is kept as it is read."""

    def __init__(self, body: Any, kept: bytearray) -> None:
        self._body = body
        self._kept = kept

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            self._kept += piece
            yield piece

    async def aclose(self) -> None:
        await self._body.aclose()


class _Copying(httpx2.AsyncHTTPTransport):
    """A transport that keeps the raw body and the headers of its last answer."""

    def __init__(self) -> None:
        super().__init__(verify=False)
        self.raw = bytearray()
        self.headers: dict[str, str] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        self.raw = bytearray()
        self.headers = dict(response.headers)
        response.stream = _Copy(response.stream, self.raw)
        return response


class Clients:
    """One of each client for one gateway; `ask` puts a case to it and returns what it assembled."""

    def __init__(self, it: Stand) -> None:
        self._it = it
        self._wire = _Copying()
        http = httpx2.AsyncClient(transport=self._wire, trust_env=False)
        self._openai = openai.AsyncOpenAI(
            base_url=f"{it.url}/v1", api_key=CLIENT_KEY, max_retries=0, http_client=http
        )
        self._anthropic = anthropic.AsyncAnthropic(
            base_url=it.url, api_key=CLIENT_KEY, max_retries=0, http_client=http
        )

    async def aclose(self) -> None:
        """Close what is open."""
        await self._openai.close()

    async def ask(self, client: str, case: Case, *, stream: bool, **headers: str) -> Said:
        """Return what `client` made of the answer to `case`."""
        body = case.request(client, stream=stream)
        if client in ("simple", "frames"):
            return await self._plain(client, body, stream=stream)
        heard: dict[str, Any] = {}
        begin = (self._chat, self._message)[client == "anthropic"]
        try:
            await begin(body, heard, headers, stream=stream)
        except (openai.APIError, anthropic.APIError) as error:
            heard["error"] = error.message
            heard["status"] = getattr(error, "status_code", 200)
        wire = self._wire
        # An SDK stops reading behind the end marker: what follows is on the wire all the same.
        return Said(
            wire.headers["x-request-id"], raw=bytes(wire.raw), headers=wire.headers, **heard
        )

    # --- OpenAI --------------------------------------------------------------------------------

    async def _chat(
        self,
        body: dict[str, Any],
        heard: dict[str, Any],
        headers: Mapping[str, str],
        *,
        stream: bool,
    ) -> None:
        if not stream:
            answer = await self._openai.chat.completions.create(**body, extra_headers=headers)
            _take_completion(answer, heard)
            return
        body = {k: v for k, v in body.items() if k != "stream"}
        body["stream_options"] = {"include_usage": True}
        heard.update(text="", reasoning="")
        times: list[float] = []
        async with self._openai.chat.completions.stream(**body, extra_headers=headers) as events:
            async for event in events:
                if event.type != "chunk":
                    continue
                for choice in event.chunk.choices:
                    heard["text"] += choice.delta.content or ""
                    heard["reasoning"] += _reasoning(choice.delta)
                    if choice.delta.content:
                        times.append(time.monotonic())
            reasoning, text = heard["reasoning"], heard["text"]
            _take_completion(await final_completion(events), heard)
        assert heard["text"] == text
        heard.update(reasoning=reasoning, times=tuple(times))

    async def chat_message(
        self, turns: list[Any], tools: list[Any], *, stream: bool
    ) -> dict[str, Any]:
        """Return the assistant's message of a completion, to be sent back as it is."""
        asked: Any = {"model": "sim", "messages": turns, "tools": tools}
        if not stream:
            answer = await self._openai.chat.completions.create(**asked)
            return _to_send(answer.choices[0].message)
        details: list[Any] = []
        async with self._openai.chat.completions.stream(**asked) as events:
            async for event in events:
                if event.type == "chunk" and event.chunk.choices:
                    extra = event.chunk.choices[0].delta.model_extra or {}
                    details += extra.get("reasoning_details") or ()
            completion = await final_completion(events)
        spoken = _to_send(completion.choices[0].message)
        return spoken | {"reasoning_details": details}

    async def message_blocks(
        self, turns: list[Any], tools: list[Any], *, stream: bool
    ) -> list[dict[str, Any]]:
        """Return the blocks of a message, to be sent back as they are."""
        asked: Any = {"model": "sim", "messages": turns, "tools": tools, "max_tokens": 900}
        if not stream:
            answer = await self._anthropic.messages.create(**asked)
        else:
            async with self._anthropic.messages.stream(**asked) as events:
                answer = await events.get_final_message()
        return [block.model_dump(exclude_none=True) for block in answer.content]

    # --- Anthropic -----------------------------------------------------------------------------

    async def _message(
        self,
        body: dict[str, Any],
        heard: dict[str, Any],
        headers: Mapping[str, str],
        *,
        stream: bool,
    ) -> None:
        if not stream:
            answer = await self._anthropic.messages.create(**body, extra_headers=headers)
            _take_message(answer, heard)
            return
        body = {k: v for k, v in body.items() if k != "stream"}
        heard.update(text="", reasoning="")
        times: list[float] = []
        async with self._anthropic.messages.stream(**body, extra_headers=headers) as events:
            async for event in events:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    heard["text"] += event.delta.text
                    times.append(time.monotonic())
            text = heard["text"]
            _take_message(await events.get_final_message(), heard)
        assert heard["text"] == text
        heard["times"] = tuple(times)

    # --- the plain client ----------------------------------------------------------------------

    async def _plain(self, protocol: str, body: dict[str, Any], *, stream: bool) -> Said:
        answer = await self._it.ask(f"/v1/chat/completions?protocol={protocol}", body)
        heard: dict[str, Any] = {"status": answer.status}
        if answer.status != 200:
            heard["error"] = answer.json()["error"]["message"]
        elif not stream:
            _take_completion(openai.types.chat.ChatCompletion.model_validate(answer.json()), heard)
        else:
            assert answer.clean
            payloads = _payloads(protocol, answer.body)
            (_take_lines, _take_frames)[protocol == "frames"](payloads, heard)
            heard["times"] = tuple(t for t, piece in answer.chunks if b'"content":"' in piece)
        return Said(answer.id, raw=answer.body, headers=answer.headers, **heard)


def _to_send(message: Any) -> dict[str, Any]:
    told: dict[str, Any] = message.model_dump(exclude_none=True)
    told.pop("parsed", None)
    for call in told.get("tool_calls", ()):
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return told


def _reasoning(part: Any) -> str:
    extra = part.model_extra or {}
    return extra.get("reasoning_content") or extra.get("reasoning") or ""


def _take_completion(answer: Any, heard: dict[str, Any]) -> None:
    [choice] = answer.choices
    calls = choice.message.tool_calls or ()
    heard.update(
        text=choice.message.content or "",
        reasoning=_reasoning(choice.message),
        calls=tuple((c.function.name, json.loads(c.function.arguments)) for c in calls),
        ids=tuple(call.id for call in calls),
        finish=choice.finish_reason,
        usage=(answer.usage.prompt_tokens, answer.usage.completion_tokens),
    )


_STOPS = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length"}


def _take_message(answer: Any, heard: dict[str, Any]) -> None:
    blocks = answer.content
    usage = answer.usage
    read = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens
    heard.update(
        text="".join(block.text for block in blocks if block.type == "text"),
        reasoning="".join(block.thinking for block in blocks if block.type == "thinking"),
        calls=tuple((block.name, block.input) for block in blocks if block.type == "tool_use"),
        ids=tuple(block.id for block in blocks if block.type == "tool_use"),
        finish=_STOPS[answer.stop_reason],
        usage=(read, usage.output_tokens),
    )


def _payloads(protocol: str, body: bytes) -> list[dict[str, Any]]:
    lines = body.split(b"\n")
    if protocol == "frames":
        lines = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line.strip()]


def _take_lines(lines: list[dict[str, Any]], heard: dict[str, Any]) -> None:
    def text(kind: str) -> str:
        return "".join(line["content"] for line in lines if line["type"] == kind)

    last = lines[-1]
    assert last["type"] == "done"
    calls = _joined(line for line in lines if line["type"] == "tool_call")
    _take_plain(heard, text("delta"), text("reasoning"), calls, last)


def _take_frames(frames: list[dict[str, Any]], heard: dict[str, Any]) -> None:
    text = "".join(frame["content"] for frame in frames)
    reasoning = "".join(frame.get("reasoning", "") for frame in frames)
    last = frames[-1]
    assert last["done"] is True
    calls = _joined(frame["tool_call"] for frame in frames if "tool_call" in frame)
    _take_plain(heard, text, reasoning, calls, last)


def _joined(pieces: Any) -> list[dict[str, Any]]:
    calls: dict[int, dict[str, Any]] = {}
    for piece in pieces:
        call = calls.setdefault(piece["index"], {"arguments": ""})
        call["arguments"] += piece.get("arguments", "")
        call |= {key: piece[key] for key in ("id", "name") if key in piece}
    return list(calls.values())


def _take_plain(
    heard: dict[str, Any],
    text: str,
    reasoning: str,
    calls: list[dict[str, Any]],
    last: dict[str, Any],
) -> None:
    usage = last.get("usage")
    heard.update(
        text=text,
        reasoning=reasoning,
        usage=usage and (usage["input_tokens"], usage["output_tokens"]),
        calls=tuple((call["name"], json.loads(call["arguments"])) for call in calls),
        ids=tuple(call["id"] for call in calls),
        finish=last.get("finish_reason"),
        error=(last.get("error") or {}).get("message"),
    )
