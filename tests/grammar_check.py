"""One call that says whether a stream is legal, for every test that has one in hand."""

from __future__ import annotations

from collections.abc import Collection

from streamgauge.core.grammar import Finding, Level, check

__all__ = ["OURS", "faults_of", "legal"]

OURS = frozenset({"calls_overlap"})
"""The oddities that our own encoders are allowed: parallel calls may overlap (SPEC §13.4)."""


def faults_of(protocol: str, body: bytes, odd: Collection[str] | None = None) -> list[Finding]:
    """Return what is illegal in `body`, and with `odd` every oddity that it does not name too."""
    return [
        finding
        for finding in check(protocol, body)
        if finding.level is Level.ERROR or (odd is not None and finding.rule not in odd)
    ]


def legal(protocol: str, body: bytes, odd: Collection[str] | None = None) -> None:
    """Fail where `body` is no legal stream of `protocol`: openai, anthropic, simple or frames.

    `odd`: for streams that we made ourselves, the oddities that may be there (`OURS`); no other may.
    None lets every oddity pass, as for an upstream's own stream.
    """
    faults = faults_of(protocol, body, odd)
    told = "\n".join(str(finding) for finding in faults)
    assert not faults, f"no legal {protocol} stream:\n{told}\n{body[-2000:]!r}"
