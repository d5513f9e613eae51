"""The head of a connection's last request, known again in its next one. Knows no rule of HTTP."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from streamgauge.gateway.http import RequestHead
from streamgauge.gateway.http_guard import CheckedHead

__all__ = ["HeadReading", "KnownHead", "known_head"]

_MAX_KNOWN: Final = 4096
"""Bytes of a head that is remembered: an agent's two dozen fields, and little for an idle client."""
_KEPT: Final = frozenset(
    b"host connection content-encoding transfer-encoding expect upgrade proxy-connection te "
    b"content-type accept accept-encoding accept-language user-agent "
    b"anthropic-version anthropic-beta openai-beta".split()
)
_KEPT_PREFIX: Final = b"x-stainless-"
"""Fields whose values are remembered: those that say how to read on, and some that tell no secret."""
_KEPT_QUERY: Final = re.compile(r"(?:beta=[A-Za-z0-9]{1,16})?")
"""Of a query nothing else is kept anywhere (SPEC §1.2)."""
_DIGITS: Final = re.compile(rb"[0-9]{1,15}")
_VISIBLE: Final = re.compile(rb"[!-~](?:[ -~]*[!-~])?")


class HeadReading(msgspec.Struct, frozen=True):
    """What both readers say of a head. `size`: of the head in bytes, `length`: of its body."""

    size: int
    length: int
    checked: CheckedHead
    head: RequestHead


class KnownHead(msgspec.Struct, frozen=True):
    """A head that both readers took for the same, with the body behind it.

    Clients send one head again and again. What is said of it depends on its bytes alone: in other
    digits of its length on their number, and in other visible characters of a field that is none
    of `_KEPT` on nothing. So those are left out: what is remembered holds no key.
    `gaps`: what stands before each of them, what it may be, and its field's place; `rest` stands
    behind the last. `kept`: the first value of each other field. `same`: the reading of `raw`, of a
    head that has no gap but its length.
    """

    gaps: tuple[tuple[bytes, re.Pattern[bytes], int], ...]
    rest: bytes
    kept: dict[bytes, str]
    raw: bytes | None
    same: HeadReading

    def in_front_of(self, buffer: bytearray) -> HeadReading | None:
        """Return the reading of the head in front of `buffer` if it is this one; else None."""
        if self.raw is not None and buffer.startswith(self.raw):
            return self.same
        at, fields, first = 0, list(self.same.head.headers), self.kept.copy()
        length = self.same.length
        for before, legal, place in self.gaps:
            if not buffer.startswith(before, at):
                return None
            found = legal.match(buffer, at + len(before))
            if found is None:
                return None
            name, value = fields[place][0], found[0]
            fields[place] = (name, value)
            first.setdefault(name, value.decode("latin-1"))
            if legal is _DIGITS:
                length = int(value)
            at = found.end()
        size = at + len(self.rest)
        if not self.gaps or size > _MAX_KNOWN or not buffer.startswith(self.rest, at):
            return None
        return _filled(self.same, size, length, tuple(fields), first)


def _filled(
    same: HeadReading,
    size: int,
    length: int,
    fields: tuple[tuple[bytes, bytes], ...],
    first: dict[bytes, str],
) -> HeadReading:
    checked, head = same.checked, same.head
    stated = None if checked.length is None else length
    return HeadReading(
        size,
        length,
        msgspec.structs.replace(checked, headers=fields, length=stated),
        RequestHead(head.method, head.path, head.query, fields, head.peer, first.get),
    )


def known_head(raw: bytes, checked: CheckedHead, head: RequestHead) -> KnownHead | None:
    """Return what is to be remembered of `raw`; None where that is too much, or not enough."""
    if checked.chunked or len(raw) > _MAX_KNOWN or not _KEPT_QUERY.fullmatch(head.query):
        return None
    gaps: list[tuple[bytes, re.Pattern[bytes], int]] = []
    fields = list(checked.headers)
    plain = True
    first, *lines = raw.split(b"\r\n")[:-2]
    before = first + b"\r\n"
    for place, (line, (name, value)) in enumerate(zip(lines, checked.headers, strict=True)):
        if name in _KEPT or name.startswith(_KEPT_PREFIX):
            before += line + b"\r\n"
            continue
        legal = _DIGITS if name == b"content-length" else _VISIBLE
        if not legal.fullmatch(value):
            return None
        if legal is _VISIBLE:
            plain = False
            fields[place] = (name, b"")
        start = line.index(value, len(name) + 1)
        gaps.append((before + line[:start], legal, place))
        before = line[start + len(value) :] + b"\r\n"
    length = 0 if checked.length is None else checked.length
    told = {checked.headers[place][0] for _, _, place in gaps}
    kept = {
        name: value.decode("latin-1")
        for name, value in reversed(checked.headers)
        if name not in told
    }
    same = HeadReading(len(raw), length, checked, head)
    if not plain:
        same = _filled(same, len(raw), length, tuple(fields), kept)
    return KnownHead(tuple(gaps), before + b"\r\n", kept, raw if plain else None, same)
