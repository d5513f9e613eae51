"""Who a request's head is from, and whether it may ask at all (SPEC §15.1). Knows no body, no limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from streamgauge.config.keys import Required
from streamgauge.config.listeners import is_loopback
from streamgauge.config.schema import Config
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.keys import PREFIX, Caller, KeyRing, is_well_formed
from streamgauge.gateway.http import Header, RequestHead
from streamgauge.gateway.response_headers import NOT_AGAIN
from streamgauge.gateway.tries import FailedTries

__all__ = ["Caller", "Callers", "Unauthenticated", "callers_of", "check_model", "check_models"]

_OURS = PREFIX.encode()
_FIELDS = frozenset({b"authorization", b"x-api-key"})
_BEARER = b"bearer "
_FRESH_SECONDS = 0.25
"""Of an answer about a head: no longer than a change of the keys may take to be seen."""
_HOW = "Authorization: Bearer KEY, or x-api-key: KEY"


class Unauthenticated(GatewayError):
    """Nobody knows who asks: 401, or 429 after too many tries, or 400. It leaves no row (SPEC §8.1)."""


class Callers:
    """Knows the clients by their keys. `exposed`: others than this machine reach the listener.

    `apply` takes the keys, `require` the configuration's rule; both hold from the next request on.
    Where no key is needed and none is there, `idle`, a request costs one look at that flag.
    """

    def __init__(self, now_us: Callable[[], int], rule: Required, *, exposed: bool) -> None:
        self._now_us = now_us
        self._rule = rule
        self._exposed = exposed
        self._ring = KeyRing()
        self._tries = FailedTries()
        self._used: dict[str, int] = {}
        self._seen: tuple[RequestHead, Caller | None, float] | None = None
        self._settle()

    def __repr__(self) -> str:
        return f"<Callers keys={self._ring.count} required={self._required}>"

    @property
    def required(self) -> bool:
        """Whether a request without a key is refused."""
        return self._required

    def apply(self, ring: KeyRing) -> None:
        """Know the keys of `ring`, and no others."""
        self._ring = ring
        self._seen = None
        self._settle()

    def require(self, rule: Required) -> None:
        """Follow the configuration's `keys.required`."""
        self._rule = rule
        self._settle()

    def _settle(self) -> None:
        # A key that is dead counts too: revoking the last one must not open the door to everyone.
        self._seen = None
        auto = self._exposed or bool(self._ring.count)
        self._required = auto if self._rule is Required.AUTO else self._rule is Required.TRUE
        self.idle = not self._required and not self._ring.count

    def authenticate(self, head: RequestHead, peer: str | None, now: float) -> Caller | None:
        """Return who asks, or None for nobody where no key is required. Raises GatewayError.

        `now`: monotonic seconds. A right key always passes, however many wrong ones came from
        its address: behind a proxy all clients share one. Two different ones are a 400 (S5).
        """
        if self.idle:
            return None
        seen, self._seen = self._seen, None
        if seen is not None and seen[0] is head and now - seen[2] < _FRESH_SECONDS:
            return seen[1]  # asked at its head a moment ago, and its body has come since
        caller = self._known(head, peer, now)
        self._seen = head, caller, now
        return caller

    def _known(self, head: RequestHead, peer: str | None, now: float) -> Caller | None:
        shown = _credentials(head)
        if not self._required:
            # Others may be an upstream's, passed through; ours is never nobody's.
            shown = [one for one in shown if one.startswith(_OURS)]
        if len(shown) > 1:
            message = "two different keys were sent: Authorization and x-api-key must agree"
            raise Unauthenticated(400, ErrorCode.BAD_REQUEST, message)
        if not shown:
            if self._required:
                raise _unauthorized(f"a client key is needed: {_HOW}", NOT_AGAIN)
            return None
        found = self._ring.find(shown[0])
        if found is None:
            self._fail_unknown(shown[0], peer, now)
        (caller, state), now_us = found, self._now_us()
        if not state.lasts and (dead := state.why_dead(now_us)) is not None:
            self._fail(peer, now, f"was {dead}" if dead == "revoked" else f"has {dead}")
        self._used[caller.key_id] = now_us
        return caller

    def taken_uses(self) -> Mapping[str, int]:
        """Return when keys were used since this was asked last: key id to µs since the epoch."""
        used, self._used = self._used, {}
        return used

    def _fail_unknown(self, shown: bytes, peer: str | None, now: float) -> NoReturn:
        # Judged after the look-up, and from what the client knows itself: it tells nothing.
        formed = is_well_formed(shown.decode("latin-1"))
        what = "is not known here" if formed else "is not a whole key: a typo?"
        self._fail(peer, now, what, NOT_AGAIN)

    def _fail(self, peer: str | None, now: float, what: str, *headers: Header) -> NoReturn:
        peer = "-" if peer is None else peer
        if wait := self._tries.seconds_to_wait(peer, now):
            raise Unauthenticated(
                429,
                ErrorCode.UNAUTHORIZED,
                "too many wrong keys from this address",
                retry_after=math.ceil(wait),
            )
        self._tries.failed(peer, now)
        raise _unauthorized(f"the client key {what}", *headers)


def callers_of(config: Config, now_us: Callable[[], int], insecure_no_auth: bool) -> Callers:
    """Return those of a gateway that begins with `config`; it has no keys yet."""
    exposed = not is_loopback(config.server.host) and not insecure_no_auth
    return Callers(now_us, config.keys.required, exposed=exposed)


def check_model(caller: Caller | None, model: str | None) -> None:
    """Refuse a model outside the caller's globs. Raises GatewayError 403, which SDKs do not repeat."""
    if caller is None or not caller.models or caller.may_use(model):
        return
    which = "a request without a model" if model is None else f"model {model!r}"
    raise GatewayError(
        403, ErrorCode.UNAUTHORIZED, f"this client key may not use {which}", param="model"
    )


def check_models(caller: Caller | None, model: str | None, fields: Mapping[str, Any]) -> None:
    """Refuse a request for a model outside the caller's globs. Raises GatewayError 403.

    OpenRouter's `models` names those that may answer in the place of `model`.
    """
    if caller is None or not caller.models:
        return
    check_model(caller, model)
    others = fields.get("models")
    for other in others if isinstance(others, list) else ():
        if isinstance(other, str):
            check_model(caller, other)


def _unauthorized(message: str, *headers: Header) -> Unauthenticated:
    """Return the refusal. One of a dead key lets the client ask again: it may have got a new one."""
    error = Unauthenticated(401, ErrorCode.UNAUTHORIZED, message)
    error.headers = headers
    return error


def _credentials(head: RequestHead) -> list[bytes]:
    """Return the different credentials that `head` shows, in their order."""
    found: list[bytes] = []
    for name, value in head.headers:
        if name in _FIELDS:
            bearer = value[: len(_BEARER)].lower() == _BEARER
            shown = value[len(_BEARER) :].strip() if bearer else value
            if shown and shown not in found:
                found.append(shown)
    return found
