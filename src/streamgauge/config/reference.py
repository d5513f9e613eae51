"""The tables of docs/config.md, from the model itself. Knows no file and no prose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from streamgauge.config.json_schema import Node, strict_schema
from streamgauge.config.unserved import NOT_SERVED, NOT_SERVED_VALUES

__all__ = ["reference"]

_HEAD = ["| Key | Type | Default | Reload | Meaning |", "|---|---|---|---|---|"]


def reference() -> str:
    """Return a Markdown table for each section, one for single settings, and what is not served."""
    properties = strict_schema()["properties"]
    sections = {name: node for name, node in properties.items() if _fields(node)}
    single = {name: node for name, node in properties.items() if name not in sections}
    lines: list[str] = []
    for name, node in sections.items():
        mark = "[]" if node["type"] == "array" else ""
        lines += [f"## `{name}{mark}`", "", node["description"], "", *_HEAD]
        lines += [*_rows(_fields(node), _required(node), ""), ""]
    lines += ["## Single settings", "", *_HEAD, *_rows(single, [], ""), ""]
    return "\n".join([*lines, *_unserved()]) + "\n"


def _fields(node: Node) -> dict[str, Node]:
    found = node.get("items", node).get("properties", {})
    assert isinstance(found, dict)
    return found


def _required(node: Node) -> list[str]:
    return list(node.get("items", node).get("required", []))


def _rows(
    fields: dict[str, Node], required: list[str], prefix: str, reloads: bool = True
) -> Iterator[str]:
    """Yield a row for each key; what a section does at a reload, its keys do."""
    for name, node in fields.items():
        key = prefix + name
        follows = reloads and node.get("reload") is not False
        if inner := _fields(node):
            mark = "[]" if node["type"] == "array" else ""
            yield from _rows(inner, _required(node), f"{key}{mark}.", follows)
            continue
        default = "required" if name in required else _default(node)
        reload = "yes" if follows else "no"
        cells = (f"`{key}`", _type(node), default, reload, str(node.get("description", "")))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(node: Node) -> str:
    if node.get("type") == "object":
        return "`{}`"
    return f"`{json.dumps(node['default'])}`" if "default" in node else "none"


def _type(node: Node) -> str:
    if "enum" in node or "const" in node:
        allowed = node["enum"] if "enum" in node else [node["const"]]
        return ", ".join(f"`{_word(value)}`" for value in allowed)
    if "oneOf" in node:
        return "names, or names to parameters"
    match node["type"]:
        case "array":
            return f"list of {_type(node['items'])}"
        case "object":
            return f"names to {_type(node['additionalProperties'])}"
        case "string":
            return {"password": "secret", "date": "date or time"}.get(
                node.get("format", ""), "text"
            )
        case "boolean":
            return "`true`, `false`"
        case "integer":
            return f"whole number{_range(node)}"
        case "number":
            return f"seconds{_range(node)}"
    return "decimal, 0 or more"


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _range(node: Node) -> str:
    if "exclusiveMinimum" in node:
        return f", more than {node['exclusiveMinimum']}"
    return f", {node['minimum']} to {node['maximum']}" if "maximum" in node else ""


def _unserved() -> Iterator[str]:
    yield from ("## Not served yet", "", "| Key | Accepted meanwhile |", "|---|---|")
    for key, harmless in NOT_SERVED.items():
        values = ", ".join(f"`{json.dumps(value)}`" for value in harmless)
        yield f"| `{key.replace('.*', '[]')}` | left out, {values} |"
    for key, refusals in NOT_SERVED_VALUES.items():
        words = ", ".join(f"`{word}`" for word in refusals)
        yield f"| `{key.replace('.*', '[]')}` | anything but {words} |"
