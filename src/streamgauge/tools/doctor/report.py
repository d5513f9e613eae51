"""What an examination has to say: findings, what was measured and well, what was left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamgauge.tools.doctor.catalogue import CATALOGUE, Proxy, Severity

__all__ = ["Finding", "Progress", "Remark", "Report"]

Progress = Callable[[str], None]
"""Told what is asked next, in words."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `subject`: with whom. `figures`: the numbers, units in the names."""

    id: str
    subject: str
    measured: str
    cure: str
    figures: Mapping[str, float | int | None] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return CATALOGUE[self.id].severity


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was found well, or was not looked at."""

    subject: str
    text: str
    figures: Mapping[str, float | int | None] = field(default_factory=dict)


class Report:
    """Collects; nothing is taken back. A finding's id is one of the catalogue's."""

    def __init__(self, progress: Progress = lambda _: None) -> None:
        self.findings: list[Finding] = []
        self.well: list[Remark] = []
        self.left_out: list[Remark] = []
        self.progress = progress

    def __repr__(self) -> str:
        return f"<Report findings={[finding.id for finding in self.findings]}>"

    def find(
        self,
        id: str,
        subject: str,
        measured: str,
        proxy: Proxy | None = None,
        **figures: float | int | None,
    ) -> None:
        """Note that something is wrong; `proxy`: who has to be cured of it, where that is known."""
        cure = CATALOGUE[id].cure_at(proxy)
        self.findings.append(Finding(id, subject, measured, cure, figures))

    def note(self, subject: str, text: str, **figures: float | int | None) -> None:
        """Note that something was looked at and is well."""
        self.well.append(Remark(subject, text, figures))

    def leave_out(self, subject: str, why: str) -> None:
        """Note that something was not looked at."""
        self.left_out.append(Remark(subject, why))

    def as_plain(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "findings": [
                {
                    "id": one.id,
                    "severity": str(one.severity),
                    "subject": one.subject,
                    "measured": one.measured,
                    "figures": dict(one.figures),
                    "cure": one.cure,
                }
                for one in self.findings
            ],
            "well": [_plain(remark) for remark in self.well],
            "left_out": [_plain(remark) for remark in self.left_out],
        }


def _plain(remark: Remark) -> dict[str, Any]:
    return {
        "subject": remark.subject,
        "measured": remark.text,
        "figures": dict(remark.figures),
    }
