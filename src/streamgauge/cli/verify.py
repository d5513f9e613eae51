"""`streamgauge verify`: is a captured or saved stream what was sent? Reads files, knows no gateway."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

if TYPE_CHECKING:
    from streamgauge.core.grammar import Finding, StreamChecker
    from streamgauge.tools.capture.proof import Proof

__all__ = ["verify"]

_PIECE = 1 << 20
_GRAMMARS = ("openai", "anthropic", "simple", "frames")
_PROTOCOLS = ("openai", "anthropic", "responses", "simple", "frames")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--grammar",
    type=click.Choice(_GRAMMARS),
    help="Of a saved body check this grammar and nothing else; of a capture, it too.",
)
@click.option("--strict", is_flag=True, help="With --grammar: also what is odd, but seen for real.")
@click.option("--protocol", type=click.Choice(_PROTOCOLS), help="What a saved body is, if unclear.")
@click.option("--ledger", metavar="URL|FILE", help="Hold it against the row in this ledger.")
@click.option("--id", "row_id", metavar="ID", help="The row's id; a capture knows its own.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding, then a summary.")
@click.argument("file", type=click.File("rb"))
def verify(
    grammar: str | None,
    strict: bool,
    protocol: str | None,
    ledger: str | None,
    row_id: str | None,
    as_json: bool,
    file: BinaryIO,
) -> None:
    """Check a capture, or a saved response body; FILE - is the standard input.

    Of a capture: is what the client was sent contiguous, unaltered and complete? Of a body (save it
    with `curl -N … > FILE`): do its stamps fit, has it an end, is its grammar legal? Each finding
    has the frame's number, the byte at which it begins, what is wrong and what was there. Exit code
    0: nothing is wrong; 1: something is. docs/capture.md, docs/grammar.md.
    """
    from streamgauge.tools.capture.proof import Unreadable
    from streamgauge.tools.capture.reading import CaptureError, is_capture

    if row_id is not None and ledger is None:
        raise click.UsageError("--id needs --ledger: the row that it names is there")
    if strict and grammar is None:
        raise click.UsageError("--strict needs --grammar: it is about what a grammar finds odd")
    head = file.read(256)
    if not head and grammar is None:
        raise click.ClickException("it is empty: there is no stream to verify")
    whole = _put_back(head, file)
    captured = is_capture(head)
    if grammar is not None and not captured:
        _check_grammar(grammar, strict, as_json, whole)
        return
    try:
        proof = _prove(captured, whole, grammar, protocol, ledger, row_id)
    except (CaptureError, Unreadable) as error:
        raise click.ClickException(str(error)) from error
    _tell(proof, as_json)
    if not proof.holds:
        raise SystemExit(1)


def _prove(
    captured: bool,
    file: BinaryIO,
    grammar: str | None,
    protocol: str | None,
    ledger: str | None,
    row_id: str | None,
) -> Proof:
    from streamgauge.tools.capture.proof import prove_body, prove_capture
    from streamgauge.tools.capture.reading import CaptureReader

    if not captured:
        if ledger is not None and row_id is None:
            raise click.UsageError("--ledger needs --id: a saved body does not say whose it is")
        row = None if ledger is None else _row(ledger, str(row_id))
        return prove_body(file, protocol, row)
    reader = CaptureReader(file)
    row = None if ledger is None else _row(ledger, row_id or reader.opening.id)
    return prove_capture(reader, row, grammar)


def _row(ledger: str, row_id: str) -> dict[str, Any]:
    from streamgauge.cli.ledger_option import reading
    from streamgauge.ledger.location import sqlite_path

    try:
        path = Path(sqlite_path(ledger))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--ledger") from None
    with reading(path) as reader:
        found = reader.exchange(row_id)
    if found is None:
        raise click.ClickException(f"no exchange {row_id!r} in {ledger}")
    return found[0]


def _tell(proof: Proof, as_json: bool) -> None:
    for finding in proof.findings:
        if as_json:
            fields = {"kind": finding.kind.value, "seq": finding.seq, "offset": finding.offset}
            click.echo(json.dumps({**fields, "text": finding.text}))
        else:
            click.echo(str(finding))
    for fault in proof.faults:
        click.echo(_as_json(fault) if as_json else str(fault))
    count = len(proof.findings) + len(proof.faults)
    if as_json:
        summary = {"protocol": proof.protocol, "witness": proof.witness, "frames": proof.frames}
        told = {"holds": proof.holds, "findings": count, "notes": proof.notes, "id": proof.id}
        click.echo(json.dumps({**summary, **told}))
        return
    for note in proof.notes:
        click.echo(f"note: {note}")
    verdict = "holds" if proof.holds else "does not hold"
    frames = _many(proof.frames, "frame")
    click.echo(
        f"{proof.protocol}: {verdict} by {proof.witness}, {frames}, {_many(count, 'finding')}"
    )


class _Front(io.RawIOBase):
    """A file whose first bytes were read already."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head = head
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] or self._file.read(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def _put_back(head: bytes, file: BinaryIO) -> BinaryIO:
    return io.BufferedReader(_Front(head, file), _PIECE)


# --- grammar alone ---------------------------------------------------------------------------------


def _check_grammar(grammar: str, strict: bool, as_json: bool, file: BinaryIO) -> None:
    from streamgauge.core.grammar import Level, checker_of

    checker = checker_of(grammar)
    counts: Counter[Level] = Counter()
    for finding in _findings(checker, file):
        counts[finding.level] += 1
        if strict or finding.level is Level.ERROR:
            click.echo(_as_json(finding) if as_json else str(finding))
    errors, oddities = counts[Level.ERROR], counts[Level.ODDITY]
    legal = not errors and not (strict and oddities)
    click.echo(_summary(grammar, checker.frames, errors, oddities, legal, as_json))
    if not legal:
        raise SystemExit(1)


def _findings(checker: StreamChecker, file: BinaryIO) -> Iterator[Finding]:
    while piece := file.read(_PIECE):
        yield from checker.feed(piece)
    yield from checker.end()


def _as_json(finding: Finding) -> str:
    fields = ("rule", "level", "frame", "offset", "text")
    return json.dumps({name: getattr(finding, name) for name in fields})


def _summary(
    grammar: str, frames: int, errors: int, oddities: int, legal: bool, as_json: bool
) -> str:
    if as_json:
        counts = {"frames": frames, "errors": errors, "oddities": oddities}
        return json.dumps({"grammar": grammar, "legal": legal, **counts})
    verdict = "legal" if legal else "not legal"
    told = f"{grammar}: {verdict}, {_many(frames, 'frame')}, {_many(errors, 'error')}"
    return f"{told}, {_many(oddities, 'oddity', 'oddities')}"


def _many(count: int, one: str, several: str | None = None) -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
