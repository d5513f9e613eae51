"""The spool's records: every operation comes back as it was, also for a release with other columns."""

from __future__ import annotations

import msgspec
import pytest

from streamgauge.ledger.base import LedgerError, LedgerForeign, RowRefused
from streamgauge.ledger.operations import AddAttempt, Begin, Close, Insert, Operation
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS
from streamgauge.ledger.spool_records import RecordReader, layout_record, record_of

from .ledger_rig import a_record, an_attempt, closed

REQUEST = REQUESTS.row(
    closed(a_record("one", client_app="ü\0", ttft_ms=1.5, input_tokens=2**63 - 1, streaming=True))
)
ATTEMPT = ATTEMPTS.row(an_attempt("one", may_have_been_billed=True))


def nobody(error: LedgerError | None) -> None:
    """Be told nothing."""


OPERATIONS: list[Operation] = [
    Begin(REQUEST, ATTEMPT, nobody),
    AddAttempt(ATTEMPT, nobody),
    AddAttempt(ATTEMPT, nobody, ATTEMPTS.row(an_attempt("one", outcome="upstream_error"))),
    Close(REQUEST, (ATTEMPT, ATTEMPT), nobody),
    Close(REQUEST, (), nobody, rejected=True),
    Insert(REQUEST, None),
]


def rows_of(operation: Operation | None) -> list[object]:
    """Return what an operation holds, without its callback."""
    match operation:
        case Begin(request, attempt):
            return ["begin", request, attempt]
        case AddAttempt(attempt, _, over):
            return ["attempt", attempt, over]
        case Close(request, attempts, _, rejected):
            return ["close", request, attempts, rejected]
        case Insert(request):
            return ["insert", request]
    return []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_comes_back_as_it_was(operation: Operation) -> None:
    reader = RecordReader()
    assert reader.operation(layout_record()) is None
    assert rows_of(reader.operation(record_of(operation))) == rows_of(operation)


@pytest.mark.parametrize("count", [2**63, -(2**63) - 5, 2**70])
def test_a_number_beyond_64_bits_is_refused_before_it_is_promised(count: int) -> None:
    request = REQUESTS.row(a_record("one", output_tokens=count))
    for operation in (Begin(request, ATTEMPT, nobody), Close(request, (), nobody)):
        with pytest.raises(RowRefused):
            record_of(operation)


def test_an_older_releases_rows_get_null_in_the_columns_it_lacked() -> None:
    kept = [name for name in REQUESTS.names if name != "service_tier"]
    shuffled = [kept[-1], *kept[:-1]]
    row = dict(zip(REQUESTS.names, REQUEST, strict=True))
    reader = RecordReader()
    reader.operation(msgspec.msgpack.encode(("layout", shuffled, ATTEMPTS.names)))
    found = reader.operation(msgspec.msgpack.encode(("insert", [row[name] for name in shuffled])))
    assert isinstance(found, Insert)
    assert dict(zip(REQUESTS.names, found.request, strict=True)) == {**row, "service_tier": None}


def test_a_newer_releases_rows_are_refused() -> None:
    layout = ("layout", [*REQUESTS.names, "mood"], ATTEMPTS.names)
    with pytest.raises(LedgerForeign, match=r"newer streamgauge.*mood"):
        RecordReader().operation(msgspec.msgpack.encode(layout))


@pytest.mark.parametrize(
    "record", [b"\xc1", b"", msgspec.msgpack.encode(("other", 1)), msgspec.msgpack.encode(("close",)),
               msgspec.msgpack.encode(5)]
)  # fmt: skip
def test_what_is_no_record_is_named(record: bytes) -> None:
    with pytest.raises(LedgerForeign, match="spool"):
        RecordReader().operation(record)
