"""The one frozen model of the configuration. Knows no file and no environment (SPEC §2.4)."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from streamgauge.config.expand import Expanded
from streamgauge.config.fields import (
    Count,
    Off,
    Seconds,
    Section,
    Switch,
    Text,
    refuse,
)
from streamgauge.config.price_entry import PriceEntry
from streamgauge.config.upstream import Upstream

__all__ = [
    "Begin",
    "Config",
    "Control",
    "DefaultRoute",
    "Ledger",
    "Log",
    "LogFormat",
    "Metadata",
    "Routing",
    "Server",
    "is_loopback",
]

_SQLITE = "sqlite:///"
_ALLOWED_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]|\*")
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_MAX_PORT = 65_535
_POSITIVE = Field(gt=0)


class Metadata(StrEnum):
    """How the client is told the numbers of its answer (SPEC §10.1)."""

    OFF = "off"
    COMMENT = "comment"
    CHUNK = "chunk"
    EVENT = "event"
    AFTER_DONE = "after_done"


class Begin(StrEnum):
    """When a row must be committed: before the upstream is called, or in the course of it."""

    BEFORE_UPSTREAM = "before_upstream"
    ASYNC = "async"


class LogFormat(StrEnum):
    """`auto` is logfmt on a terminal, JSON otherwise."""

    AUTO = "auto"
    LOGFMT = "logfmt"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


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


def _ledger_url(url: str) -> str:
    if re.match(r"(?i)postgres(ql)?:", url):
        raise refuse("PostgreSQL is not served yet; must be sqlite:///FILE")
    path = url.removeprefix(_SQLITE)
    if path == url or not path.strip("/") or path.endswith("/") or ":memory:" in path:
        raise refuse("must be sqlite:///FILE, with one more slash for an absolute path")
    if re.search(r"[?#]", path):
        raise refuse("must hold no query and no fragment")
    return url


def _metering(value: Any) -> Any:
    words = {"on": True, "off": False}
    if isinstance(value, Expanded):
        words |= {"true": True, "false": False}
    return words.get(value, value) if isinstance(value, str) else value


def _metering_checked(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise refuse("must be on or off")


def _no_control(on: bool) -> bool:
    if on:
        raise refuse("the control listener is not served yet; must be false")
    return on


def _no_content(on: bool) -> bool:
    if on:
        raise refuse("keeping contents is not served yet; must be false")
    return on


class Server(Section):
    """The data listener, and limits on what clients send and read."""

    host: Annotated[Text, AfterValidator(_host)] = Field(
        default="127.0.0.1",
        description="Address to listen on; other than loopback needs client keys.",
    )
    port: Annotated[Count, Field(le=_MAX_PORT)] = Field(
        default=8066, description="Port to listen on; 0 takes a free one."
    )
    workers: Annotated[Count, AfterValidator(_workers)] = Field(
        default=1, description="Processes; only 1 is served."
    )
    drain_seconds: Seconds = Field(
        default=30, description="How long running streams may go on at a stop."
    )
    max_body_mb: Annotated[Count, Field(ge=1, le=4096)] = Field(
        default=32, description="Largest request body, in MiB."
    )
    half_close: Switch = Field(
        default=False, description="true: a client that has closed its sending side still reads."
    )
    allowed_hosts: Annotated[tuple[Text, ...], AfterValidator(_allowed_hosts)] = Field(
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
    """The control listener, which is not served yet."""

    enabled: Annotated[Switch, AfterValidator(_no_control)] = Field(
        default=False, description="Only false is served."
    )


class DefaultRoute(Section):
    """Where a request goes that no other rule sends anywhere."""

    to: tuple[Text, ...] = Field(
        default=(), max_length=1, description="The name of one upstream; empty means the first."
    )


class Routing(Section):
    """Which upstream serves which request."""

    default: DefaultRoute = Field(default=DefaultRoute(), description="The only route yet.")


class Ledger(Section):
    """Where the rows are kept."""

    url: Annotated[Text, AfterValidator(_ledger_url)] = Field(
        default="sqlite:///streamgauge.db",
        description="sqlite:///FILE, relative to where serve starts.",
    )
    begin: Begin = Field(
        default=Begin.BEFORE_UPSTREAM,
        description="async does not wait for the row before the call.",
    )
    content: Annotated[Switch, AfterValidator(_no_content)] = Field(
        default=False, description="Only false is served: prompts and answers are not kept."
    )

    @property
    def path(self) -> str:
        """The database file, as the URL names it."""
        return self.url.removeprefix(_SQLITE)


class Log(Section):
    """What is written to stderr."""

    format: LogFormat = Field(default=LogFormat.AUTO, description="auto, logfmt or json.")
    level: LogLevel = Field(default=LogLevel.INFO, description="debug, info, warning or error.")


class Config(Section):
    """The whole configuration. Every value in it is valid, and none of its reprs shows a key."""

    server: Server = Field(default=Server(), description="The data listener.")
    control: Control = Field(default=Control(), description="The control listener.")
    upstreams: tuple[Upstream, ...] = Field(default=(), description="The model servers.")
    routing: Routing = Field(default=Routing(), description="Which upstream serves what.")
    prices: tuple[PriceEntry, ...] = Field(
        default=(), description="Prices; the first that fits is used."
    )
    metadata: Annotated[Metadata, Off] = Field(
        default=Metadata.COMMENT, description="How clients are told the numbers of their answer."
    )
    metering: Annotated[bool, BeforeValidator(_metering_checked), BeforeValidator(_metering)] = (
        Field(
            default=True, description="off: answers are passed on unread, and no tokens are known."
        )
    )
    ledger: Ledger = Field(default=Ledger(), description="Where the rows are kept.")
    log: Log = Field(default=Log(), description="What is written to stderr.")

    @property
    def default_upstream(self) -> Upstream | None:
        """The upstream of requests that name none: the default route's, else the first."""
        names = self.routing.default.to
        wanted = (up for up in self.upstreams if not names or up.name == names[0])
        return next(wanted, None)

    def secrets(self) -> set[str]:
        """Return the secrets of all upstreams, for redaction by value."""
        return set().union(*(upstream.secrets() for upstream in self.upstreams))
