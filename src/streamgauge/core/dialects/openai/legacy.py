"""Rewrites the deprecated functions of OpenAI's chat dialect as tools. It reads nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["modernised"]


def modernised(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a request with `functions`, `function_call` and the role `function` as tools.

    A call gets the id `call_N`, N counting over the request, and the next result of its name has
    it too. A request without them is returned as it is; `fields` is never changed.
    """
    messages = fields.get("messages")
    old = isinstance(messages, list) and any(_is_old(message) for message in messages)
    if not old and "functions" not in fields and "function_call" not in fields:
        return fields
    renewed = {k: v for k, v in fields.items() if k not in ("functions", "function_call")}
    functions, choice = fields.get("functions"), fields.get("function_call")
    if isinstance(functions, list) and functions:
        tools = fields.get("tools")
        made = [{"type": "function", "function": function} for function in functions]
        renewed["tools"] = [*tools, *made] if isinstance(tools, list) else made
    if choice is not None and renewed.get("tool_choice") is None:
        renewed["tool_choice"] = _choice(choice)
    if old and isinstance(messages, list):
        renewed["messages"] = _messages(messages)
    return renewed


def _is_old(message: object) -> bool:
    return isinstance(message, dict) and (
        message.get("role") == "function" or message.get("function_call") is not None
    )


def _choice(choice: object) -> object:
    return choice if isinstance(choice, str) else {"type": "function", "function": choice}


def _messages(messages: list[Any]) -> list[Any]:
    renewed: list[Any] = []
    open_calls: dict[object, str] = {}
    count = 0
    for message in messages:
        if not _is_old(message):
            renewed.append(message)
            continue
        changed = {k: v for k, v in message.items() if k not in ("function_call", "name")}
        if message.get("role") == "function":
            name = message.get("name")
            named = open_calls.get(name) if isinstance(name, str) else None
            changed |= {"role": "tool", "tool_call_id": named}
        else:
            call = message["function_call"]
            count += 1
            name = call.get("name") if isinstance(call, dict) else None
            open_calls[name if isinstance(name, str) else None] = f"call_{count}"
            changed["tool_calls"] = [{"id": f"call_{count}", "type": "function", "function": call}]
        renewed.append(changed)
    return renewed
