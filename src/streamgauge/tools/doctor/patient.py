"""An upstream under examination: where it is, how it is asked, what is noted of it. Judges nothing."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.config.upstream import Kind
from streamgauge.core.refusal import redacted
from streamgauge.gateway.upstreams import UpstreamRuntime
from streamgauge.tools.doctor.address import Address
from streamgauge.tools.doctor.report import Report

__all__ = ["Patient"]

_VERSION = ((b"anthropic-version", b"2023-06-01"),)


@dataclass(frozen=True, slots=True)
class Patient:
    """One upstream, and the report on it."""

    runtime: UpstreamRuntime
    report: Report

    @property
    def subject(self) -> str:
        """How it is called in the report."""
        return f"upstream {self.runtime.name}"

    @property
    def address(self) -> Address:
        """Where it is."""
        return Address.of_upstream(self.runtime)

    @property
    def kind(self) -> Kind:
        """What software answers there."""
        return self.runtime.config.kind

    def path(self, path: str) -> str:
        """Return `path` with what the base URL has before it."""
        return self.runtime.config.path_prefix + path

    def request(self, path: str, body: bytes = b"") -> bytes:
        """Return a request as the gateway writes it, with the upstream's own key."""
        client = _VERSION if self.kind is Kind.ANTHROPIC else ()
        return self.runtime.request("POST" if body else "GET", path, body, client=client)

    def find(self, id: str, measured: str, **figures: float | int | None) -> None:
        """Note a finding; the upstream's secrets are cut out of what it said."""
        shown = redacted(measured, self.runtime.secrets)
        self.report.find(id, self.subject, shown, None, **figures)

    def note(self, text: str, **figures: float | int | None) -> None:
        """Note what is well."""
        self.report.note(self.subject, text, **figures)
