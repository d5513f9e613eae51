"""The JSON schema of the configuration, for editors and for docs/config.md. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.config.schema import Config
from streamgauge.config.unserved import NOT_SERVED

__all__ = ["json_schema", "strict_schema"]

Node = dict[str, Any]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE: Node = {
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}|(^|\s)file:/",
}
_LIMITS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum"}
_LEFT_OUT = {"title", "writeOnly"}
_TOLD = ("description", "default")
_UNSERVED = "Not served yet: only these values, which ask for nothing, are accepted."


def json_schema() -> Node:
    """Return the schema (draft 2020-12) of a file as people write it.

    It accepts `${NAME}` and `file:/path` wherever another type stands, an empty value where there
    is a default, and of keys that are not served the values that ask for nothing. References are
    written out: several editors overlook a description beside one.
    """
    root = strict_schema()
    for pattern, harmless in NOT_SERVED.items():
        _add_unserved(root, pattern.split("."), harmless)
    return {"$schema": _DRAFT, "title": "streamgauge configuration", **_written(root, True)}


def strict_schema() -> Node:
    """Return the schema of the values themselves, with `reload: false` where the model says so."""
    raw = Config.model_json_schema()
    return _plain(raw, raw.pop("$defs"))


def _plain(node: Node, definitions: Mapping[str, Node]) -> Node:
    """Write references out, give limits their names, and let `X or nothing` be X."""
    if choices := [choice for choice in node.get("anyOf", []) if choice != {"type": "null"}]:
        # A copy: what two places refer to is written out at both.
        node = {**choices[0], **{key: value for key, value in node.items() if key != "anyOf"}}
    if "$ref" in node:
        node = {**definitions[node["$ref"].rpartition("/")[2]], **node}
        del node["$ref"]
    found = {_LIMITS.get(key, key): value for key, value in node.items() if key not in _LEFT_OUT}
    if found.get("default", ...) is None or found.get("type") == "object":
        found.pop("default", None)
    if "oneOf" in found:
        found["oneOf"] = [_plain(form, definitions) for form in found["oneOf"]]
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _plain(found[key], definitions)
    if "properties" in found:
        found["properties"] = {
            name: _plain(part, definitions) for name, part in found["properties"].items()
        }
    return found


def _add_unserved(root: Node, steps: list[str], harmless: tuple[Any, ...]) -> None:
    node = root
    for step in steps[:-1]:
        node = node["items"] if step == "*" else node["properties"].setdefault(step, _empty())
    node["properties"][steps[-1]] = {"enum": list(harmless), "description": _UNSERVED}


def _empty() -> Node:
    """A section of which nothing is served."""
    told = {"description": "Not served yet."}
    return {**told, "type": "object", "properties": {}, "additionalProperties": False}


def _written(node: Node, required: bool) -> Node:
    """Return what a file may hold for `node`."""
    node = {key: value for key, value in node.items() if key not in ("reload", "format")}
    if "oneOf" in node:
        node["oneOf"] = [form if "enum" in form else _written(form, True) for form in node["oneOf"]]
        return _variable_or(node, required)
    match node.get("type"):
        case "object":
            node = _object(node)
        case "array":
            node["items"] = _written(node["items"], True)
        case "string" if not {"enum", "const", "pattern"} & set(node):
            pass
        case _:
            return _variable_or(node, required)
    if not required:
        node["type"] = [node["type"], "null"]
    return node


def _object(node: Node) -> Node:
    required = node.get("required", [])
    parts = {
        name: _written(part, name in required) for name, part in node.get("properties", {}).items()
    }
    others = node["additionalProperties"]
    others = _written(others, False) if isinstance(others, dict) else others
    return {**node, "properties": parts, "additionalProperties": others}


def _variable_or(node: Node, required: bool) -> Node:
    told = {key: node.pop(key) for key in _TOLD if key in node}
    if "off" in node.get("enum", []) and False not in node["enum"]:
        node["enum"] = [*node["enum"], False]  # YAML 1.1 readers take a bare `off` for false
    nothing = [] if required else [{"type": "null"}]
    return {**told, "anyOf": [node, _VARIABLE, *nothing]}
