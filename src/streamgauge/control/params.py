"""Reads the queries of the admin API: every value is checked, and none reaches SQL as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from starlette.requests import Request

from streamgauge.config.globs import glob_fault
from streamgauge.control.guard import Refused
from streamgauge.control.routes import Query

__all__ = ["LAST_US", "check_names", "choices", "glob", "moment", "number", "span", "text"]

_MAX_TEXT = 300
_MAX_DIGITS = 19
_MAX_US = 2**63 - 1
LAST_US = 253_402_214_400_000_000
"""The last day of the year 9999: no calendar can write, in any zone, what lies a day behind it."""

Choice = TypeVar("Choice", bound=str)


def check_names(request: Request, queries: Sequence[Query]) -> None:
    """Refuse what is none of `queries`: a mistyped filter would show everything. Raises Refused."""
    known = {query.name: query for query in queries}
    for name in request.query_params:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise Refused(422, f"this address has no parameter {name[:_MAX_TEXT]!r}: {takes}")
        if not known[name].many and len(request.query_params.getlist(name)) > 1:
            raise Refused(422, f"{name} must be given once")


def text(request: Request, name: str) -> str | None:
    """Return a text, None where it is missing or empty. Raises Refused for what is too long."""
    value = request.query_params.get(name)
    if value is not None and (len(value) > _MAX_TEXT or "\0" in value):
        raise Refused(422, f"{name} must be at most {_MAX_TEXT} characters, without NUL")
    return value or None


def glob(request: Request, name: str) -> str | None:
    """Return a pattern, None where it is missing or empty. Raises Refused for what nothing fits."""
    value = text(request, name)
    if value is not None and (fault := glob_fault(value)) is not None:
        raise Refused(422, f"{name} must be a glob; {fault}")
    return value


def number(request: Request, name: str, default: int, most: int) -> int:
    """Return a whole number from 1 to `most`. Raises Refused."""
    value = request.query_params.get(name)
    if value is None or value == "":
        return default
    found = _whole(value)
    if found is None or not 1 <= found <= most:
        raise Refused(422, f"{name} must be a whole number from 1 to {most}")
    return found


def moment(request: Request, name: str) -> int | None:
    """Return a time in µs since the epoch, or None. Raises Refused."""
    value = request.query_params.get(name)
    if value is None or value == "":
        return None
    found = _whole(value)
    if found is None or found > _MAX_US:
        raise Refused(422, f"{name} must be a time in µs since the epoch")
    return min(found, LAST_US)


def span(request: Request) -> tuple[int | None, int | None]:
    """Return `since` and `until`. Raises Refused where no instant lies between them."""
    since, until = moment(request, "since"), moment(request, "until")
    if since is not None and until is not None and since >= until:
        raise Refused(422, "since must be before until")
    return since, until


def _whole(value: str) -> int | None:
    """Return what is written in at most so many digits: Python refuses to read some thousands."""
    legal = value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS
    return int(value) if legal else None


def choices(request: Request, name: str, allowed: Sequence[Choice]) -> list[Choice]:
    """Return each value of a name that may be repeated, once. Raises Refused."""
    known = {str(each): each for each in allowed}
    values = [value for value in request.query_params.getlist(name) if value]
    if wrong := [value for value in values if value not in known]:
        raise Refused(422, f"{name} must be of {', '.join(known)}; got {wrong[0][:_MAX_TEXT]!r}")
    return [known[value] for value in dict.fromkeys(values)]
