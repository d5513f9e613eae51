"""Requests in Anthropic's words, and what is written for its upstreams."""

from __future__ import annotations

import json
from typing import Any

from streamgauge.core.conversation import Conversation, Message, Part
from streamgauge.core.dialects.anthropic.read_request import read_conversation
from streamgauge.core.dialects.anthropic.write_request import write_request
from streamgauge.core.dialects.base import Wish

__all__ = ["CALL", "LS", "MARK", "PNG", "asked", "first_part", "lost", "saying", "turn", "written"]

MARK = {"type": "ephemeral", "ttl": "1h"}
LS = {"name": "ls", "description": "lists", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "t1", "name": "ls", "input": {"p": "."}}
PNG = {"type": "base64", "media_type": "image/png", "data": "QUJD"}


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]} | fields


def turn(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def first_part(block: dict[str, Any], role: str = "user") -> Part:
    return read_conversation(asked(messages=[turn(block, role=role)])).messages[0].parts[0]


def written(conversation: Conversation, kind: str = "anthropic", **wish: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(
        write_request(conversation, Wish(kind, "m", True, **wish)).body
    )
    return body


def lost(conversation: Conversation, kind: str = "anthropic") -> tuple[str, ...]:
    return write_request(conversation, Wish(kind, "m", True)).lost


def saying(*parts: Part, role: Any = "user", **fields: Any) -> Conversation:
    return Conversation(messages=(Message(role, parts),), **fields)
