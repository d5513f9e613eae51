"""The rules for the content blocks of an Anthropic stream. It knows nothing else of the stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.core.grammar.arguments import ARGUMENT_RULES, Arguments
from streamgauge.core.grammar.finding import Rule, Sheet, error, oddity
from streamgauge.core.grammar.values import is_count, is_text, named, shown

__all__ = ["BLOCK_RULES", "Blocks"]

BLOCK_RULES: Mapping[str, Rule] = {
    **ARGUMENT_RULES,
    "block_index": error("blocks are numbered 0, 1, 2 … in the order they start"),
    "block_shape": error("`content_block` is an object with a `type` and what that type needs"),
    "block_fields": oddity('a block starts with all its fields: `input: {}`, `signature: ""`'),
    "block_type_unknown": oddity("a block's type is one that Anthropic names"),
    "call_input_early": oddity("a tool's input comes in deltas, not in the block's start"),
    "call_id_shared": error("no two calls have one `id`"),
    "blocks_overlap": oddity("a block is stopped before the next one starts"),
    "calls_overlap": oddity("a call's block is stopped before the next call's starts"),
    "delta_unopened": error("a delta belongs to a block that was started"),
    "delta_after_stop": error("no delta follows its block's stop"),
    "delta_shape": error("`delta` is an object whose `type` has its field, of the right type"),
    "delta_misfit": error("the type of a delta fits its block's type"),
    "delta_type_unknown": oddity("a delta's type is one that Anthropic names"),
    "signature_missing": oddity("a thinking block has a signature before its stop"),
    "thinking_after_signature": oddity("a block's thinking comes before its signature"),
    "stop_unopened": error("a stop belongs to a block that was started"),
    "stop_repeated": error("a block is stopped once"),
}
_STARTS: Mapping[str, tuple[tuple[str, type], ...]] = {
    "text": (("text", str),),
    "thinking": (("thinking", str),),
    "redacted_thinking": (("data", str),),
    "tool_use": (("id", str), ("name", str)),
    "server_tool_use": (("id", str), ("name", str)),
    "mcp_tool_use": (("id", str), ("name", str)),
}
"""What a block of each type must start with."""
_FULL: Mapping[str, str] = {"thinking": "signature", "tool_use": "input"}
_TOOLS = frozenset(("tool_use", "server_tool_use", "mcp_tool_use"))
_DELTAS: Mapping[str, tuple[str, frozenset[str]]] = {
    "text_delta": ("text", frozenset(("text",))),
    "citations_delta": ("citation", frozenset(("text",))),
    "thinking_delta": ("thinking", frozenset(("thinking",))),
    "signature_delta": ("signature", frozenset(("thinking",))),
    "input_json_delta": ("partial_json", _TOOLS),
}
"""The field of each type of delta, and the blocks it may stand in."""


class _Block:
    __slots__ = ("arguments", "open", "signed", "type")

    def __init__(self, type: str) -> None:
        self.type = type
        self.open = True
        self.signed = False
        self.arguments = Arguments()


class Blocks:
    """The blocks of one message, as far as they have come."""

    __slots__ = ("_blocks", "_ids", "_sheet")

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._blocks: dict[int, _Block] = {}
        self._ids: set[str] = set()

    @property
    def open(self) -> list[int]:
        """The indexes of the blocks that are not stopped."""
        return [index for index, block in self._blocks.items() if block.open]

    @property
    def has_call(self) -> bool:
        """Whether the message calls a tool of the client's."""
        return any(block.type == "tool_use" for block in self._blocks.values())

    def start(self, event: Mapping[str, Any]) -> None:
        """Read a `content_block_start`."""
        index, block = event.get("index"), event.get("content_block")
        if index != len(self._blocks) or not is_count(index):
            text = f"index is {shown(index)}, it is block number {len(self._blocks)}"
            self._sheet.note("block_index", text)
        if not isinstance(block, dict) or not is_text(block.get("type")):
            self._sheet.note("block_shape", f"content_block is {shown(block)}")
            block = {"type": "?"}
        self._overlap(block["type"], index)
        self._blocks[self._key(index)] = _Block(block["type"])
        self._fields(block, index)

    def _key(self, index: object) -> int:
        return index if isinstance(index, int) else len(self._blocks)

    def _overlap(self, type: str, index: object) -> None:
        kinds = {block.type for block in self._blocks.values() if block.open}
        if not kinds:
            return
        rule = "calls_overlap" if type in _TOOLS and kinds <= _TOOLS else "blocks_overlap"
        self._sheet.note(rule, f"block {index} starts while {self.open} are open")

    def _fields(self, block: Mapping[str, Any], index: object) -> None:
        type = block["type"]
        needed = _STARTS.get(type)
        if needed is None:
            if not type.endswith("_tool_result") and type != "?":
                self._sheet.note("block_type_unknown", f"block {index} is a {shown(type)}")
            return
        for key, kind in needed:
            value = block.get(key)
            if not isinstance(value, kind) or (type in _TOOLS and not value):
                self._sheet.note("block_shape", f"block {index} ({type}): {key} is {shown(value)}")
        full = _FULL.get(type)
        if full is not None and full not in block:
            self._sheet.note("block_fields", f"block {index} ({type}) has no `{full}`")
        if type in _TOOLS:
            self._call(block, index)

    def _call(self, block: Mapping[str, Any], index: object) -> None:
        if block.get("input"):
            self._sheet.note("call_input_early", f"block {index} starts with an input")
        id = block.get("id")
        if not isinstance(id, str):
            return
        if id in self._ids:
            self._sheet.note("call_id_shared", f"block {index} has the id {shown(id)} too")
        self._ids.add(id)

    def delta(self, event: Mapping[str, Any]) -> None:
        """Read a `content_block_delta`."""
        index, delta = event.get("index"), event.get("delta")
        block = self._blocks.get(index) if isinstance(index, int) else None
        if block is None:
            self._sheet.note("delta_unopened", f"block {shown(index)} was not started")
            return
        if not block.open:
            self._sheet.note("delta_after_stop", f"block {index} was stopped")
        if not isinstance(delta, dict) or not is_text(delta.get("type")):
            self._sheet.note("delta_shape", f"block {index}: delta is {shown(delta)}")
            return
        self._typed(delta, index, block)

    def _typed(self, delta: Mapping[str, Any], index: object, block: _Block) -> None:
        type = delta["type"]
        if type not in _DELTAS:
            self._sheet.note("delta_type_unknown", f"block {index}: {shown(type)}")
            return
        field, fits = _DELTAS[type]
        value = delta.get(field)
        if not isinstance(value, dict if field == "citation" else str):
            self._sheet.note("delta_shape", f"block {index}: {field} is {named(value)}")
        elif block.type in _STARTS and block.type not in fits:
            self._sheet.note("delta_misfit", f"block {index}: a {type} in a {block.type} block")
        elif field == "partial_json":
            block.arguments.add(str(value))
        elif field == "signature":
            block.signed = True
        elif field == "thinking" and block.signed:
            self._sheet.note("thinking_after_signature", f"block {index}: thinking was signed")

    def stop(self, event: Mapping[str, Any]) -> None:
        """Read a `content_block_stop`."""
        index = event.get("index")
        block = self._blocks.get(index) if isinstance(index, int) else None
        if block is None:
            self._sheet.note("stop_unopened", f"block {shown(index)} was not started")
        elif not block.open:
            self._sheet.note("stop_repeated", f"block {index} was stopped before")
        else:
            block.open = False
            if block.type == "thinking" and not block.signed:
                self._sheet.note("signature_missing", f"block {index} stops without one")

    def judge_calls(self) -> None:
        """Judge the arguments of every call: the message ended as it should."""
        for index, block in self._blocks.items():
            block.arguments.judge(self._sheet, f"block {index}")
