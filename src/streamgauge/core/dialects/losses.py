"""The names of what a translation loses (SPEC §13.3): a closed list, as docs/wire.md has it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

__all__ = ["FIELD", "Loss", "Losses"]

FIELD = "field:"
"""Stands before the name of a field of the request that no table here knows, by its path."""
_MOST_FIELDS = 8
"""More unknown fields than this are not named one by one: the names stand in a header."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")


class Loss(StrEnum):
    """What could not be said in the other dialect; docs/wire.md explains each."""

    AUDIO = "audio"
    CACHE_CONTROL = "cache_control"
    CITATIONS = "citations"
    CONTAINER = "container"
    CONTEXT_MANAGEMENT = "context_management"
    CUSTOM_TOOL = "custom_tool"
    DIAGNOSTICS = "diagnostics"
    DOCUMENT_CONTEXT = "document:context"
    DOCUMENT_TITLE = "document:title"
    FREQUENCY_PENALTY = "frequency_penalty"
    IMAGE_DETAIL = "image:detail"
    INFERENCE_GEO = "inference_geo"
    LOGIT_BIAS = "logit_bias"
    LOGPROBS = "logprobs"
    MCP_SERVERS = "mcp_servers"
    MESSAGE_NAME = "message:name"
    MID_SYSTEM = "mid_system"
    MODERATION = "moderation"
    OUTPUT_CONFIG = "output_config"
    PARALLEL_TOOL_CALLS = "parallel_tool_calls"
    PREDICTION = "prediction"
    PRESENCE_PENALTY = "presence_penalty"
    REASONING = "reasoning"
    REASONING_BUDGET = "reasoning:budget"
    REDACTED_THINKING = "redacted_thinking"
    RESPONSE_FORMAT = "response_format"
    SEARCH_RESULT = "search_result"
    SEED = "seed"
    SERVER_BLOCK = "server_block"
    SERVER_TOOL = "server_tool"
    SERVICE_TIER = "service_tier"
    SPEED = "speed"
    STOP = "stop"
    TEMPERATURE = "temperature"
    THINKING = "thinking"
    THINKING_SIGNATURE = "thinking:signature"
    TOOL_ARGUMENTS = "tool_arguments"
    TOOL_CHOICE = "tool_choice"
    TOOL_OPTIONS = "tool:options"
    TOOL_STRICT = "tool:strict"
    TOP_K = "top_k"
    TOP_P = "top_p"
    VERBOSITY = "verbosity"
    WEB_SEARCH = "web_search_options"


class Losses:
    """Collects the names, each once, in the order in which they were noted."""

    __slots__ = ("_names",)

    def __init__(self, before: Iterable[str] = ()) -> None:
        self._names: dict[str, None] = dict.fromkeys(before)

    @property
    def names(self) -> tuple[str, ...]:
        """What was noted so far."""
        return tuple(self._names)

    def note(self, loss: Loss, lost: object = True) -> None:
        """Note `loss`, unless `lost` is None, False or empty: then nothing was there to lose."""
        if lost:
            self._names[str(loss)] = None

    def note_stated(self, loss: Loss, value: object) -> None:
        """Note `loss` where the client stated a value, whatever it is."""
        if value is not None:
            self._names[str(loss)] = None

    def note_fields(self, names: Iterable[str]) -> None:
        """Note top-level fields that nobody here knows. A name that is no word becomes `?`."""
        named = [name if _NAME.fullmatch(name) else "?" for name in names]
        for name in named[:_MOST_FIELDS]:
            self._names[FIELD + name] = None
        if len(named) > _MOST_FIELDS:
            self._names[FIELD + "..."] = None
