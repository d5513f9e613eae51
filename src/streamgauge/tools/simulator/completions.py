"""Legacy text completions and embeddings (WIRE.md §6): pass-through food, one choice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamgauge.core.usage import TokenUsage
from streamgauge.tools.simulator.counts import openai_usage, stated_openai, timings
from streamgauge.tools.simulator.flavours import Flavour
from streamgauge.tools.simulator.openai import data_frame, encode, frame_of_done, options_of
from streamgauge.tools.simulator.plan import Plan
from streamgauge.tools.simulator.script import Frame, Kind

__all__ = ["EmbeddingsAnswer", "TextAnswer"]


class TextAnswer:
    """One answer on `/v1/completions`."""

    def __init__(self, flavour: Flavour, plan: Plan, body: dict[str, Any]) -> None:
        self._flavour = flavour
        self._plan = plan
        self._llamacpp = flavour is Flavour.LLAMACPP
        asked = self._llamacpp or options_of(body).get("include_usage") is True
        self._usage = asked and not plan.no_usage

    def frames(self) -> Iterator[Frame]:
        """Yield the stream's frames; llama.cpp's usage rides on the finish frame, as captured."""
        for piece in self._plan.text:
            yield Frame(data_frame(self._chunk(piece, None)), Kind.CONTENT, 1)
        finish = self._chunk("", self._plan.finish)
        if not self._usage:
            yield Frame(data_frame(finish), Kind.FINISH)
        elif self._llamacpp:
            stated = stated_openai(self._counts(finish))
            yield Frame(data_frame(finish), Kind.FINISH, usage=stated)
        else:
            yield Frame(data_frame(finish), Kind.FINISH)
            last = self._chunk("", None) | {"choices": []}
            stated = stated_openai(self._counts(last))
            yield Frame(data_frame(last), Kind.USAGE, usage=stated)
        yield frame_of_done()

    def body(self) -> tuple[bytes, TokenUsage | None]:
        """Return the non-stream answer and the counts it states."""
        answer = self._chunk("".join(self._plan.text), self._plan.finish)
        if self._plan.no_usage:
            return encode(answer), None
        stated = stated_openai(self._counts(answer))
        return encode(answer), stated

    def _counts(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Add usage, and timings where the server has them; return the usage."""
        usage = openai_usage(self._flavour, self._plan, self._plan.each)
        answer["usage"] = usage
        if self._llamacpp:
            answer["timings"] = timings(self._plan, self._plan.each)
        return usage

    def _chunk(self, text: str, finish: str | None) -> dict[str, Any]:
        plan = self._plan
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
        return {
            "choices": [choice],
            "created": plan.created,
            "model": plan.model,
            "object": "text_completion",
            "id": f"cmpl-{plan.call}",
        }


class EmbeddingsAnswer:
    """One answer on `/v1/embeddings`: one small vector for each input text. It never streams."""

    def __init__(self, plan: Plan, inputs: object) -> None:
        self._plan = plan
        self._count = len(inputs) if isinstance(inputs, list) and inputs else 1

    def frames(self) -> Iterator[Frame]:
        """Yield nothing."""
        return iter(())

    def body(self) -> tuple[bytes, TokenUsage | None]:
        """Return the answer and the counts it states."""
        plan = self._plan
        vectors = [
            {"object": "embedding", "index": i, "embedding": [0.25, -0.5, float(i)]}
            for i in range(self._count)
        ]
        answer: dict[str, Any] = {"object": "list", "data": vectors, "model": plan.model}
        if plan.no_usage:
            return encode(answer), None
        usage = {"prompt_tokens": plan.prompt, "total_tokens": plan.prompt} | plan.stated
        answer["usage"] = usage
        return encode(answer), stated_openai(usage)
