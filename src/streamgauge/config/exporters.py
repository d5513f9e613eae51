"""The `exporters` section: where finished rows are sent on to (SPEC §16). Knows no protocol."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from streamgauge.config.expand import Expanded
from streamgauge.config.fields import (
    RESTART,
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
from streamgauge.config.headers import check_headers, header_secrets

__all__ = ["Exporters", "Influxdb", "Otlp"]

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


def _url(url: str) -> str:
    if re.search(r"\s", url) or not url.isascii():
        raise refuse("must be a URL in ASCII without white space")
    try:
        parts = urlsplit(url)
        is_there = parts.port != 0
    except ValueError:
        is_there = False
        parts = urlsplit("")
    if "@" in parts.netloc:
        raise refuse("must hold no user name or password; there are keys for these")
    if "?" in url or "#" in url:
        raise refuse("must hold no query and no fragment")
    known = parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.hostname or "")
    if not is_there or not known:
        raise refuse("must be an http or https URL with a host, such as http://127.0.0.1:8086")
    return url.rstrip("/")


def _version(value: Any) -> Any:
    if isinstance(value, Expanded) and value.strip() in {"1", "2", "3"}:
        return int(value)
    return value


def _has_exporter() -> bool:
    try:
        return find_spec("opentelemetry.proto") is not None
    except ModuleNotFoundError:
        return False


def _nothing(value: Any) -> Any:
    """An empty text or mapping asks for nothing, as it did before exporters were served."""
    return None if value == "" or value == {} else value


Url = Annotated[Text, AfterValidator(_url)]
_URL_SHAPE: dict[str, Any] = {"pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"}
_Batch = Annotated[Count, Field(ge=1, le=10_000)]
_Flush = Annotated[Seconds, Field(gt=0, le=3600)]


class Influxdb(Section):
    """An InfluxDB that gets a point for each row."""

    url: Url = Field(description="Where it listens.", json_schema_extra=_URL_SHAPE)
    version: Annotated[Literal[1, 2, 3], BeforeValidator(_version)] = Field(
        default=1, description="Which API: 1 (/write), 2 (/api/v2/write) or 3 (/api/v3/write_lp)."
    )
    database: OptionalText = Field(default=None, description="With version 1 and 3: where to.")
    bucket: OptionalText = Field(default=None, description="With version 2: where to.")
    org: OptionalText = Field(default=None, description="With version 2: whose the bucket is.")
    token: Annotated[SecretStr | None, Secret] = Field(default=None, description="An API token.")
    username: OptionalText = Field(default=None, description="With version 1, instead of a token.")
    password: Annotated[SecretStr | None, Secret] = Field(
        default=None, description="The user's password."
    )
    measurement: Text = Field(default="llm_request", description="Name of the points.")
    batch: _Batch = Field(default=500, description="Most points in a request.")
    flush_seconds: _Flush = Field(default=5, description="How long points wait for a full batch.")

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        key = "bucket" if self.version == 2 else "database"
        if getattr(self, key) is None:
            raise refuse(f"needs {key} with version {self.version}")
        return self

    @property
    def place(self) -> str:
        """The destination, without secrets: another one begins with the first row."""
        where = self.bucket if self.version == 2 else self.database
        return f"influxdb {self.url} v{self.version} {self.org or ''}/{where}/{self.measurement}"


def _not_in_the_file(schema: dict[str, Any]) -> None:
    """A file may leave `url` to the environment."""
    schema.pop("required", None)


class Otlp(Section):
    """A receiver of OpenTelemetry's protocol over HTTP."""

    model_config = ConfigDict(json_schema_extra=_not_in_the_file)

    url: Url = Field(
        description="Where it listens, without /v1/traces. Left out: the variables "
        "OTEL_EXPORTER_OTLP_ENDPOINT and _HEADERS; docs/exports.md.",
        json_schema_extra=_URL_SHAPE,
    )
    headers: Annotated[dict[Text, SecretStr], AfterValidator(check_headers)] = Field(
        default_factory=dict, description="Headers added to every request."
    )
    traces: Switch = Field(default=True, description="Send a span for each row.")
    metrics: Switch = Field(default=True, description="Send metrics of all rows.")
    batch: _Batch = Field(default=500, description="Most spans in a request.")
    flush_seconds: _Flush = Field(default=5, description="How long spans wait for a full batch.")

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        if not (self.traces or self.metrics):
            raise refuse("must have traces or metrics")
        if not _has_exporter():
            raise refuse("needs the extra: pip install 'streamgauge[otel]'")
        return self

    @property
    def place(self) -> str:
        """The destination, without secrets: another one begins with the first row."""
        return f"otlp {self.url}"


class Exporters(Section):
    """Where finished rows are sent on to, beside `/metrics`."""

    influxdb: Annotated[Influxdb | None, BeforeValidator(_nothing)] = Field(
        default=None, description="InfluxDB 1, 2 or 3.", json_schema_extra=RESTART
    )
    otlp: Annotated[Otlp | None, BeforeValidator(_nothing)] = Field(
        default=None, description="OpenTelemetry over HTTP.", json_schema_extra=RESTART
    )

    def secrets(self) -> set[str]:
        """Return the tokens, passwords and headers, for redaction by value."""
        found: set[str] = set()
        if self.influxdb is not None:
            secrets = (self.influxdb.token, self.influxdb.password)
            found |= {secret.get_secret_value() for secret in secrets if secret is not None}
        if self.otlp is not None:
            found |= header_secrets(self.otlp.headers)
        return redactable(found)
