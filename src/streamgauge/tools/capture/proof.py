"""Says whether a captured or saved stream is contiguous, unaltered and complete (SPEC §12.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from streamgauge.core.grammar import Finding as Fault
from streamgauge.core.grammar import Level, StreamChecker, checker_of
from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_check import Check, Expected, Finding, Kind
from streamgauge.core.integrity_text import protocol_of
from streamgauge.gateway.capture.format import Closing, Line, Opening, Side, Way
from streamgauge.tools.capture.document import is_document, prove_document, prove_size
from streamgauge.tools.capture.reading import CaptureReader, Message, message_of

__all__ = ["GRAMMARS", "Proof", "Unreadable", "prove_body", "prove_capture", "prove_lines"]

GRAMMARS = ("openai", "anthropic", "simple", "frames")
"""Protocols whose grammar is checked too."""
_PIECE = 1 << 20
_HEAD = 64 * 1024
"""Bytes in which the protocol of a saved body must show itself."""
_DOCUMENT = 32 << 20
"""No answer that is no stream is larger (SPEC §4.7)."""
_STAMPED = frozenset({Integrity.COMMENT, Integrity.FIELD})
_HIDDEN_BY_MASKS = frozenset({Kind.ALTERED, Kind.LENGTH, Kind.UNSTAMPED})


class Unreadable(Exception):
    """What was given is no stream of a known protocol. The message says so."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found. `frames`: of the stream. `witness`: what it was held against.

    `faults`: errors of grammar, where that was looked at. `notes`: what could not be proved, and is
    no fault. `id`: the exchange, where a capture names it.
    """

    protocol: str
    witness: str
    frames: int
    findings: tuple[Finding, ...]
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    id: str | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings and not self.faults


@dataclass(slots=True)
class _Grammar:
    """Checks the grammar beside, where there is a checker."""

    checker: StreamChecker | None
    errors: list[Fault] = field(default_factory=list)

    def feed(self, data: bytes) -> None:
        if self.checker is not None:
            self._keep(self.checker.feed(data))

    def end(self) -> tuple[Fault, ...]:
        if self.checker is not None:
            self._keep(self.checker.end())
        return tuple(self.errors)

    def _keep(self, found: Iterable[Fault]) -> None:
        self.errors += [fault for fault in found if fault.level is Level.ERROR]


def prove_body(file: BinaryIO, protocol: str | None, row: Mapping[str, Any] | None = None) -> Proof:
    """Check a saved response body, its grammar included.

    `protocol` None: it is found out. `row`: of the ledger, as witness. Raises Unreadable.
    """
    head = file.read(_HEAD)
    if protocol is None and is_document(head):
        return _prove_document(head + file.read(_DOCUMENT), row)
    name = protocol if protocol is not None else protocol_of(head)
    if name is None:
        raise Unreadable("this looks like no stream of a known protocol; name it with --protocol")
    known = None
    if row is not None:
        known = Expected(row.get("frames_out"), row.get("stream_sha1"), stream_id=row.get("id"))
    check = Check(name, None, known)
    grammar = _Grammar(checker_of(name) if name in GRAMMARS else None)
    piece = head
    while piece:
        check.feed(piece)
        grammar.feed(piece)
        piece = file.read(_PIECE)
    findings = check.findings()
    notes = []
    if not check.stamps and known is None:
        notes.append("no stamps: a frame that was altered or left out may not show")
    if check.strange:
        notes.append("some stamps are of another stream than the row's, and were passed over")
    witness = "stamps" if check.stamps else "row" if known is not None else "grammar"
    # What the gateway was told to add is no harm done to the stream, though no client's grammar has it.
    faults = tuple(fault for fault in grammar.end() if fault.offset != check.record_at)
    return Proof(name, witness, check.frames, findings, faults, tuple(notes))


def _prove_document(body: bytes, row: Mapping[str, Any] | None) -> Proof:
    note = "one JSON document, no stream: a change that left it whole may not show"
    witness = "json" if row is None else "row"
    return Proof("whole", witness, 1, prove_document(body, row), notes=(note,))


def prove_capture(
    reader: CaptureReader, row: Mapping[str, Any] | None = None, grammar: str | None = None
) -> Proof:
    """Check what a captured client was sent. `row`: of the ledger, where it is to be the witness.

    `grammar`: the protocol whose grammar is to hold too: what an upstream sent wrong is passed on
    as it came, and is no fault of the capture. Raises CaptureError.
    """
    lines = [line for line in reader.lines() if line.side is Side.CLIENT and line.dir is Way.OUT]
    return prove_lines(reader.opening, lines, reader.closing, row, grammar)


def prove_lines(
    opening: Opening,
    lines: list[Line],
    closing: Closing | None,
    row: Mapping[str, Any] | None = None,
    grammar: str | None = None,
) -> Proof:
    """Check the lines of what a client was sent."""
    told = message_of(lines, Side.CLIENT, Way.OUT)
    findings = [] if closing is not None and closing.complete else [_hole(closing)]
    masked = frozenset(() if closing is None else closing.masked)
    notes = tuple(f"seq {seq}: something is masked there, and not proved" for seq in sorted(masked))
    protocol = opening.protocol if _is_stream(told) else None
    if protocol is None:
        findings += _prove_whole(told.body, closing, row)
        frames, witness = int(told.head is not None), "row" if masked else "sha1"
        return Proof("whole", witness, frames, tuple(findings), notes=notes, id=opening.id)
    mode = Integrity(opening.integrity)
    by_text = protocol == "frames" or mode is Integrity.FIELD
    expected = _expected(closing, row, by_text)
    check = Check(protocol, mode, expected, stream_id=opening.id)
    checker = _Grammar(checker_of(grammar) if grammar is not None else None)
    again = _by_hashes(protocol, mode, closing, row)
    for _, piece in told.pieces:
        check.feed(piece)
        checker.feed(piece)
        if again is not None:
            again.feed(piece)
    findings += [one for one in check.findings() if not _is_hidden(one, masked)]
    more = () if again is None else again.findings()
    found = _together(findings, [one for one in more if not _is_hidden(one, masked)])
    return Proof(protocol, mode.value, check.frames, found, checker.end(), notes, opening.id)


def _hole(closing: Closing | None) -> Finding:
    why = "has no closing line" if closing is None else f"lacks {closing.dropped} lines"
    return Finding(Kind.INCOMPLETE, 1, 0, f"the capture {why}")


def _is_stream(told: Message) -> bool:
    kind = told.header("content-type") or ""
    return kind.startswith(("text/event-stream", "application/x-ndjson"))


def _expected(closing: Closing | None, row: Mapping[str, Any] | None, by_text: bool) -> Expected:
    """Return what is known of the stream: the row's numbers, and where it has none the capture's.

    `by_text`: the hash is over texts, which the capture has none of.
    """
    if closing is None:
        known = row or {}
        return Expected(known.get("frames_out"), known.get("stream_sha1"))
    known = closing.row if row is None else row
    frames, whole = known.get("frames_out"), known.get("stream_sha1")
    if closing.masked:
        whole = None
    elif whole is None and not by_text:
        whole = closing.stream_sha1
    return Expected(closing.frames if frames is None else frames, whole, closing.sha1s)


def _by_hashes(
    protocol: str, mode: Integrity, closing: Closing | None, row: Mapping[str, Any] | None
) -> Check | None:
    """Return a second check where stamps do not cover all: `[DONE]`, and what is beside the text."""
    if closing is None or (protocol != "frames" and mode not in _STAMPED):
        return None
    whole = None if closing.masked else closing.stream_sha1
    # The row counts our record behind the end marker too; the capture counts what has a number.
    frames = _expected(closing, row, by_text=True).frames_out
    expected = Expected(frames, whole, closing.sha1s)
    return Check(protocol, Integrity.LEDGER, expected, own_stamps=False)


def _together(findings: list[Finding], more: list[Finding]) -> tuple[Finding, ...]:
    """Return what both checks found by its place, the cause before what follows from it."""
    seqs = {one.seq for one in findings}
    places = {(one.kind, one.offset) for one in findings}
    new = [one for one in more if one.seq not in seqs and (one.kind, one.offset) not in places]
    return tuple(sorted([*findings, *new], key=lambda one: one.offset))


def _is_hidden(finding: Finding, masked: frozenset[int]) -> bool:
    """A mask changes what a stamp was made of, in its frame, and in the totals behind it."""
    if finding.kind is Kind.TOTALS:
        return bool(masked)
    return finding.seq in masked and finding.kind in _HIDDEN_BY_MASKS


def _prove_whole(
    body: bytes, closing: Closing | None, row: Mapping[str, Any] | None
) -> Sequence[Finding]:
    """Return what is wrong with an answer that is no stream. What masks hide still has its size."""
    if closing is None:
        return ()
    known = closing.sha1s[0] if closing.sha1s else None
    sha1 = hashlib.sha1(body, usedforsecurity=False).hexdigest()[:12]
    if known not in (None, sha1):
        return (Finding(Kind.ALTERED, 1, 0, f"sha1 {known}, what is there has {sha1}"),)
    return prove_size(body, closing.row if row is None else row)
