"""Who may ask the control listener: Host, Origin, token, content type (FAULTS S4, S14, S15).

It stands before every page and knows none of them but the login page.
"""

from __future__ import annotations

import json
import re
from http.cookies import CookieError, SimpleCookie

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamgauge.control.door import COOKIE, Access, Door, Refused
from streamgauge.control.pages.files import LOGIN_FILES, PageFile

__all__ = [
    "LOGIN",
    "Access",
    "Guard",
    "Refused",
    "address_of",
    "cookies_of",
    "refusal",
    "wants_page",
]

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_READING = frozenset({"GET", "HEAD"})
_OURS = frozenset({"same-origin", "none"})
"""Of `Sec-Fetch-Site`: our own pages, and what a person typed. Another port is another origin."""
LOGIN = "/admin/login"
_OPEN = frozenset({("POST", LOGIN), *(("GET", path) for path in LOGIN_FILES)})
"""What is answered without the token: the login page and what it is made of."""
_SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""On every answer, whatever it is. There is no CORS header: no other origin may read anything."""


def refusal(error: Refused) -> Response:
    """Return the answer that says `error`."""
    body = json.dumps({"error": {"message": str(error)}})
    return Response(body, error.status, error.headers, media_type="application/json")


def address_of(scope: Scope) -> str:
    """Return where a request comes from."""
    client = scope.get("client")
    return str(client[0]) if client else "-"


def cookies_of(scope: Scope) -> list[str]:
    """Return what is shown of our cookie; another port of this host may have set one, too."""
    found = []
    for header in _values(scope, b"cookie"):
        for piece in header.split(";"):
            try:
                morsels = SimpleCookie(piece.strip())
            except CookieError:
                continue
            found += [m.value for name, m in morsels.items() if name == COOKIE]
    return found[:4]


def wants_page(scope: Scope) -> bool:
    """Return whether a browser asks for something that a person is to read."""
    accepts = any("text/html" in value for value in _values(scope, b"accept"))
    return scope["method"] in _READING and accepts


class Guard:
    """ASGI middleware. Nothing behind it is reached by a request that it does not let in."""

    def __init__(self, app: ASGIApp, access: Access, door: Door, login: PageFile) -> None:
        """`login`: what a browser without the token is shown, wherever it wanted to go."""
        self._app = app
        self._access = access
        self._door = door
        self._login = login

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
            await self._refusal(scope, error)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, error: Refused) -> Response:
        if error.status != 401 or not wants_page(scope):
            return refusal(error)
        headers = {**error.headers, "content-type": self._login.content_type}
        return Response(self._login.body, error.status, headers)

    def _check(self, scope: Scope) -> None:
        host = self._checked_host(scope)
        _check_origin(_values(scope, b"origin"), host)
        _check_site(scope)
        if (scope["method"], scope["path"]) not in _OPEN:
            shown = _values(scope, b"authorization")
            self._door.check(shown, cookies_of(scope), address_of(scope))
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
            named = f"the host {legal[1][:253].lower()} is not served here"
            raise Refused(421, f"{named}: add it to control.allowed_hosts and restart the gateway")
        return hosts[0].lower()


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _check_origin(origins: list[str], host: str) -> None:
    """A browser names the page's origin where it matters; only our own pages may ask us."""
    for origin in origins:
        scheme, _, authority = origin.lower().partition("://")
        if scheme not in ("http", "https") or authority != host:
            raise Refused(403, "requests from other origins are not answered")


def _check_site(scope: Scope) -> None:
    """A browser says whose page asks; from others, only a person who follows a link may come."""
    sites = _values(scope, b"sec-fetch-site")
    if all(site in _OURS for site in sites):
        return
    follows_link = scope["method"] == "GET" and _values(scope, b"sec-fetch-mode") == ["navigate"]
    if not follows_link or _values(scope, b"sec-fetch-dest") != ["document"]:
        raise Refused(403, "requests from other origins are not answered")


def _check_content_type(scope: Scope) -> None:
    """A form of another site can send no JSON without asking first (S15)."""
    kinds = [kind.partition(";")[0].strip().lower() for kind in _values(scope, b"content-type")]
    if kinds != ["application/json"]:
        raise Refused(415, "the content type must be application/json")
