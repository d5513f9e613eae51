"""The one frozen model of the configuration. Knows no file and no environment (SPEC §2.4)."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from streamgauge.config.capture import Capture
from streamgauge.config.expand import Expanded
from streamgauge.config.exporters import Exporters
from streamgauge.config.fields import (
    RESTART,
    Count,
    Off,
    Section,
    Switch,
    Text,
    redactable,
    refuse,
)
from streamgauge.config.keys import Keys
from streamgauge.config.listeners import Control, Server
from streamgauge.config.price_entry import PriceEntry
from streamgauge.config.routing import DefaultRoute, Routing
from streamgauge.config.sessions import Sessions
from streamgauge.config.upstream import Upstream
from streamgauge.core.integrity import Integrity

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
    "ledger_url_fault",
]

_SQLITE = "sqlite:///"


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
    """`auto` is logfmt on a terminal, JSON otherwise; `pretty` and `compact` are for people."""

    AUTO = "auto"
    LOGFMT = "logfmt"
    JSON = "json"
    PRETTY = "pretty"
    COMPACT = "compact"


class LogLevel(StrEnum):
    """The least important lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def ledger_url_fault(url: str) -> str | None:
    """Return why no ledger is served at `url`, or None. It may hold a password and is not repeated."""
    if re.match(r"(?i)postgres(ql)?:", url):
        return "PostgreSQL is not served yet; must be sqlite:///FILE"
    path = url.removeprefix(_SQLITE)
    if path == url or not path.strip("/") or path.endswith("/") or ":memory:" in path:
        return "must be sqlite:///FILE, with one more slash for an absolute path"
    return "must hold no query and no fragment" if re.search(r"[?#]", path) else None


def _ledger_url(url: str) -> str:
    if (fault := ledger_url_fault(url)) is not None:
        raise refuse(fault)
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


def _no_content(on: bool) -> bool:
    if on:
        raise refuse("keeping contents is not served yet; must be false")
    return on


class Ledger(Section):
    """Where the rows are kept."""

    url: Annotated[Text, AfterValidator(_ledger_url)] = Field(
        default="sqlite:///streamgauge.db",
        description="sqlite:///FILE, relative to where serve starts.",
        json_schema_extra=RESTART,
    )
    begin: Begin = Field(
        default=Begin.BEFORE_UPSTREAM,
        description="async does not wait for the row before the call.",
    )
    content: Annotated[Switch, AfterValidator(_no_content), WithJsonSchema({"enum": [False]})] = (
        Field(default=False, description="Only false is served: prompts and answers are not kept.")
    )
    retention_days: Annotated[Count, Field(le=36_500)] = Field(
        default=0, description="Closed rows older than this are deleted; 0 keeps all."
    )
    spool_mb: Annotated[Count, Field(ge=1, le=65_536)] = Field(
        default=64,
        description="Size of the file that takes rows while the database cannot, in MiB.",
        json_schema_extra=RESTART,
    )

    @property
    def path(self) -> str:
        """The database file, as the URL names it."""
        return self.url.removeprefix(_SQLITE)


class Log(Section):
    """What is written to stderr."""

    format: LogFormat = Field(
        default=LogFormat.AUTO,
        description="auto, logfmt, json, pretty or compact; auto is logfmt on a terminal, else json.",
        json_schema_extra=RESTART,
    )
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
        default=Metadata.COMMENT,
        description="How clients are told the numbers of their answer: not at all, in an SSE "
        "comment, in a chunk or event of the dialect, or behind its end marker.",
    )
    integrity: Annotated[Integrity, Off] = Field(
        default=Integrity.LEDGER,
        description="How streams are proved: not at all, by a hash in the row, by a stamp in a comment "
        "before each frame, or in each frame; see docs/integrity.md.",
    )
    metering: Annotated[
        bool,
        BeforeValidator(_metering_checked),
        BeforeValidator(_metering),
        WithJsonSchema({"enum": ["on", "off", True, False]}),
    ] = Field(
        default=True,
        description="off: answers are passed on unread, and no tokens are known; translated ones are read.",
    )
    keys: Keys = Field(default=Keys(), description="Client keys; see docs/keys.md.")
    sessions: Sessions = Field(
        default=Sessions(), description="Streams of one session; see docs/sessions.md."
    )
    ledger: Ledger = Field(default=Ledger(), description="Where the rows are kept.")
    capture: Capture = Field(
        default=Capture(), description="Whose bytes are kept in files; see docs/capture.md."
    )
    exporters: Exporters = Field(
        default=Exporters(), description="Where finished rows are sent on to; see docs/exports.md."
    )
    log: Log = Field(default=Log(), description="What is written to stderr.")

    @property
    def default_upstream(self) -> Upstream | None:
        """The upstream of requests that name none: the default route's, else the first."""
        names = [item.partition("/")[0] for item in self.routing.default.to]
        wanted = (up for up in self.upstreams if not names or up.name == names[0])
        return next(wanted, None)

    def secrets(self) -> set[str]:
        """Return the admin token and the secrets of all upstreams, for redaction by value."""
        found = redactable([self.control.token.get_secret_value()] if self.control.token else [])
        found |= self.exporters.secrets()
        return found.union(*(upstream.secrets() for upstream in self.upstreams))
