"""The writer of captures: what it cannot keep it drops, says so, and holds up nobody."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgauge.core.record import ExchangeRecord, Status
from streamgauge.gateway.capture.format import Opening, Side, Way
from streamgauge.gateway.capture.masking import Masking
from streamgauge.gateway.capture.recording import Flow, Recording
from streamgauge.gateway.capture.store import CaptureFolder
from streamgauge.gateway.capture.writer import CaptureWriter, Tape
from streamgauge.tools.capture.reading import CaptureReader

from ..cli.books import an_exchange

TOLD: Flow = (Side.CLIENT, Way.OUT, None)
HEAD = ((b"content-type", b"text/event-stream"),)
FRAME = b'data: {"choices":[{"delta":{"content":"hello"}}]}\n\n'


def opening(name: str) -> Opening:
    return Opening(
        streamgauge_capture=1, id=name, started_at=0, dialect="openai", endpoint="chat/completions",
        protocol="openai", streaming=True, integrity="ledger", metadata="comment",
        requested_model="m", route="default", attempts=[],
    )  # fmt: skip


def record(name: str) -> ExchangeRecord:
    return an_exchange(name, status=Status.COMPLETED)


class Disk:
    """A writer, and its folder."""

    def __init__(self, path: Path, writer: CaptureWriter) -> None:
        self.path = path
        self.writer = writer

    def begin(self, name: str, max_bytes: int = 1 << 20) -> Tape:
        folder = CaptureFolder(str(self.path), max_bytes, 7)
        tape = self.writer.begin(folder, opening(name), frozenset(), 0.0, lambda: 1.5)
        tape.head(TOLD, "HTTP/1.1 200", HEAD)
        return tape

    def read(self, name: str) -> CaptureReader:
        reader = CaptureReader((self.path / f"{name}.jsonl").open("rb"))
        self.lines = list(reader.lines())
        reader._file.close()
        return reader


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    writer = CaptureWriter(queue_bytes=100_000)
    yield Disk(tmp_path / "captures", writer)
    writer.stop(5.0)


A, B = "exchange-number-one", "exchange-number-two"


def test_two_at_a_time_are_kept_apart_with_their_times(disk: Disk) -> None:
    one, two = disk.begin(A), disk.begin(B)
    for n in range(5):
        one.data(TOLD, FRAME)
        two.data(TOLD, b"data: %d\n\n" % n)
    for tape in (one, two):
        tape.end(TOLD, "end")
        tape.close(record(tape.id))
    disk.writer.stop(5.0)
    first = disk.read(A)
    assert first.closing is not None
    assert (first.closing.complete, first.closing.frames, first.closing.row["id"]) == (True, 5, A)
    assert {line.t for line in disk.lines} == {1_500_000}
    assert [line.body for line in disk.lines if line.body] == [FRAME] * 5
    second = disk.read(B)
    assert second.closing is not None
    assert len(set(second.closing.sha1s)) == 5
    assert disk.writer.stats().whole == 2
    assert one.settled


def test_a_full_queue_drops_the_capture_and_says_so(disk: Disk) -> None:
    gate, free = threading.Event(), disk.begin(B)
    disk.writer.put(B, 1, lambda recording: gate.wait(20) and None)
    tape = disk.begin(A)
    for _ in range(3000):
        tape.data(TOLD, FRAME)  # returns at once, though nothing is written
    gate.set()
    tape.close(record(A))
    free.close(record(B))
    disk.writer.stop(5.0)
    found = disk.read(A)
    assert found.closing is not None
    assert not found.closing.complete
    kept = sum(line.body is not None for line in disk.lines)
    assert (kept + found.closing.dropped, 0 < kept < 1000) == (3000, True)
    assert disk.writer.stats().incomplete == 1


def test_one_that_outgrows_the_folder_is_given_up_and_the_next_one_fits(disk: Disk) -> None:
    big = disk.begin(A, max_bytes=20_000)
    for _ in range(300):
        big.data(TOLD, FRAME)
    big.close(record(A))
    small = disk.begin(B, max_bytes=20_000)
    small.close(record(B))
    disk.writer.stop(5.0)
    stats = disk.writer.stats()
    assert (stats.failed, stats.whole, "max_mb" in str(stats.error)) == (1, 1, True)
    assert sum(file.stat().st_size for file in disk.path.iterdir()) <= 20_000
    assert big.settled


def test_the_folder_stays_within_its_bound_whatever_is_captured(disk: Disk) -> None:
    for n in range(60):
        tape = disk.begin(f"exchange-number-{n:04}", max_bytes=20_000)
        tape.data(TOLD, FRAME * 10)
        tape.close(record(tape.id))
    disk.writer.stop(5.0)
    assert disk.writer.stats().whole == 60
    sizes = [file.stat().st_size for file in disk.path.iterdir()]
    assert 10_000 < sum(sizes) <= 20_000
    assert "exchange-number-0059.jsonl" in {file.name for file in disk.path.iterdir()}


def test_a_folder_that_cannot_be_used_is_said_and_costs_nothing(disk: Disk) -> None:
    disk.path.write_text("a file")
    tape = disk.begin(A)
    tape.data(TOLD, FRAME)
    tape.close(record(A))
    disk.writer.stop(5.0)
    stats = disk.writer.stats()
    assert (stats.whole, stats.failed, "capture.dir" in str(stats.error)) == (0, 1, True)


def test_one_whose_file_was_deleted_meanwhile_is_not_called_whole(disk: Disk) -> None:
    tape = disk.begin(A)
    disk.writer.put(A, 0, lambda recording: shutil.rmtree(disk.path))
    tape.data(TOLD, FRAME)
    tape.close(record(A))
    disk.writer.stop(5.0)
    stats = disk.writer.stats()
    assert (stats.whole, stats.failed, stats.last) == (0, 1, ())
    assert stats.error == "its file was deleted before it was whole"


def test_what_is_open_when_it_stops_stays_without_an_end(disk: Disk) -> None:
    tape = disk.begin(A)
    tape.data(TOLD, FRAME)
    disk.writer.stop(5.0)
    assert disk.read(A).closing is None
    assert [line.body for line in disk.lines if line.body] == [FRAME]


def test_a_full_disk_costs_no_descriptor() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space"):
        Recording(descriptor, opening("a-capture-0000001"), Masking(()))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize("key", ['"status":', '"streaming":true', 'exchange-number-one","'])
def test_a_key_that_looks_like_a_piece_of_json_breaks_no_line(disk: Disk, key: str) -> None:
    folder = CaptureFolder(str(disk.path), 1 << 20, 7)
    tape = disk.writer.begin(folder, opening(A), frozenset({key}), 0.0, lambda: 1.5)
    tape.head(TOLD, "HTTP/1.1 200", HEAD)
    tape.close(record(A))
    disk.writer.stop(5.0)
    reader = disk.read(A)
    assert (reader.opening.id, reader.opening.streaming) == (A, True)
    assert reader.closing is not None
    assert reader.closing.row["status"] == "completed"


def test_a_row_with_half_a_surrogate_is_kept_as_the_ledger_keeps_it(disk: Disk) -> None:
    tape = disk.begin(A)
    tape.close(an_exchange(A, status=Status.COMPLETED, finish_reason="sto\ud800p"))
    disk.writer.stop(5.0)
    closing = disk.read(A).closing
    assert closing is not None
    assert closing.row["finish_reason"] == "sto\ufffdp"


def test_a_fault_of_ours_in_one_capture_costs_no_other(disk: Disk) -> None:
    one, two = disk.begin(A), disk.begin(B)
    disk.writer.put(A, 0, lambda recording: recording.data(0, TOLD, "no bytes"))  # type: ignore[arg-type]
    two.data(TOLD, FRAME)
    for tape in (one, two):
        tape.close(record(tape.id))
    disk.writer.stop(5.0)
    stats = disk.writer.stats()
    assert (stats.whole, stats.failed, stats.last) == (1, 1, (B,))
    assert stats.error == "a fault of ours (TypeError)"
    assert one.settled
    assert two.settled
