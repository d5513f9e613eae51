"""The pages of the played servers: models, props, slots, health (WIRE.md §6.1, §6.4, §7.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streamgauge.tools.simulator.flavours import Flavour

__all__ = ["CONTEXT", "page", "shown_model"]

CONTEXT = 4096
"""Tokens of context a slot; llama.cpp's own default when a model does not say otherwise."""
_TRAINED = 262144
"""The training length is much larger on purpose: a reader must not take it for the context."""
_MODEL = "sim"
_SLOTS = 2


def page(flavour: Flavour, endpoint: str, *, busy: int, used: bool = True) -> bytes | None:
    """Return the JSON of `endpoint`, or None where there is no such page.

    `busy`: open calls. `used`: a call has come, with which Ollama loads its model.
    """
    value: Any = None
    if flavour is Flavour.OLLAMA and endpoint.startswith("api/"):
        value = _OLLAMA_PAGES.get(endpoint)
        if endpoint == "api/ps" and not used:
            value = {"models": []}
    elif endpoint == "models":
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
        entry["meta"] = {"vocab_type": 1, "n_ctx": CONTEXT, "n_ctx_train": _TRAINED}
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


_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "simfamily",
    "families": ["simfamily"],
    "parameter_size": "8.0B",
    "quantization_level": "Q4_K_M",
}
_LISTED = {
    "name": f"{_MODEL}:latest",
    "model": f"{_MODEL}:latest",
    "size": 4_000_000_000,
    "digest": "0" * 64,
    "details": _DETAILS,
}
_OLLAMA_PAGES: Mapping[str, Any] = {
    "api/version": {"version": "0.0.0-sim"},
    "api/tags": {"models": [_LISTED | {"modified_at": "2026-01-01T00:00:00Z"}]},
    "api/ps": {"models": [_LISTED | {"size_vram": 0, "context_length": CONTEXT}]},
}


def shown_model(name: object) -> bytes | None:
    """Return Ollama's description of the model, or None where it has none of that name."""
    if not isinstance(name, str) or name.removesuffix(":latest") != _MODEL:
        return None
    info = {"general.architecture": "simfamily", "simfamily.context_length": _TRAINED}
    capabilities = ["completion", "tools", "thinking", "vision"]
    shown = {"parameters": 'stop                           "<|im_end|>"', "details": _DETAILS}
    return msgspec.json.encode(shown | {"model_info": info, "capabilities": capabilities})
