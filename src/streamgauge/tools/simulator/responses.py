"""OpenAI Responses events (WIRE.md §3): reasoning, text, function calls. It knows no fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from streamgauge.core.usage import TokenUsage
from streamgauge.tools.simulator.anthropic import event_frame
from streamgauge.tools.simulator.counts import stated_responses, timings
from streamgauge.tools.simulator.flavours import Flavour
from streamgauge.tools.simulator.plan import Plan
from streamgauge.tools.simulator.script import Frame, Kind

__all__ = ["ResponsesAnswer"]


class ResponsesAnswer:
    """One answer on `/v1/responses`. Items follow one another, sequence numbers have no gap."""

    def __init__(self, flavour: Flavour, plan: Plan) -> None:
        self._llamacpp = flavour is Flavour.LLAMACPP
        self._plan = plan
        self._sequence = 0
        self._usage = {} if plan.no_usage else _usage(plan)

    def frames(self) -> Iterator[Frame]:
        """Yield the stream's frames; the last event is the end marker."""
        opening = self._response("in_progress", [])
        yield self._event(Kind.START, "response.created", response=opening)
        yield self._event(Kind.OTHER, "response.in_progress", response=opening)
        items = self._items()
        for index, (item, pieces) in enumerate(items):
            yield from self._item(index, item, pieces)
        status = "incomplete" if self._plan.cut_short else "completed"
        extra: dict[str, Any] = {"response": self._response(status, [item for item, _ in items])}
        if self._llamacpp and not self._plan.no_usage:
            extra["timings"] = timings(self._plan, self._plan.each)
        yield self._event(Kind.MARK, f"response.{status}", usage=self._stated(), **extra)

    def body(self) -> tuple[bytes, TokenUsage | None]:
        """Return the non-stream answer and the counts it states."""
        status = "incomplete" if self._plan.cut_short else "completed"
        answer = self._response(status, [item for item, _ in self._items()])
        return msgspec.json.encode(answer), self._stated()

    def _stated(self) -> TokenUsage | None:
        return None if self._plan.no_usage else stated_responses(self._usage)

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "id": f"resp_{self._plan.call}",
            "object": "response",
            "created_at": self._plan.created,
            "status": status,
            "model": self._plan.model,
            "output": output,
            "usage": None,
        }
        if status == "incomplete":
            answer["incomplete_details"] = {"reason": "max_output_tokens"}
        if status != "in_progress" and self._usage:
            answer["usage"] = self._usage
        return answer

    def _items(self) -> list[tuple[dict[str, Any], Sequence[str]]]:
        plan = self._plan
        items: list[tuple[dict[str, Any], Sequence[str]]] = []
        if plan.reasoning:
            parts = [{"type": "reasoning_text", "text": "".join(plan.reasoning)}]
            item = {"type": "reasoning", "id": f"rs_{plan.call}", "summary": [], "content": parts}
            items.append((item, plan.reasoning))
        if plan.text:
            parts = [{"type": "output_text", "text": "".join(plan.text)}]
            item = {"type": "message", "id": f"msg_{plan.call}", "role": "assistant"}
            items.append((item | {"content": parts}, plan.text))
        for call in plan.calls:
            item = {"type": "function_call", "id": f"fc_{call.id}", "call_id": call.id}
            item |= {"name": call.name, "arguments": call.arguments}
            items.append((item, call.pieces))
        return items

    def _item(self, index: int, item: dict[str, Any], pieces: Sequence[str]) -> Iterator[Frame]:
        empty: dict[str, Any] = (
            {"arguments": ""} if item["type"] == "function_call" else {"content": []}
        )
        yield self._event(
            Kind.OTHER, "response.output_item.added", output_index=index, item=item | empty
        )
        place: dict[str, Any] = {"item_id": item["id"], "output_index": index}
        if item["type"] == "function_call":
            name, done = "response.function_call_arguments", {"arguments": item["arguments"]}
        else:
            part = item["content"][0]
            name, done = f"response.{part['type']}", {"text": part["text"]}
            place["content_index"] = 0
            blank = part | {"text": ""}
            yield self._event(Kind.OTHER, "response.content_part.added", part=blank, **place)
        for piece in pieces:
            yield self._event(Kind.CONTENT, f"{name}.delta", 1, delta=piece, **place)
        yield self._event(Kind.OTHER, f"{name}.done", **done, **place)
        if item["type"] != "function_call":
            yield self._event(Kind.OTHER, "response.content_part.done", part=part, **place)
        yield self._event(Kind.OTHER, "response.output_item.done", output_index=index, item=item)

    def _event(
        self,
        kind: Kind,
        name: str,
        tokens: int = 0,
        *,
        usage: TokenUsage | None = None,
        **fields: object,
    ) -> Frame:
        event = {"type": name, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return Frame(event_frame(event), kind, tokens, usage)


def _usage(plan: Plan) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "input_tokens": plan.prompt,
        "input_tokens_details": {"cached_tokens": plan.cached},
        "output_tokens": plan.each,
        "output_tokens_details": {"reasoning_tokens": len(plan.reasoning)},
        "total_tokens": plan.prompt + plan.each,
    }
    return usage | plan.stated
