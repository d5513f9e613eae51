"""JSON as clients send it: read strictly, patched in place. It knows no dialect."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from streamgauge.core.errors import RequestError

__all__ = [
    "MAX_DEPTH",
    "MAX_DIGITS",
    "json_of",
    "patch_keys",
    "read_object",
    "set_key",
    "without_bom",
]

MAX_DEPTH = 128
"""Deepest nesting accepted (FAULTS S5): far beyond any real request, far below any stack."""
MAX_DIGITS = 4300
"""Longest integer accepted: beyond it the conversion alone is an attack, as CPython holds too."""

_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(r"[ \t\n\r]*")
_ESCAPED_QUOTE = b"\\u0022"
_SHORT = 4096
"""Bytes up to which the quick reader is the quicker one: what it must be checked for takes longer."""
_scan_value = json.JSONDecoder().raw_decode
_read = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder().encode


def without_bom(raw: bytes) -> bytes:
    """Return `raw` without one leading byte order mark (RFC 8259 §8.1 lets a reader ignore it)."""
    return raw.removeprefix(_BOM)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise RequestError("the body has a duplicate key in one of its objects")
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise RequestError("the body has a number that is too large")
    return number


def _bounded(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise RequestError(f"the body has an integer of more than {MAX_DIGITS} digits")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise RequestError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_float=_finite,
    parse_int=_bounded,
    parse_constant=_no_constant,
)


def read_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object that `raw` is, read one way or refused (FAULTS S5).

    One byte order mark is ignored and lone surrogate escapes pass. Raises RequestError for
    anything else that two readers could understand differently: no UTF-8, no object at the top,
    a duplicate key, NaN, a number beyond a double, an integer of more than MAX_DIGITS digits,
    nesting beyond MAX_DEPTH.
    """
    raw = without_bom(raw)
    value = _read_quickly(raw) if len(raw) <= _SHORT else None
    return _read_strictly(raw) if value is None else value


def _read_quickly(raw: bytes) -> dict[str, Any] | None:
    """Return the object where nothing is unusual about it, else None.

    The quick reader takes nothing that the strict one refuses but a duplicate key, of which it
    keeps the last. Written again, the object then has fewer quotes: at least those of the key are
    missing, and none can come back, as a quote that was no plain one is not read here.
    """
    try:
        value = _read(raw)
        if type(value) is not dict or _ESCAPED_QUOTE in raw:
            return None
        if _write(value).count(b'"') != raw.count(b'"'):
            return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    # So few containers cannot nest too deep; of more, the strict reader judges.
    return value if raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH else None


def _read_strictly(raw: bytes) -> dict[str, Any]:
    """As `read_object`, without a byte order mark: with words for what is wrong."""
    if not raw.strip():
        raise RequestError("the body is empty, and must be a JSON object")
    try:
        value = _STRICT.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RequestError(f"the body is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise RequestError(f"the body is nested deeper than {MAX_DEPTH} levels") from error
    if type(value) is not dict:
        raise RequestError("the body is not a JSON object")
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    """Raise RequestError where containers nest deeper than MAX_DEPTH; level by level, no recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise RequestError(f"the body is nested deeper than {MAX_DEPTH} levels")


def set_key(raw: bytes, path: tuple[str, ...], value_json: bytes) -> bytes:
    """Return the JSON object `raw` with the value at `path` set to `value_json`.

    Every byte outside that value stays as it is. A missing key is put first in its object; what
    stands on the way and is no object is replaced by one. `raw` must have passed `read_object`.
    """
    return _with_key(raw.decode("utf-8"), path, value_json.decode("utf-8")).encode("utf-8")


def _with_key(text: str, path: tuple[str, ...], value: str) -> str:
    key, *rest = path
    span = _span_of(text, key)
    if span is None:
        return _with_first(text, key, _wrapped(rest, value))
    start, end = span
    old = text[start:end]
    new = _with_key(old, tuple(rest), value) if rest and old[0] == "{" else _wrapped(rest, value)
    return text[:start] + new + text[end:]


def _wrapped(path: list[str], value: str) -> str:
    for key in reversed(path):
        value = f"{{{json.dumps(key)}:{value}}}"
    return value


def _with_first(text: str, key: str, value: str) -> str:
    inside = text.index("{") + 1
    comma = "" if text[_skip_blank(text, inside)] == "}" else ","
    return f"{text[:inside]}{json.dumps(key)}:{value}{comma}{text[inside:]}"


def _skip_blank(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return at if blank is None else blank.end()


def _span_of(text: str, wanted: str) -> tuple[int, int] | None:
    """Return where the value of top-level key `wanted` starts and ends, or None without it."""
    at = _skip_blank(text, text.index("{") + 1)
    while text[at] != "}":
        key, at = _scan_value(text, at)
        start = _skip_blank(text, _skip_blank(text, at) + 1)  # behind the colon
        _, end = _scan_value(text, start)
        if key == wanted:
            return start, end
        at = _skip_blank(text, end)
        if text[at] == ",":
            at = _skip_blank(text, at + 1)
    return None


def json_of(value: Any) -> bytes:
    """Return `value` as compact JSON, its letters as they are; with a lone surrogate, as escapes."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # as an escape it passes as it came
        return json.dumps(value, separators=(",", ":")).encode()


def patch_keys(raw: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """Return the JSON object `raw` with the top-level members of `changes` set; None removes one.

    Every byte of the other members stays as it is; a missing key is put first. `raw` must have
    passed `read_object`.
    """
    text = raw.decode("utf-8")
    kept: list[tuple[str, str]] = []  # each member, and what stands between it and the next
    left = {key: None if value is None else value.decode() for key, value in changes.items()}
    start = at = _skip_blank(text, text.index("{") + 1)
    end = start
    while text[at] != "}":
        key, value_at = _scan_value(text, at)
        value_at = _skip_blank(text, _skip_blank(text, value_at) + 1)
        _, end = _scan_value(text, value_at)
        then = _skip_blank(text, end)
        if text[then] == ",":
            then = _skip_blank(text, then + 1)
        if key not in left:
            kept.append((text[at:end], text[end:then]))
        elif (value := left.pop(key)) is not None:
            kept.append((text[at:value_at] + value, text[end:then]))
        at = then
    added = [f"{json.dumps(key)}:{value}" for key, value in left.items() if value is not None]
    members = "".join(member + between for member, between in kept[:-1])
    last = kept[-1][0] if kept else ""
    return (
        "".join((text[:start], ",".join([*added, members + last] if kept else added), text[end:]))
    ).encode()
