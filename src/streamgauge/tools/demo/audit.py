"""Balances ledger rows against the simulator's journal (SPEC §18.2). Knows no socket and no file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.core.record import Status
from streamgauge.core.usage import TokenUsage
from streamgauge.tools.simulator import Ending, Entry

__all__ = ["Audit", "Row", "audit", "call_id_of", "count_text"]

Row = Mapping[str, Any]
"""A row of `requests` by SPEC §8.3's names."""

_PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Audit:
    """Both books side by side. Sums are over the exchanges whose row is `provider`.

    A sum is None when one of its counts is unknown. `faults`: why the books do not balance.
    """

    requests: int
    rows: int
    booked: TokenUsage
    simulator: TokenUsage
    faults: tuple[str, ...]

    @property
    def balanced(self) -> bool:
        """Whether nothing is wrong, exchange by exchange, not only in the sums."""
        return not self.faults

    @property
    def line(self) -> str:
        """The audit line of SPEC §18.2."""
        return (
            f"audit requests={self.requests} rows={self.rows} booked={_shown(self.booked)} "
            f"simulator={_shown(self.simulator)} balanced={'yes' if self.balanced else 'no'}"
        )


def audit(sent: Sequence[str], rows: Sequence[Row], journal: Sequence[Entry]) -> Audit:
    """Return the audit of a run: the call ids its clients `sent`, its rows, its journal entries.

    Each request must have one closed row and at most one call; a provider row must state what the
    simulator stated, and any other output must not exceed what the simulator flushed.
    """
    calls = {entry.call_id: entry for entry in journal}
    pairs = [(row, calls.get(call_id_of(row))) for row in rows]
    exact = [(row, entry) for row, entry in pairs if row["usage_source"] == _PROVIDER]
    faults = [*_unpaired(sent, rows, journal)]
    for row, entry in pairs:
        faults += _unlike(row, entry)
    return Audit(
        requests=len(sent),
        rows=len(rows),
        booked=_sum([_booked(row) for row, _ in exact]),
        simulator=_sum([_journaled(entry) for _, entry in exact]),
        faults=tuple(faults),
    )


def call_id_of(row: Row) -> str:
    """Return the id that the client gave its request, empty when it gave none.

    The same id goes to the simulator in the body: so row and journal entry are joined by what
    passed through the gateway on two ways.
    """
    given = row["client_request_id"]
    return given if isinstance(given, str) else ""


def count_text(count: int | None) -> str:
    """Return a count as people read it: unknown is a dash, never 0 (SPEC §6.4)."""
    return "-" if count is None else str(count)


def _unpaired(sent: Sequence[str], rows: Sequence[Row], journal: Sequence[Entry]) -> Iterator[str]:
    booked = Counter(call_id_of(row) for row in rows)
    called = Counter(entry.call_id for entry in journal)
    for call in sent:
        if booked[call] != 1:
            yield f"{call}: {booked[call]} rows"
        if called[call] > 1:
            yield f"{call}: {called[call]} calls of the simulator"
    for stranger in sorted((booked.keys() | called.keys()) - set(sent)):
        yield f"{stranger or 'a row without an id'}: no client sent this"


def _unlike(row: Row, entry: Entry | None) -> Iterator[str]:
    call, booked, journaled = call_id_of(row), _booked(row), _journaled(entry)
    source, output = row["usage_source"], booked.output
    if row["status"] == Status.IN_FLIGHT:
        yield f"{call}: the row is open"
    if source == _PROVIDER:
        if booked != journaled or None in (booked.input, booked.output):
            yield f"{call}: booked {_shown(booked)}, the simulator says {_shown(journaled)}"
        return
    if entry is not None and entry.usage_sent and entry.ending is Ending.COMPLETE:
        yield f"{call}: the simulator sent its usage whole, the row's is {source}"
    if output is not None and (journaled.output is None or output > journaled.output):
        yield f"{call}: counted {output}, the simulator sent {count_text(journaled.output)}"


def _booked(row: Row) -> TokenUsage:
    return TokenUsage(row["input_tokens"], row["output_tokens"])


def _journaled(entry: Entry | None) -> TokenUsage:
    if entry is None:
        return TokenUsage()
    return TokenUsage(entry.prompt_tokens, entry.completion_tokens)


def _sum(usages: Sequence[TokenUsage]) -> TokenUsage:
    return TokenUsage(_total([u.input for u in usages]), _total([u.output for u in usages]))


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _shown(usage: TokenUsage) -> str:
    return f"{count_text(usage.input)}/{count_text(usage.output)}"
