"""Reads a key of a tool call's arguments, proper or not, and tells whether two values are one.

It knows no pieces: who asks has as much of the text as has come.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

__all__ = ["LONGEST_KEY", "Key", "NoKey", "is_same", "read_key"]

LONGEST_KEY = 1024
"""Characters with what stands around it. Each piece is looked at with all that came of its key:
the work must stay bounded."""

_KEY = re.compile(r'(,?\s*)("(?:[^"\\]|\\.)*")(\s*:)', re.DOTALL)
_BEGUN = re.compile(r',?\s*(?:"(?:[^"\\]|\\.)*\\?(?:"\s*)?|[^:,{}\[\]]*)', re.DOTALL)
_BAD_KEY = re.compile(r"(,?\s*)([^:,{}\[\]]*?)(\s*:)", re.DOTALL)
_NO_MORE = re.compile(r",\s*(?=\})")
_TAGS = re.compile(r"</?arg_key>")
_WORD = re.compile(r"[\w.$@/-]+")
_AROUND = " \t\r\n\"'`\\:"


@dataclass(frozen=True, slots=True)
class Key:
    """A key. `text`: how it is to be said, with comma and colon; `end`: where it ended.

    `name` None: a comma with nothing behind it, which is not said. `changed`: it is not as it came.
    """

    name: str | None
    text: str
    end: int
    changed: bool


class NoKey(Enum):
    """Why there is no key."""

    NOT_YET = auto()
    TOO_LONG = auto()
    NONE = auto()


def read_key(text: str, at: int, *, top: bool, final: bool) -> Key | NoKey:
    """Return what stands at `at`, where a key must, before it its comma.

    `top`: of the outermost object; below it a key may be any data. `final`: no more comes.
    """
    limit = at + LONGEST_KEY
    if none := _NO_MORE.match(text, at, limit):
        return Key(None, "", none.end(), changed=True)
    found = _KEY.match(text, at, limit)
    if found is None:
        if _BEGUN.fullmatch(text, at, limit):
            if len(text) >= limit:
                return NoKey.TOO_LONG
            if not final:
                return NoKey.NOT_YET
        found = _BAD_KEY.match(text, at, limit)
    if found is None:
        return NoKey.NONE
    key = _loads(found[2])
    name = _name(key, found[2], top=top)
    if name is None:
        return NoKey.NONE
    told = found[2] if name == key else json.dumps(name, ensure_ascii=False)
    return Key(name, found[1] + told + found[3], found.end(), changed=told != found[2])


def _loads(text: str) -> str | None:
    try:
        key = json.loads(text, strict=False)
    except ValueError:
        return None
    return key if isinstance(key, str) else None


def _name(key: str | None, text: str, *, top: bool) -> str | None:
    """Return a key without what models put around it, None for what is no key at all."""
    if key is None:
        return _word_in(text)
    return (_word_in(key) or key) if top else key


def _word_in(text: str) -> str | None:
    """Return the one word that `text` is when marks around it are taken off, or None."""
    word = _TAGS.sub("", text).strip(_AROUND)
    return word if _WORD.fullmatch(word) else None


def is_same(first: str, second: str) -> bool:
    """Whether two JSON texts are one value; texts are compared as Unicode means them (NFC)."""
    try:
        return _plain(json.loads(first, strict=False)) == _plain(json.loads(second, strict=False))
    except (ValueError, RecursionError):
        return first == second


def _plain(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return unicodedata.normalize("NFC", text)
