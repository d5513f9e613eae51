"""Remembers `Idempotency-Key`s, so that one request makes one upstream call (FAULTS F49).

In memory only: a restart forgets them, as it ends every call that was in flight.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from streamgauge.core.errors import RequestError
from streamgauge.gateway.http import RequestHead
from streamgauge.gateway.response_headers import NOT_AGAIN

__all__ = ["Idempotency", "idempotency_key"]

_FIELD = b"idempotency-key"
_MOST = 10_000
_DAY_SECONDS = 86_400.0
_LONGEST = 255
"""Characters of a key; a UUID has 36."""

_Name = tuple[str | None, str]


@dataclass(slots=True)
class _Call:
    """Who used a name first. `over`: its exchange has ended, with an upstream called."""

    exchange_id: str
    digest: bytes
    since: float
    over: bool = False


class Idempotency:
    """The names used in the last 24 hours, at most `most` of them; the oldest is forgotten first.

    A name belongs to its client key: two clients never meet, nor do those without a key and those
    with one.
    """

    __slots__ = ("_by_exchange", "_calls", "_most", "_seconds")

    def __init__(self, most: int = _MOST, seconds: float = _DAY_SECONDS) -> None:
        self._calls: dict[_Name, _Call] = {}
        self._by_exchange: dict[str, _Name] = {}
        self._most = most
        self._seconds = seconds

    def __len__(self) -> int:
        return len(self._calls)

    def begin(
        self,
        key_id: str | None,
        name: str,
        endpoint: str,
        body: bytes,
        exchange_id: str,
        now: float,
    ) -> None:
        """Take `name` for an exchange. `now`: monotonic seconds.

        Raises RequestError: 409 while its first use is in flight and after it, 422 where that was
        another request, 400 for a name that is none.
        """
        if not name or len(name) > _LONGEST or not name.isprintable():
            raise RequestError(f"Idempotency-Key is 1 to {_LONGEST} printable characters")
        self._forget_old(now)
        digest = sha256(endpoint.encode() + b"\n" + body).digest()
        earlier = self._calls.get((key_id, name))
        if earlier is not None:
            raise _refusal(earlier, digest)
        while len(self._calls) >= self._most:
            self._forget_first()
        self._calls[key_id, name] = _Call(exchange_id, digest, now)
        self._by_exchange[exchange_id] = (key_id, name)

    def ended(self, exchange_id: str, *, called: bool) -> None:
        """Note the end of an exchange. Where no upstream was `called` its name is free again.

        One that refused, with an error status, counts as not called: clients' libraries repeat
        such a call under the same name, and are to get an answer and no 409.
        """
        name = self._by_exchange.pop(exchange_id, None)
        if name is None:
            return
        if called:
            self._calls[name].over = True
        else:
            del self._calls[name]

    def _forget_old(self, now: float) -> None:
        while self._calls and next(iter(self._calls.values())).since <= now - self._seconds:
            self._forget_first()

    def _forget_first(self) -> None:
        call = self._calls.pop(next(iter(self._calls)))
        self._by_exchange.pop(call.exchange_id, None)


def idempotency_key(head: RequestHead) -> str | None:
    """Return the name that a client gives its request; None without one.

    Raises RequestError 400 for two different ones: by which it is known, each hop would say otherwise.
    """
    name = head.header(_FIELD)
    if name is not None and len({value for field, value in head.headers if field == _FIELD}) > 1:
        raise RequestError("two different Idempotency-Key fields were sent")
    return name


def _refusal(earlier: _Call, digest: bytes) -> RequestError:
    """Return the answer to a second use. Clients' libraries repeat a 409: here that is no use."""
    if digest != earlier.digest:
        message = f"this Idempotency-Key belongs to another request, {earlier.exchange_id}"
        return RequestError(message, status=422)
    how = "was answered as" if earlier.over else "is in progress as"
    error = RequestError(
        f"a request with this Idempotency-Key {how} {earlier.exchange_id}", status=409
    )
    error.headers = (NOT_AGAIN,)
    return error
