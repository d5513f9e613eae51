"""Connects one socket to an upstream: name, address, TLS. Knows no proxy, pool or deadline."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from streamgauge.gateway.http import FailKind

__all__ = ["DialError", "Target", "dial"]

_Address = tuple[int, str]
_IPV4 = 4
_NO_DESCRIPTOR = frozenset((errno.EMFILE, errno.ENFILE))


@dataclass(frozen=True, slots=True)
class Target:
    """Where calls go. `connect_timeout` in seconds, TLS included; 0 means none.

    `host` without brackets; it is also the name that the certificate must hold.
    """

    scheme: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    connect_timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.scheme not in ("http", "https"):
            raise ValueError("scheme is http or https")
        if (self.scheme == "https") is not (self.tls is not None):
            raise ValueError("https needs a TLS context, http has none")

    @property
    def key(self) -> tuple[str, int, ssl.SSLContext | None]:
        """What connections may be shared by: a new TLS context shares none of the old ones."""
        return self.host, self.port, self.tls

    @property
    def label(self) -> str:
        """The target for people."""
        return f"{self.scheme}://{self.host}:{self.port}"


class DialError(Exception):
    """No connection. `kind` says at which step."""

    def __init__(self, kind: FailKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


async def dial(
    loop: asyncio.AbstractEventLoop, target: Target, make: Callable[[], asyncio.BaseProtocol]
) -> None:
    """Connect what `make` makes, with its TLS handshake done; raises DialError."""
    refused = False
    last: OSError | None = None
    for family, address in await _resolve(loop, target):
        try:
            await _connect(loop, target, family, address, make)
        except ssl.SSLError as error:
            raise DialError(FailKind.TLS, f"TLS with {target.label}: {_reason(error)}") from error
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                message = f"{target.label}: no descriptor left"
                raise DialError(FailKind.EXHAUSTED, message) from error
            refused = refused or isinstance(error, ConnectionRefusedError)
            last = error
        else:
            return
    kind = FailKind.REFUSED if refused else FailKind.CONNECT
    reason = "connection refused" if refused else _strerror(last)
    raise DialError(kind, f"{target.label}: {reason}") from last


async def _resolve(loop: asyncio.AbstractEventLoop, target: Target) -> list[_Address]:
    # getaddrinfo takes a thread, which an address does not need.
    try:
        version = ipaddress.ip_address(target.host).version
    except ValueError:
        pass
    else:
        return [(socket.AF_INET if version == _IPV4 else socket.AF_INET6, target.host)]
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"the name {target.host!r} does not resolve"
        raise DialError(FailKind.DNS, message) from error
    return [(family, str(address[0])) for family, _, _, _, address in found]


async def _connect(
    loop: asyncio.AbstractEventLoop,
    target: Target,
    family: int,
    address: str,
    make: Callable[[], asyncio.BaseProtocol],
) -> None:
    # One address at a time: for several, asyncio folds the errors into one without a type.
    # Never a socket of ours (`sock=`): uvloop closes its descriptor under it when the
    # connection ends before create_connection returns, and ours would be closed twice.
    secure = target.tls is not None
    await loop.create_connection(
        make,
        address,
        target.port,
        family=family,
        ssl=target.tls,
        server_hostname=target.host if secure else None,
        ssl_handshake_timeout=(target.connect_timeout or None) if secure else None,
    )


def _strerror(error: OSError | None) -> str:
    if error is None:
        return "no address"
    return error.strerror or type(error).__name__


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    return error.reason or "handshake failed"
