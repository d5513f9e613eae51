"""The GET pages of the played servers: models, props, slots, health (WIRE.md §6.1, §6.4)."""

from __future__ import annotations

from typing import Any

import msgspec

from streamgauge.tools.simulator.flavours import Flavour

__all__ = ["CONTEXT", "page"]

CONTEXT = 4096
"""Tokens of context a slot; llama.cpp's own default when a model does not say otherwise."""
_MODEL = "sim"
_SLOTS = 2


def page(flavour: Flavour, endpoint: str, *, busy: int) -> bytes | None:
    """Return the JSON of `endpoint`, or None where there is no such page. `busy`: open calls."""
    value: Any = None
    if endpoint == "models":
        value = _models(flavour)
    elif endpoint == "health":
        value = {"status": "ok"}
    elif flavour is Flavour.LLAMACPP and endpoint == "props":
        value = _props()
    elif flavour is Flavour.LLAMACPP and endpoint == "slots":
        value = [_slot(i, busy=i < busy) for i in range(_SLOTS)]
    return None if value is None else msgspec.json.encode(value)


def _models(flavour: Flavour) -> dict[str, Any]:
    if flavour is Flavour.ANTHROPIC:
        model = {"type": "model", "id": _MODEL, "display_name": "Simulator"}
        model["created_at"] = "2026-01-01T00:00:00Z"
        return {"data": [model], "has_more": False, "first_id": _MODEL, "last_id": _MODEL}
    entry: dict[str, Any] = {"id": _MODEL, "object": "model", "created": 1767225600}
    entry["owned_by"] = str(flavour)
    if flavour is Flavour.VLLM:
        entry["max_model_len"] = CONTEXT
    if flavour is Flavour.LLAMACPP:
        # The training length is much larger on purpose: a reader must not take it for the context.
        entry["meta"] = {"vocab_type": 1, "n_ctx": CONTEXT, "n_ctx_train": 262144}
    return {"object": "list", "data": [entry]}


def _props() -> dict[str, Any]:
    return {
        "default_generation_settings": {"params": {"stream": False}, "n_ctx": CONTEXT},
        "total_slots": _SLOTS,
        "model_alias": _MODEL,
        "model_path": f"{_MODEL}.gguf",
        "modalities": {"vision": False, "video": False, "audio": False},
        "endpoint_slots": True,
        "endpoint_props": False,
        "endpoint_metrics": False,
        "build_info": "b11434-sim",
        "is_sleeping": False,
    }


def _slot(number: int, *, busy: bool) -> dict[str, Any]:
    return {"id": number, "n_ctx": CONTEXT, "speculative": False, "is_processing": busy}
