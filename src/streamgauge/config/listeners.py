"""The `server` and `control` sections: where we listen, and for whom. Knows no upstream."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, WithJsonSchema

from streamgauge.config.fields import RESTART, Count, Seconds, Secret, Section, Switch, Text, refuse

__all__ = ["Control", "Server", "is_loopback"]

_ALLOWED_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]|\*")
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_MAX_PORT = 65_535
_POSITIVE = Field(gt=0)


def is_loopback(host: str) -> bool:
    """Return whether a listener on `host` can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _host(host: str) -> str:
    bare = host.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?", host):
            return host
    raise refuse("must be an IP address or a host name, without a port")


def _workers(workers: int) -> int:
    if workers != 1:
        raise refuse("must be 1; more workers need PostgreSQL, which is not served yet")
    return workers


def _allowed_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_ALLOWED_HOST.fullmatch(host) for host in hosts):
        raise refuse("must be host names or addresses without port, IPv6 as [::1], or '*'")
    return tuple(host.lower() for host in hosts)


Host = Annotated[Text, AfterValidator(_host)]
Port = Annotated[Count, Field(le=_MAX_PORT)]
AllowedHosts = Annotated[tuple[Text, ...], AfterValidator(_allowed_hosts)]


class Server(Section):
    """The data listener, and limits on what clients send and read."""

    host: Host = Field(
        default="127.0.0.1",
        description="Address to listen on; other than loopback needs client keys.",
        json_schema_extra=RESTART,
    )
    port: Port = Field(
        default=8066,
        description="Port to listen on; 0 takes a free one.",
        json_schema_extra=RESTART,
    )
    workers: Annotated[Count, AfterValidator(_workers), WithJsonSchema({"enum": [1]})] = Field(
        default=1, description="Processes; only 1 is served.", json_schema_extra=RESTART
    )
    drain_seconds: Seconds = Field(
        default=30, description="How long running streams may go on at a stop."
    )
    max_streams: Count = Field(
        default=0,
        description="Most metered requests at once; one more is answered 503. 0 is no limit.",
    )
    max_body_mb: Annotated[Count, Field(ge=1, le=4096)] = Field(
        default=32, description="Largest request body, in MiB."
    )
    half_close: Switch = Field(
        default=False, description="true: a client that has closed its sending side still reads."
    )
    allowed_hosts: AllowedHosts = Field(
        default=_LOCAL_HOSTS, description="Host headers that are answered; '*' answers any."
    )
    keepalive_seconds: Annotated[Seconds, _POSITIVE] = Field(
        default=15, description="Silence in a stream after which the client gets a keep-alive."
    )
    header_seconds: Annotated[Seconds, _POSITIVE] = Field(
        default=10, description="How long a request head may take to arrive."
    )
    body_seconds: Annotated[Seconds, _POSITIVE] = Field(
        default=60, description="How long a request body may take to arrive."
    )
    write_seconds: Annotated[Seconds, _POSITIVE] = Field(
        default=60, description="How long a client may read nothing before it is cut."
    )


class Control(Section):
    """The control listener: the admin API and `/metrics`."""

    host: Host = Field(
        default="127.0.0.1",
        description="Address to listen on; other than loopback needs a token.",
        json_schema_extra=RESTART,
    )
    port: Port = Field(
        default=8067,
        description="Port to listen on; 0 takes a free one.",
        json_schema_extra=RESTART,
    )
    enabled: Switch = Field(
        default=True, description="false: there is no control listener.", json_schema_extra=RESTART
    )
    token: Annotated[SecretStr | None, Secret] = Field(
        default=None,
        description="What callers must show as `Authorization: Bearer`; "
        "empty: nothing is asked. Left out: the variable STREAMGAUGE_ADMIN_TOKEN.",
        json_schema_extra=RESTART,
    )
    allowed_hosts: AllowedHosts = Field(
        default=_LOCAL_HOSTS,
        description="Host headers that are answered; '*' answers any.",
        json_schema_extra=RESTART,
    )
