"""Chat completions as llama.cpp, vLLM, OpenAI and OpenRouter word them. It knows no fault."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import msgspec

from streamgauge.core.usage import TokenUsage
from streamgauge.tools.simulator.counts import openai_usage, stated_openai, timings
from streamgauge.tools.simulator.flavours import Flavour
from streamgauge.tools.simulator.plan import Plan
from streamgauge.tools.simulator.script import Frame, Kind

__all__ = ["ChatAnswer", "data_frame", "frame_of_done", "options_of"]

_REASONING_KEYS = dict.fromkeys((Flavour.VLLM, Flavour.OPENROUTER, Flavour.OLLAMA), "reasoning")
_FINGERPRINTS = {
    Flavour.LLAMACPP: "b11434-sim",
    Flavour.OPENAI: "fp_sim",
    Flavour.OLLAMA: "fp_ollama",
}
_PROCESSING = Frame(b": OPENROUTER PROCESSING\n\n", Kind.PING)
_PADDING = "aZ3kQ9xB7mL1"

Delta = tuple[dict[str, Any], int]
"""A delta object and the tokens in it."""

encode = msgspec.json.encode


def data_frame(value: object) -> bytes:
    """Return `value` as an unnamed SSE frame of JSON."""
    return b"data: " + encode(value) + b"\n\n"


def frame_of_done() -> Frame:
    """Return OpenAI's end marker."""
    return Frame(b"data: [DONE]\n\n", Kind.MARK)


def options_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the request's `stream_options`, or an empty object."""
    options = body.get("stream_options")
    return options if isinstance(options, dict) else {}


class ChatAnswer:
    """One answer on `/v1/chat/completions`, as a stream of frames or as one body."""

    def __init__(self, flavour: Flavour, plan: Plan, body: dict[str, Any]) -> None:
        options = options_of(body)
        self._flavour = flavour
        self._plan = plan
        self._llamacpp = flavour is Flavour.LLAMACPP
        self._ollama = flavour is Flavour.OLLAMA
        asked = options.get("include_usage") is True or flavour is Flavour.OPENROUTER
        self._usage = asked and not plan.no_usage
        running = options.get("continuous_usage_stats") is True
        self._running = self._usage and running and flavour is Flavour.VLLM
        per_token = body.get("timings_per_token") is True
        self._timings_per_token = per_token and self._llamacpp and not plan.no_usage
        obfuscated = options.get("include_obfuscation") is not False
        self._obfuscated = obfuscated and flavour is Flavour.OPENAI

    def frames(self) -> Iterator[Frame]:
        """Yield the stream's frames, end marker included."""
        choices = range(self._plan.choices)
        if self._flavour is Flavour.OPENROUTER:
            yield from (_PROCESSING, _PROCESSING)
        for choice in choices:
            opening = {"role": "assistant", "content": None if self._llamacpp else ""}
            yield Frame(self._chunk(choice, opening), Kind.START)
        sent = 0
        for deltas in zip(*(self._deltas(choice) for choice in choices), strict=True):
            for choice, (delta, tokens) in enumerate(deltas):
                sent += tokens
                kind = Kind.CONTENT if tokens else Kind.OTHER
                yield Frame(self._chunk(choice, delta, sent=sent), kind, tokens)
        for choice in choices:
            yield from self._finish(choice)
        if self._usage and not self._llamacpp:
            usage = openai_usage(self._flavour, self._plan, self._plan.total)
            chunk = self._envelope([]) | {"usage": usage}
            yield Frame(data_frame(chunk), Kind.USAGE, usage=stated_openai(usage))
        yield frame_of_done()

    def body(self) -> tuple[bytes, TokenUsage | None]:
        """Return the non-stream answer and the counts it states."""
        plan = self._plan
        choices = [self._whole_choice(choice) for choice in range(plan.choices)]
        answer = self._envelope(choices) | {"object": "chat.completion"}
        if plan.no_usage:
            return encode(answer), None
        usage = answer["usage"] = openai_usage(self._flavour, plan, plan.total)
        if self._llamacpp:
            answer["timings"] = timings(plan, plan.each)
        return encode(answer), stated_openai(usage)

    def _finish(self, choice: int) -> Iterator[Frame]:
        finish = self._chunk(choice, self._base, finish=self._plan.finish)
        if not self._llamacpp or self._plan.no_usage:
            yield Frame(finish, Kind.FINISH)
            return
        each, total = self._plan.each, self._plan.each * (choice + 1)
        times = timings(self._plan, each)
        if not self._usage:
            chunk = msgspec.json.decode(finish[len(b"data: ") :]) | {"timings": times}
            yield Frame(data_frame(chunk), Kind.FINISH)
            return
        yield Frame(finish, Kind.FINISH)
        usage = openai_usage(self._flavour, self._plan, each)
        stated = stated_openai(usage)
        if choice:
            stated = TokenUsage(stated.input, total)
        chunk = self._envelope([]) | {"usage": usage, "timings": times}
        yield Frame(data_frame(chunk), Kind.USAGE, usage=stated)

    def _deltas(self, choice: int) -> Iterator[Delta]:
        plan = self._plan
        key = _REASONING_KEYS.get(self._flavour, "reasoning_content")
        deltas = chain(
            (({key: piece}, 1) for piece in plan.reasoning),
            self._details(),
            (({"content": piece}, 1) for piece in plan.words(choice)),
            self._tool_deltas(),
        )
        return ((self._base | delta, tokens) for delta, tokens in deltas)

    @property
    def _base(self) -> dict[str, Any]:
        """What stands in every delta: nothing, but for Ollama."""
        return {"role": "assistant", "content": ""} if self._ollama else {}

    def _details(self) -> Iterator[Delta]:
        """Yield what OpenRouter tells of reasoning beside its text: signature, unreadable parts."""
        if self._flavour is Flavour.OPENROUTER:
            for detail in self._plan_details():
                yield {"content": "", "reasoning_details": [detail]}, 0

    def _plan_details(self) -> Iterator[dict[str, Any]]:
        plan = self._plan
        shared = {"format": "anthropic-claude-v1", "index": 0}
        if plan.reasoning:
            yield {"type": "reasoning.text", "signature": plan.signature} | shared
        if plan.redacted:
            yield {"type": "reasoning.encrypted", "data": plan.redacted} | shared

    def _tool_deltas(self) -> Iterator[Delta]:
        for index, call in enumerate(self._plan.calls):
            first = call.pieces[:1] if self._llamacpp else ()
            first = call.pieces if self._ollama else first
            function = {"name": call.name, "arguments": "".join(first)}
            opening = {"index": index, "id": call.id, "type": "function", "function": function}
            yield {"tool_calls": [opening]}, len(first)
            for piece in call.pieces[len(first) :]:
                part = {"index": index, "function": {"arguments": piece}}
                yield {"tool_calls": [part]}, 1

    def _chunk(
        self, choice: int, delta: dict[str, Any], *, finish: str | None = None, sent: int = 0
    ) -> bytes:
        chunk = self._envelope([self._choice(choice, delta, finish)])
        if self._timings_per_token and sent:
            chunk["timings"] = timings(self._plan, sent)
        if self._running:
            count = self._plan.total if finish else sent
            chunk["usage"] = openai_usage(self._flavour, self._plan, count)
        if self._obfuscated:
            chunk["obfuscation"] = _PADDING[: 4 + sent % 8]
        return data_frame(chunk)

    def _choice(self, index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
        if self._llamacpp:
            return {"finish_reason": finish, "index": index, "delta": delta}
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        if self._flavour is Flavour.OPENROUTER:
            choice["native_finish_reason"] = finish
        if self._flavour is Flavour.VLLM and finish:
            choice["stop_reason"] = None
        return choice

    def _whole_choice(self, index: int) -> dict[str, Any]:
        plan = self._plan
        text = "".join(plan.words(index))
        bare = None if plan.calls and not text and not self._llamacpp else text
        message: dict[str, Any] = {"role": "assistant", "content": bare}
        if plan.reasoning:
            key = _REASONING_KEYS.get(self._flavour, "reasoning_content")
            message[key] = "".join(plan.reasoning)
        if details := list(self._plan_details() if self._flavour is Flavour.OPENROUTER else ()):
            if plan.reasoning:
                details[0]["text"] = "".join(plan.reasoning)
            message["reasoning_details"] = details
        if plan.calls:
            message["tool_calls"] = [
                {
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                    "id": call.id,
                }
                for call in plan.calls
            ]
        choice = {"finish_reason": plan.finish, "index": index, "message": message}
        return choice if self._llamacpp else choice | {"logprobs": None}

    def _envelope(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        plan = self._plan
        chunk: dict[str, Any] = {"choices": choices, "created": plan.created}
        chunk["id"] = f"chatcmpl-{plan.call}"
        chunk["model"] = plan.model
        if (fingerprint := _FINGERPRINTS.get(self._flavour)) is not None:
            chunk["system_fingerprint"] = fingerprint
        chunk["object"] = "chat.completion.chunk"
        if self._flavour is Flavour.OPENROUTER:
            chunk |= {"id": f"gen-{plan.call}", "provider": "Sim"}
        if self._flavour is Flavour.OPENAI:
            chunk["service_tier"] = plan.service_tier
            if self._usage:
                chunk["usage"] = None
        return chunk
