"""The `upstreams` section: one model server each. Knows nothing of what is sent to it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from streamgauge.config.expand import Expanded
from streamgauge.config.fields import (
    Count,
    OptionalText,
    Seconds,
    Secret,
    Section,
    Switch,
    Text,
    redactable,
    refuse,
)
from streamgauge.config.globs import Glob
from streamgauge.config.headers import check_forwarded, check_headers, header_secrets
from streamgauge.config.transformers import Transformers

__all__ = [
    "DrainBounds",
    "Kind",
    "OnDisconnect",
    "Origin",
    "Timeouts",
    "Tls",
    "Upstream",
]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,255}")
_PORTS = {"http": 80, "https": 443}


class Kind(StrEnum):
    """What software answers at the upstream."""

    LLAMACPP = "llamacpp"
    OLLAMA = "ollama"
    VLLM = "vllm"
    OPENAI = "openai"
    OPENROUTER = "openrouter"
    ANTHROPIC = "anthropic"
    SIM = "sim"


class OnDisconnect(StrEnum):
    """What happens to the upstream's answer when the client leaves (SPEC §11.1)."""

    AUTO = "auto"
    CANCEL = "cancel"
    DRAIN = "drain"


class Origin(NamedTuple):
    """Where to connect: `scheme` http or https, `host` without brackets, `port`."""

    scheme: str
    host: str
    port: int


class DrainBounds(Section):
    """How far an answer is read on after its client has left (SPEC §11.1)."""

    max_seconds: Seconds = Field(default=30, description="Longest drain of one stream, in seconds.")
    max_tokens: Count = Field(default=2000, description="Most output tokens read in one drain.")
    max_streams: Count = Field(
        default=100, description="Most streams of this upstream drained at once."
    )


class Tls(Section):
    """How the upstream's certificate is checked, and what is shown to it."""

    ca_file: OptionalText = Field(
        default=None, description="PEM file of authorities trusted instead."
    )
    client_cert: OptionalText = Field(default=None, description="PEM file of our own certificate.")
    client_key: OptionalText = Field(default=None, description="PEM file of its key.")
    verify: Switch = Field(
        default=True, description="false accepts any certificate: for tests only."
    )


class Timeouts(Section):
    """Deadlines of one call in seconds; 0 is none (SPEC §2.5)."""

    connect: Seconds = Field(default=10, description="Until the connection and its TLS stand.")
    first_token: Seconds = Field(default=300, description="From the request to the first content.")
    idle: Seconds = Field(
        default=90, description="Between frames that are no keep-alive, afterwards."
    )
    total: Seconds = Field(default=0, description="The whole call.")


def _split_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refuse("must be a URL such as http://127.0.0.1:8080") from None
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or port == 0:
        raise refuse("must be an http or https URL with a host, such as http://127.0.0.1:8080")
    return parts


def _base_url(url: str) -> str:
    if re.search(r"\s", url) or not url.isascii():
        raise refuse("must be a URL in ASCII without white space")
    parts = _split_url(url)
    if "@" in parts.netloc:
        raise refuse("must hold no user name or password; use api_key or headers")
    if "?" in url or "#" in url:
        raise refuse("must hold no query and no fragment")
    return url.rstrip("/")


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise refuse("must be 1 to 64 letters, digits, '.', '_' or '-'")
    if name in {".", ".."}:  # clients of the admin API take these out of a path before they ask
        raise refuse("must not be '.' or '..', which no URL can name; add a letter or a digit")
    return name


def _inject_usage(value: object) -> object:
    if isinstance(value, Expanded) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    if isinstance(value, (bool, str)):
        return value
    raise refuse("must be true, false or force")


class Upstream(Section):
    """One model server."""

    name: Annotated[Text, AfterValidator(_name)] = Field(
        description="Unique name, used in routes, rows and metrics."
    )
    kind: Kind = Field(description="What software answers there.")
    base_url: Annotated[Text, AfterValidator(_base_url)] = Field(
        description="Where it listens, with or without a trailing /v1.",
        json_schema_extra={"pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"},
    )
    api_key: Annotated[SecretStr | None, Secret] = Field(
        default=None, description="Its key; write ${NAME} or file:/path."
    )
    pass_through_auth: Switch = Field(
        default=False, description="true sends the client's own key on to this upstream."
    )
    headers: Annotated[dict[Text, SecretStr], AfterValidator(check_headers)] = Field(
        default_factory=dict, description="Headers added to every request."
    )
    forward_headers: Annotated[tuple[Text, ...], AfterValidator(check_forwarded)] = Field(
        default=(), description="Request headers of the client that are sent on, beyond the usual."
    )
    expose: tuple[Literal["/", "/props", "/slots"], ...] = Field(
        default=(), description="Pages of the upstream that clients may read."
    )
    models: tuple[Glob, ...] = Field(
        default=(), description="Globs of the models it serves; empty asks the upstream."
    )
    messages_api: Literal["translate", "native"] = Field(
        default="translate",
        description="How Anthropic clients reach llamacpp, ollama and vllm: translated to their "
        "own chat API, which tells more; native sends /v1/messages as it is.",
    )
    transformers: Transformers = Field(
        default=(),
        description="What is changed in requests and answers, in this order: names, or one name "
        "with its parameters (docs/transformers.md).",
    )
    on_disconnect: OnDisconnect = Field(
        default=OnDisconnect.AUTO, description="When the client leaves: cancel, drain, or auto."
    )
    drain: DrainBounds = Field(default=DrainBounds(), description="Bounds of a drain.")
    inject_usage: Annotated[Literal[True, False, "force"], BeforeValidator(_inject_usage)] = Field(
        default=True, description="Ask for usage in streams; force: also if the client refused it."
    )
    running_usage: Switch = Field(
        default=False, description="Ask for running counts, which stay exact when a stream is cut."
    )
    tls: Tls = Field(default=Tls(), description="TLS towards the upstream.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Deadlines of a call.")

    @property
    def origin(self) -> Origin:
        """Where to connect."""
        parts = urlsplit(self.base_url)
        return Origin(parts.scheme, str(parts.hostname), parts.port or _PORTS[parts.scheme])

    @property
    def path_prefix(self) -> str:
        """What stands before `/v1/…` in every path: empty, or `/api`, without a final slash."""
        return urlsplit(self.base_url).path.rstrip("/").removesuffix("/v1").rstrip("/")

    def secrets(self) -> set[str]:
        """Return the texts that must be cut out of logs, captures and errors by value."""
        found = {self.api_key.get_secret_value()} if self.api_key else set()
        found |= header_secrets(self.headers)
        return redactable(found)
