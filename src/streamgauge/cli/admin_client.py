"""Asks a running gateway's control listener, one page at a time. Knows no page's content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

__all__ = ["AdminClient", "AdminError", "NotLetIn", "NotNow", "NotThere"]

_API = "/admin/api/v1"
_SECONDS = 3.0
"""More than the 2 s after which a listener says that its gateway does not answer."""
_NOT_LET_IN = frozenset({401, 403, 421, 429})
_NOT_NOW, _NO_SUCH_PATH = 503, 404
_DOUBT = "is this the control listener of a gateway?"
_NO_TOKEN = "neither control.token of the configuration here nor $STREAMGAUGE_ADMIN_TOKEN names one"
_ITS_TOKEN = "it came from control.token of the configuration here, else $STREAMGAUGE_ADMIN_TOKEN"


class AdminError(Exception):
    """The listener did not tell what was asked; the message names it and says why."""


class NotThere(AdminError):
    """Nobody answers."""


class NotLetIn(AdminError):
    """The listener wants another token, host name or patience: asking again changes nothing."""


class NotNow(AdminError):
    """The gateway behind the listener cannot answer at present."""


class AdminClient:
    """Asks the listener at `url`. It keeps no connection."""

    def __init__(self, url: str, token: str | None, seconds: float = _SECONDS) -> None:
        """Raise ValueError for a `url` that is none. `seconds`: to wait for each answer."""
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL such as http://127.0.0.1:8067")
        self._seconds = seconds
        self._headers = {} if token is None else {"Authorization": f"Bearer {token.strip()}"}
        # No proxy: the listener is on this machine, or where the user says.
        self._opener = build_opener(ProxyHandler({}))

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Return a page of docs/api.md. Raises AdminError's kinds."""
        return self.ask(f"{_API}{path}{'?' if query else ''}{urlencode(query)}")

    def ask(self, path: str, order: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what `path` tells, after giving it `order`. Raises AdminError's kinds."""
        headers, data = dict(self._headers), None
        if order is not None:
            data, headers["Content-Type"] = json.dumps(order).encode(), "application/json"
        try:
            request = Request(self.url + path, data, headers)
            with self._opener.open(request, timeout=self._seconds) as page:
                found = json.load(page)
        except HTTPError as error:
            raise self._refused(error) from error
        except (URLError, OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            message = f"no gateway's control listener answers at {self.url}: {reason}"
            raise NotThere(message) from error
        except ValueError as error:
            raise AdminError(f"{self.url} is no control listener of streamgauge") from error
        if not isinstance(found, dict):
            raise AdminError(f"{self.url} is no control listener of streamgauge")
        return found

    def _refused(self, error: HTTPError) -> AdminError:
        with error:
            try:
                reason = str(json.load(error)["error"]["message"])
            except (ValueError, KeyError, TypeError, OSError, HTTPException):
                reason = f"status {error.code}: {_DOUBT}"
            else:
                # All that is asked is there, whatever else is not: the data listener answers so.
                reason += f": {_DOUBT}" if error.code == _NO_SUCH_PATH else ""
        if error.code == 401:
            reason += f"; {_ITS_TOKEN if self._headers else _NO_TOKEN}"
        message = f"{self.url}: {reason}"
        if error.code in _NOT_LET_IN:
            return NotLetIn(message)
        return NotNow(message) if error.code == _NOT_NOW else AdminError(message)
