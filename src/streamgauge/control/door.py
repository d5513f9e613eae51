"""Who has shown the admin token: with each request, or once at the login. It knows no page."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from streamgauge.gateway.tries import FailedTries

__all__ = ["COOKIE", "Access", "Door", "Refused"]

COOKIE = "streamgauge_login"
_LOGIN_SECONDS = 12 * 3600
"""A working day; and none outlives the process."""
_MOST_LOGINS = 256
_HOW = "Authorization: Bearer TOKEN, with the value of control.token"
_MISSING = f"the admin token is missing: {_HOW}"
_WRONG = "this is not the admin token, the value of control.token at the gateway's start"


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


class Door:
    """Holds: it opens to the token itself, and to a cookie that a login gave and no logout took."""

    def __init__(self, token: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token
        self._clock = clock
        self._tries = FailedTries()
        self._logins: OrderedDict[bytes, float] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Door {'closed' if self._token else 'open'} logins={len(self._logins)}>"

    def check(self, authorizations: Sequence[str], cookies: Sequence[str], address: str) -> None:
        """Let a request in that shows the token or a login's cookie. Raises Refused."""
        token, now = self._token, self._clock()
        if token is None or any(self._is_login(value, now) for value in cookies):
            return
        self._check_tries(address, now)
        if not authorizations:
            raise _refused(_MISSING)  # no try at all: a browser that asks for the login page
        if not _is_shown(authorizations, token):
            self._tries.failed(address, now)
            raise _refused(_fault(authorizations))

    def login(self, shown: str, address: str) -> str:
        """Return the header by which a browser that showed the token is known. Raises Refused."""
        token, now = self._token, self._clock()
        if token is None:
            raise Refused(409, "no token is set (control.token): nobody needs to log in")
        self._check_tries(address, now)
        if not _same(shown, token):
            self._tries.failed(address, now)
            raise Refused(401, _WRONG)
        value = secrets.token_urlsafe(32)
        self._logins[_digest(value)] = now + _LOGIN_SECONDS
        if len(self._logins) > _MOST_LOGINS:
            self._logins.popitem(last=False)
        return _cookie(value, _LOGIN_SECONDS)

    def logout(self, cookies: Sequence[str]) -> str:
        """Forget the login of a browser; return the header that takes its cookie away."""
        for value in cookies:
            self._logins.pop(_digest(value), None)
        return _cookie("", 0)

    def _is_login(self, value: str, now: float) -> bool:
        # Found by digest: how long that takes tells nothing of the value.
        until = self._logins.get(_digest(value))
        return until is not None and now < until

    def _check_tries(self, address: str, now: float) -> None:
        if wait := self._tries.seconds_to_wait(address, now):
            retry = str(int(wait) + 1)
            raise Refused(429, "too many failed tries from this address", retry_after=retry)


def _refused(message: str) -> Refused:
    return Refused(401, message, www_authenticate="Bearer")


def _fault(authorizations: Sequence[str]) -> str:
    """Say what is wrong with what was shown, by its form alone: nothing of the token tells here."""
    if len(authorizations) != 1:
        return "the admin token is shown more than once: one Authorization field is needed"
    scheme, _, shown = authorizations[0].strip().partition(" ")
    if scheme.lower() != "bearer":
        return f"this is not how the admin token is shown: {_HOW}"
    return _WRONG if shown.strip() else _MISSING


def _is_shown(authorizations: Sequence[str], token: str) -> bool:
    if len(authorizations) != 1:
        return False
    scheme, _, shown = authorizations[0].partition(" ")
    same = hmac.compare_digest(shown.strip().encode("latin-1"), token.encode())
    return same and scheme.lower() == "bearer"


def _same(shown: str, token: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), token.encode())


def _cookie(value: str, seconds: int) -> str:
    return f"{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict"


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("latin-1", "replace")).digest()
