"""Reads what the admin API is told of a client key. Each value is checked; knows no key."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from streamgauge.config.globs import glob_fault
from streamgauge.config.money import read_money, unpriced_limits
from streamgauge.control.guard import Refused
from streamgauge.control.params import LAST_US
from streamgauge.core.keys import Caller, KeyLimits
from streamgauge.core.pricing import Money

__all__ = ["caller_of", "changes_of", "expiry_of", "grace_of", "warnings_of"]

_MAX_COUNT = 10**12
_MAX_LABEL = 100
_MAX_GLOBS, _MAX_GLOB = 100, 200
_MAX_GRACE_SECONDS = 30 * 86_400


def caller_of(told: Mapping[str, Any]) -> Caller:
    """Return the caller that a new key is for; its id is given later. Raises Refused."""
    if "label" not in told:
        raise Refused(422, "label is needed: whose key it is")
    read = _read(told)
    limits = {name: read.get(name) for name in _LIMITS}
    return Caller("", read["label"], read.get("models", ()), KeyLimits(**limits))


def expiry_of(told: Mapping[str, Any], now_us: int) -> int | None:
    """Return when a new key expires, µs since the epoch. Raises Refused."""
    return _later(_read(told).get("expires_at"), now_us)


def changes_of(told: Mapping[str, Any], now_us: int) -> dict[str, Any]:
    """Return the columns that are to change; null takes a limit away. Raises Refused."""
    read = _read(told)
    if not read:
        raise Refused(422, f"name at least one thing to change: {', '.join(_READERS)}")
    _later(read.get("expires_at"), now_us)
    changes: dict[str, Any] = {}
    for name, value in read.items():
        if name in ("per_day", "per_month"):
            changes[f"{name}_nano"] = None if value is None else value.nano
            changes[f"{name}_currency"] = None if value is None else value.currency
        elif name == "models":
            changes[name] = json.dumps(value)
        else:
            changes[name] = value
    return changes


def warnings_of(told: Mapping[str, Any], currencies: Collection[str]) -> list[str]:
    """Return what is legal and hardly meant, where calls cost `currencies`. Raises Refused."""
    read = _read(told)
    return unpriced_limits((read.get(name) for name in ("per_day", "per_month")), currencies)


def grace_of(told: Mapping[str, Any]) -> float:
    """Return for how many seconds the old text opens as well. Raises Refused."""
    value = told.get("grace_seconds", 0)
    if unknown := [name for name in told if name != "grace_seconds"]:
        raise Refused(422, f"{unknown[0][:50]!r} is not known here; grace_seconds is")
    if not _is_number(value) or not 0 <= value <= _MAX_GRACE_SECONDS:
        raise Refused(422, f"grace_seconds must be from 0 to {_MAX_GRACE_SECONDS}")
    return float(value)


def _read(told: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in told.items():
        reader = _READERS.get(name)
        if reader is None:
            raise Refused(422, f"{name[:50]!r} is not known; a key has {', '.join(_READERS)}")
        found[name] = reader(name, value)
    limits = KeyLimits(per_day=found.get("per_day"), per_month=found.get("per_month"))
    if limits.mistake is not None:
        raise Refused(422, f"per_day and per_month: {limits.mistake}")
    return found


def _label(name: str, value: Any) -> str:
    label = value.strip() if isinstance(value, str) else ""
    if not label or not label.isprintable() or len(label) > _MAX_LABEL:
        raise Refused(422, f"{name} must be 1 to {_MAX_LABEL} printable characters")
    return label


def _globs(name: str, value: Any) -> tuple[str, ...]:
    globs = [] if value is None else value
    legal = isinstance(globs, list) and all(
        isinstance(each, str) and each.strip() and each.isprintable() and len(each) <= _MAX_GLOB
        for each in globs
    )
    if not legal or len(globs) > _MAX_GLOBS:
        raise Refused(422, f"{name} must be a list of names or globs, {_MAX_GLOBS} at most")
    for each in globs:
        if (fault := glob_fault(each)) is not None:
            raise Refused(422, f"{name}: {each!r} is no glob: {fault}")
    return tuple(dict.fromkeys(each.strip() for each in globs))


def _count(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_COUNT:
        raise Refused(422, f"{name} must be a whole number of 1 or more, or null")
    return value


def _money(name: str, value: Any) -> Money | None:
    if value is None:
        return None
    try:
        return read_money(value if isinstance(value, str) else "")
    except ValueError:
        raise Refused(422, f'{name} must be an amount above 0 such as "5 USD", or null') from None


def _expiry(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LAST_US:
        raise Refused(422, f"{name} must be a time in µs since the epoch, or null")
    return value


def _later(moment: int | None, now_us: int) -> int | None:
    if moment is not None and moment <= now_us:
        raise Refused(422, "expires_at must lie ahead")
    return moment


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "label": _label,
    "models": _globs,
    "max_streams": _count,
    "rpm": _count,
    "tpm": _count,
    "per_day": _money,
    "per_month": _money,
    "expires_at": _expiry,
}
_LIMITS = ("max_streams", "rpm", "tpm", "per_day", "per_month")
