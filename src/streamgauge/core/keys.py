"""Client keys: their text, their digest, who is behind one. Knows no chance, clock, file or HTTP."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from zlib import crc32

from streamgauge.core.pricing import Money

__all__ = [
    "PREFIX",
    "SECRET_BYTES",
    "Caller",
    "ClientKey",
    "Digest",
    "KeyLimits",
    "KeyRing",
    "KeyState",
    "digest_of",
    "is_well_formed",
    "key_text",
    "shown_part",
]

PREFIX = "sk-sg-"
SECRET_BYTES = 32
"""256 bits (FAULTS S2): nobody guesses one, so that one HMAC at rest is enough and no slow hash."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY_DIGITS, _CHECK_DIGITS = 43, 6
"""62^43 > 2^256 and 62^6 > 2^32."""
_SHOWN_DIGITS = 4
"""Tells a dozen keys apart and leaves 232 bits unknown."""
_KEY = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_BODY_DIGITS + _CHECK_DIGITS}}}")

Digest = bytes
"""HMAC-SHA-256 of a key's text: 32 bytes."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one key may use (SPEC §15.2); None is no limit.

    `max_streams`: metered requests at once. `rpm`, `tpm`: requests and tokens a minute.
    `per_day`, `per_month`: cost, in the currency that it is given in.
    """

    max_streams: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    per_day: Money | None = None
    per_month: Money | None = None
    are_in_money: bool = field(init=False, repr=False, compare=False)
    count_tokens: bool = field(init=False, repr=False, compare=False)
    are_none: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Asked in each request, and stated once: of money; of money or tokens; of nothing at all.
        money = self.per_day is not None or self.per_month is not None
        tokens = money or self.tpm is not None
        object.__setattr__(self, "are_in_money", money)
        object.__setattr__(self, "count_tokens", tokens)
        none = not tokens and self.max_streams is None and self.rpm is None
        object.__setattr__(self, "are_none", none)

    @property
    def mistake(self) -> str | None:
        """Why no call could ever keep to them, as unlike currencies are never added (SPEC §7.2)."""
        day, month = self.per_day, self.per_month
        if day is None or month is None or day.currency == month.currency:
            return None
        return f"a day's and a month's limit must be in one currency, not {day} and {month}"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from: the key's id and label, its globs (empty: any model), its limits."""

    key_id: str
    label: str
    models: tuple[str, ...] = ()
    limits: KeyLimits = KeyLimits()

    def may_use(self, model: str | None) -> bool:
        """Return whether the name that the client asks for is in the key's globs.

        With globs, a request that names no model is outside them.
        """
        if not self.models:
            return True
        return model is not None and any(fnmatchcase(model, glob) for glob in self.models)


@dataclass(frozen=True, slots=True)
class KeyState:
    """From when a digest opens nothing any more, in µs since the epoch; None is never."""

    expires_at: int | None = None
    revoked_at: int | None = None
    lasts: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lasts = self.expires_at is None and self.revoked_at is None
        object.__setattr__(self, "lasts", lasts)

    def why_dead(self, now_us: int) -> str | None:
        """Return `revoked` or `expired`, or None while it opens."""
        if self.revoked_at is not None and self.revoked_at <= now_us:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now_us:
            return "expired"
        return None


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One key as it is kept: its digest and never its text.

    `old_digest` is the text's before the last rotation; it opens until `old_until` (µs, epoch).
    """

    caller: Caller
    digest: Digest = field(repr=False)
    state: KeyState = KeyState()
    old_digest: Digest | None = field(default=None, repr=False)
    old_until: int | None = None

    def opens(self) -> Iterable[tuple[Digest, KeyState]]:
        """Return each digest that leads to this key, and until when."""
        yield self.digest, self.state
        if self.old_digest is not None:
            ends = [at for at in (self.old_until, self.state.expires_at) if at is not None]
            yield self.old_digest, KeyState(min(ends, default=None), self.state.revoked_at)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys of a ledger at one instant, found by digest. `secret`: the HMAC's key."""

    secret: bytes = field(repr=False, default=b"")
    by_digest: Mapping[Digest, tuple[Caller, KeyState]] = field(repr=False, default_factory=dict)
    count: int = 0
    _mac: hmac.HMAC = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A copy of one that knows its key lets no other thread in, as `hmac.digest` does.
        object.__setattr__(self, "_mac", hmac.new(self.secret, digestmod="sha256"))

    @classmethod
    def of(cls, secret: bytes, keys: Iterable[ClientKey]) -> KeyRing:
        """Return the ring of `keys`, whatever their state."""
        listed = list(keys)
        found = {d: (key.caller, state) for key in listed for d, state in key.opens()}
        return cls(secret, found, len(listed))

    def find(self, shown: bytes) -> tuple[Caller, KeyState] | None:
        """Return whose key was shown, dead or alive.

        Every text costs the same: one HMAC and one look-up by a digest that nobody can aim.
        """
        mac = self._mac.copy()
        mac.update(shown)
        return self.by_digest.get(mac.digest())


def key_text(secret: bytes) -> str:
    """Return the key that 32 random bytes make: prefix, 43 digits, a checksum of 6."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a key is made of {SECRET_BYTES} bytes")
    head = PREFIX + _base62(int.from_bytes(secret), _BODY_DIGITS)
    return head + _checksum(head)


def is_well_formed(text: str) -> bool:
    """Return whether length, digits and checksum fit: False is a slip of the pen, in any ledger."""
    # Both are always worked out, so that every wrong text costs the same.
    checksum = _checksum(text[:-_CHECK_DIGITS])
    shaped = _KEY.fullmatch(text) is not None
    return shaped and text.endswith(checksum)


def shown_part(text: str) -> str:
    """Return what may be displayed of a key: `sk-sg-AbCd`."""
    return text[: len(PREFIX) + _SHOWN_DIGITS]


def digest_of(secret: bytes, shown: bytes) -> Digest:
    """Return HMAC-SHA-256 of a key's text under `secret`."""
    return hmac.digest(secret, shown, "sha256")


def _checksum(head: str) -> str:
    return _base62(crc32(head.encode()), _CHECK_DIGITS)


def _base62(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text
