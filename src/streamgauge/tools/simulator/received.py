"""Reads what a request of any dialect brought beside its texts: results, images, documents."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

__all__ = ["Received", "is_result", "newest_turns", "read_received", "texts_of"]

_TEXT_KEYS = ("text", "content", "input", "output", "thinking", "arguments", "function")
_TOOL_ROLES = frozenset({"tool", "function"})
_RESULT_TYPES = frozenset({"tool_result", "function_call_output"})
_IMAGE_TYPES = frozenset({"image", "image_url", "input_image"})
_DOCUMENT_TYPES = frozenset({"document", "file", "input_file"})

Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Received:
    """`answered`: results of calls came after the assistant's last turn. `attached`: images or
    documents came. `lines`: what the answer says of all of them.
    """

    answered: bool = False
    attached: bool = False
    lines: tuple[str, ...] = ()


def texts_of(value: object) -> Iterator[str]:
    """Yield every text in a part of a request, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)
    elif isinstance(value, dict):
        for key in _TEXT_KEYS:
            yield from texts_of(value.get(key))


def is_result(part: object) -> bool:
    """Whether a turn or a block is the result of a tool call."""
    if not isinstance(part, dict):
        return False
    return part.get("type") in _RESULT_TYPES or part.get("role") in _TOOL_ROLES


def newest_turns(turns: list[Members]) -> list[Members]:
    """Return the turns after the assistant's last one; a prefill at the very end is none."""
    last = max((i for i, turn in enumerate(turns[:-1]) if _is_assistant(turn)), default=-1)
    return turns[last + 1 :]


def read_received(turns: list[Members]) -> Received:
    """Return what the turns brought. An image is told by its size and digest, or by its URL."""
    newest = newest_turns(turns)
    results = [part for turn in newest for part in _parts(turn) if is_result(part)]
    names = {call_id: name for turn in turns for call_id, name in _calls(turn)}
    images = [image for turn in turns for image in _images(turn)]
    documents = sum(1 for turn in turns for block in _blocks(turn) if _is_document(block))
    lines = [_said(result, names) for result in results]
    lines += [f"image {number}: {image}" for number, image in enumerate(images, 1)]
    if documents:
        lines.append(f"documents: {documents}")
    return Received(bool(results), bool(images or documents), tuple(lines))


def _is_assistant(turn: Members) -> bool:
    return turn.get("role") == "assistant" or turn.get("type") == "function_call"


def _parts(turn: Members) -> Iterator[Members]:
    """Yield the turn, and the blocks in it."""
    yield turn
    content = turn.get("content")
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict):
            yield block


def _blocks(turn: Members) -> Iterator[Members]:
    """Yield every block of a turn, those inside tool results included."""
    for part in _parts(turn):
        if part is turn:
            continue
        yield part
        inner = part.get("content")
        for block in inner if isinstance(inner, list) else ():
            if isinstance(block, dict):
                yield block


def _calls(turn: Members) -> Iterator[tuple[str, str]]:
    """Yield id and name of the calls in an assistant's turn."""
    calls = turn.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            yield str(call.get("id")), str(function.get("name"))
    for part in _parts(turn):
        if part.get("type") in ("tool_use", "function_call"):
            yield str(part.get("call_id", part.get("id"))), str(part.get("name"))


def _said(result: Members, names: Mapping[str, str]) -> str:
    """Return a line with the called function's name, found by the call's id, and what it gave."""
    ids = (result.get(key) for key in ("tool_call_id", "tool_use_id", "call_id"))
    found = next((names[i] for i in ids if isinstance(i, str) and i in names), None)
    name = result.get("tool_name") if found is None else found
    given = result.get("content", result.get("output"))
    return f"{name or 'unknown call'} said: " + "\n".join(texts_of(given)).strip()


def _images(turn: Members) -> Iterator[str]:
    native = turn.get("images")
    for data in native if isinstance(native, list) else ():
        yield _digest(data)
    for block in _blocks(turn):
        if block.get("type") in _IMAGE_TYPES:
            yield _image(block)


def _image(block: Members) -> str:
    source = block.get("source")
    if isinstance(source, dict):
        data = source.get("data")
        return str(source.get("url", source.get("file_id"))) if data is None else _digest(data)
    url = block.get("image_url")
    url = url.get("url") if isinstance(url, dict) else url
    if isinstance(url, str) and url.startswith("data:"):
        return _digest(url.partition(",")[2])
    return str(url)


def _digest(data: object) -> str:
    try:
        raw = b64decode(data if isinstance(data, str) else "?", validate=True)
    except (Base64Error, ValueError):
        return "not base64"
    return f"{len(raw)} bytes sha256 {sha256(raw).hexdigest()}"


def _is_document(block: Members) -> bool:
    return block.get("type") in _DOCUMENT_TYPES
