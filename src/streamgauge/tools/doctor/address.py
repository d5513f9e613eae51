"""Where the doctor connects to, and what stands in front of each path there. Opens no socket."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from streamgauge.gateway.upstream_tls import TlsSettings, tls_context
from streamgauge.gateway.upstreams import UpstreamRuntime

__all__ = ["Address"]

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """A server. `prefix`: what stands before `/v1/…` in its paths; `host_header` as it is sent."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    host_header: str
    prefix: str = ""

    @classmethod
    def of_url(cls, url: str) -> Self:
        """Return the address of a gateway's base URL. Raises ValueError for what is none."""
        if not all("!" <= sign <= "~" for sign in url):
            raise ValueError(f"{url!r} has signs that no URL has: write it in ASCII, %-encoded")
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is no URL such as https://llm.example.com")
        if "@" in parts.netloc:
            raise ValueError("a URL with a user name or password in it is not asked; use --key")
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
        tls = tls_context(TlsSettings()) if parts.scheme == "https" else None
        prefix = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
        return cls(parts.hostname, port, tls, parts.netloc, prefix)

    @classmethod
    def of_upstream(cls, upstream: UpstreamRuntime) -> Self:
        """Return an upstream's address; its requests write their paths themselves."""
        target = upstream.target
        return cls(target.host, target.port, target.tls, upstream.host)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()
    ) -> bytes:
        """Return a whole request, as the SDKs write it: with leave to compress."""
        lines = [f"{method} {self.prefix}{path} HTTP/1.1", f"host: {self.host_header}"]
        if method == "POST":
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        lines += ["accept: */*", "accept-encoding: gzip, deflate", "user-agent: streamgauge-doctor"]
        lines += [f"{name}: {value}" for name, value in headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
