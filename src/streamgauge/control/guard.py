"""Who may ask the control listener: Host, Origin, token, content type (FAULTS S4, S14, S15).

It stands before every page and knows none of them.
"""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamgauge.gateway.tries import FailedTries

__all__ = ["Access", "Guard", "Refused", "refusal"]

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_READING = frozenset({"GET", "HEAD"})
_SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""On every answer, whatever it is. There is no CORS header: no other origin may read anything."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who is let in. `token` None asks for none. `allowed_hosts`: lower case, `*` is any."""

    allowed_hosts: Collection[str]
    token: str | None = field(default=None, repr=False)


class Refused(Exception):
    """A request that gets `status` and one sentence. Raised before anything is done."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def refusal(error: Refused) -> Response:
    """Return the answer that says `error`."""
    body = json.dumps({"error": {"message": str(error)}})
    return Response(body, error.status, error.headers, media_type="application/json")


class Guard:
    """ASGI middleware. Nothing behind it is reached by a request that it does not let in."""

    def __init__(
        self, app: ASGIApp, access: Access, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._access = access
        self._clock = clock
        self._tries = FailedTries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_SECURITY]
            await send(message)

        if scope["type"] != "http":
            return
        try:
            self._check(scope)
        except Refused as error:
            await refusal(error)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _check(self, scope: Scope) -> None:
        host = self._checked_host(scope)
        _check_origin(_values(scope, b"origin"), host)
        self._check_token(scope)
        if scope["method"] not in _READING:
            _check_content_type(scope)

    def _checked_host(self, scope: Scope) -> str:
        """Return the Host as sent, in lower case: a name that leads here by DNS alone is refused."""
        hosts = _values(scope, b"host")
        legal = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if legal is None:
            raise Refused(400, "exactly one Host field with a host and an optional port is needed")
        allowed = self._access.allowed_hosts
        if "*" not in allowed and legal[1].lower() not in allowed:
            raise Refused(421, "this host name is not served here (control.allowed_hosts)")
        return hosts[0].lower()

    def _check_token(self, scope: Scope) -> None:
        token = self._access.token
        if token is None:
            return
        client = scope.get("client")
        address, now = client[0] if client else "-", self._clock()
        if wait := self._tries.seconds_to_wait(address, now):
            retry = str(int(wait) + 1)
            raise Refused(429, "too many failed tries from this address", retry_after=retry)
        if not _is_shown(_values(scope, b"authorization"), token):
            self._tries.failed(address, now)
            message = "the admin token is needed: Authorization: Bearer TOKEN (control.token)"
            raise Refused(401, message, www_authenticate="Bearer")


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _check_origin(origins: list[str], host: str) -> None:
    """A browser names the page's origin where it matters; only our own pages may ask us."""
    for origin in origins:
        scheme, _, authority = origin.lower().partition("://")
        if scheme not in ("http", "https") or authority != host:
            raise Refused(403, "requests from other origins are not answered")


def _is_shown(authorizations: list[str], token: str) -> bool:
    if len(authorizations) != 1:
        return False
    scheme, _, shown = authorizations[0].partition(" ")
    same = hmac.compare_digest(shown.strip().encode("latin-1"), token.encode())
    return same and scheme.lower() == "bearer"


def _check_content_type(scope: Scope) -> None:
    """A form of another site can send no JSON without asking first (S15)."""
    kinds = [kind.partition(";")[0].strip().lower() for kind in _values(scope, b"content-type")]
    if kinds != ["application/json"]:
        raise Refused(415, "the content type must be application/json")
