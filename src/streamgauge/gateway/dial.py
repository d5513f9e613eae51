"""Connects one socket to an upstream: name, address, TLS. Knows no proxy, pool or deadline."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from streamgauge.gateway.http import FailKind

__all__ = ["RECEIVE_BUFFER_BYTES", "DialError", "Target", "dial"]

RECEIVE_BUFFER_BYTES = 128 * 1024
"""Asked of the kernel, which doubles it for its bookkeeping: 256 KiB a socket (SPEC §4.3)."""

_Endpoint = tuple[str, int] | tuple[str, int, int, int]
_Address = tuple[int, int, int, _Endpoint]
_IPV4 = 4


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
    sock = await _connect(loop, target, await _resolve(loop, target))
    handshake = None if target.tls is None else (target.connect_timeout or None)
    try:
        await loop.create_connection(
            make,
            sock=sock,
            ssl=target.tls,
            server_hostname=target.host if target.tls is not None else None,
            ssl_handshake_timeout=handshake,
        )
    except ssl.SSLError as error:
        raise DialError(FailKind.TLS, f"TLS with {target.label}: {_reason(error)}") from error
    except OSError as error:
        raise DialError(FailKind.CONNECT, f"{target.label}: {_strerror(error)}") from error


async def _resolve(loop: asyncio.AbstractEventLoop, target: Target) -> list[_Address]:
    literal = _literal(target)
    if literal is not None:
        return [literal]
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"the name {target.host!r} does not resolve"
        raise DialError(FailKind.DNS, message) from error
    # typeshed's third form of an address stands for Pythons built without IPv6.
    return [
        (family, kind, proto, cast("_Endpoint", address))
        for family, kind, proto, _, address in found
    ]


def _literal(target: Target) -> _Address | None:
    # getaddrinfo takes a thread, which an address does not need.
    try:
        version = ipaddress.ip_address(target.host).version
    except ValueError:
        return None
    if version == _IPV4:
        address = (target.host, target.port)
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, address
    return (
        socket.AF_INET6,
        socket.SOCK_STREAM,
        socket.IPPROTO_TCP,
        (target.host, target.port, 0, 0),
    )


async def _connect(
    loop: asyncio.AbstractEventLoop, target: Target, addresses: list[_Address]
) -> socket.socket:
    refused = False
    last: OSError | None = None
    for family, kind, proto, address in addresses:
        try:
            return await _connect_one(loop, family, kind, proto, address)
        except OSError as error:
            refused = refused or isinstance(error, ConnectionRefusedError)
            last = error
    failed = FailKind.REFUSED if refused else FailKind.CONNECT
    reason = "connection refused" if refused else _strerror(last)
    raise DialError(failed, f"{target.label}: {reason}") from last


async def _connect_one(
    loop: asyncio.AbstractEventLoop,
    family: int,
    kind: int,
    proto: int,
    address: _Endpoint,
) -> socket.socket:
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        # Before the connect, so that the window scale is chosen for it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _strerror(error: OSError | None) -> str:
    if error is None:
        return "no address"
    return error.strerror or type(error).__name__


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    return error.reason or "handshake failed"
