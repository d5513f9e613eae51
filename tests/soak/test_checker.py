"""Every invariant of the soak can fail: a violation is planted in whole journals, and is found by name."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamgauge.core.pricing import Price
from streamgauge.tools.simulator.journal import Ending, Entry

from .calls import Call, Way, call_of
from .client import request_of
from .invariants import PER_ROW, cost_again
from .journals import Case, Run, Told
from .vitals import Vitals, slope_mib, vitals_of
from .whole_run import (
    audit,
    i2_only_open_rows_of_the_dead_are_touched,
    i8_rollups_are_the_rows,
    i14_everything_is_back_at_idle,
    i15_upstreams_see_the_close_soon,
)
from .wire import Delivered, dechunked, emitted

PRICE = Price("config", "USD", input=300_000_000, output=1_700_000_000, fee=1_000_000)
CALL = Call(1, 1, "openai", "openai-cancel", True, 4, 0, True, "comment", Way.READ, None, 2, 0.5)
WIRE = emitted(CALL)


def row_of(call: Call, **changed: Any) -> dict[str, Any]:
    """Return the closed row of a call that went well."""
    cost = (9 * 300_000_000 + 4 * 1_700_000_000 + 500_000) // 1_000_000 + 1_000_000
    return {
        "id": "id-of-the-row-0001",
        "client_request_id": call.id,
        "status": "completed",
        "success": True,
        "started_at": 1_000,
        "finished_at": 2_000,
        "delivered": "all",
        "disposition": "read_to_end",
        "finish_reason": "stop",
        "input_tokens": 9,
        "output_tokens": 4,
        "cache_read_tokens": None,
        "cache_write_tokens": None,
        "reasoning_tokens": None,
        "usage_source": "provider",
        "input_source": "provider",
        "cost_nano": cost,
        "cost_reason": None,
        "price": json.loads(PRICE.as_json()),
        "ttft_ms": 1.5,
        "stream_duration_ms": 9.5,
        "generation_tps": 80.0,
        "anomalies": [],
        "attempts": 1,
        **changed,
    }


def case_of(call: Call = CALL, *, told: dict[str, Any] | None = None, **row: Any) -> Case:
    """Return a case in which everything holds, but for what is changed."""
    wire = emitted(call)
    metadata = json.dumps({"request_id": "id-of-the-row-0001", "output_tokens": 4})
    line = Told(
        call.number,
        id="id-of-the-row-0001",
        status=200,
        clean=True,
        ending="marker",
        size=len(wire),
        sha256=sha256(wire).hexdigest(),
        metadata=metadata,
    )
    attempt = {"n": 1, "outcome": "completed"}
    entry = Entry(call.id, "/v1", "qwen", True, 9, 4, ending=Ending.COMPLETE)
    heard = msgspec.structs.replace(line, **(told or {}))
    return Case(call, heard, row_of(call, **row), (attempt,), (entry,))


def entry_of(**changed: Any) -> Entry:
    """Return the simulator's line of the good case, changed."""
    return msgspec.structs.replace(case_of().entries[0], **changed)


def run_of(*cases: Case) -> Run:
    """Return the journals of these cases, each with one row."""
    return Run(
        {case.call.id: case.call for case in cases},
        {case.call.id: case.told for case in cases},
        {case.call.id: list(case.entries) for case in cases if case.entries},
        {case.call.id: 1 for case in cases},
    )


def found_in(invariant: str, case: Case) -> list[str]:
    """Return what one invariant says of a case."""
    return list(PER_ROW[invariant](case))


GARBAGE = replace(CALL, fault="garbage")
LEFT = replace(CALL, way=Way.LEAVE_MIDWAY)
REFUSED = replace(CALL, way=Way.BAD_JSON)
CUT = {"status": "stream_incomplete", "finish_reason": None, "usage_source": "counted"}

PLANTED: dict[str, tuple[str, Case]] = {
    "a row left open": ("I1", case_of(status="in_flight", finished_at=None)),
    "a status that nothing explains": ("I1", case_of(status="cancelled")),
    "a cut that is called a success": ("I1", case_of(replace(CALL, fault="cut"))),
    "a second upstream call without an attempt": (
        "I3",
        replace(case_of(), entries=(entry_of(), entry_of())),
    ),
    "attempts that are not counted": ("I3", case_of(attempts=2)),
    "an attempt left open": ("I3", replace(case_of(), attempts=({"n": 1, "outcome": None},))),
    "one token too many": ("I4", case_of(output_tokens=5)),
    "an input that was never stated": ("I4", case_of(input_tokens=None)),
    "the provider's word without a provider": ("I4", replace(case_of(), entries=())),
    "a completed row of a cut answer": (
        "I5",
        replace(case_of(), entries=(entry_of(ending="cut"),)),
    ),
    "a completed row of which a part was delivered": ("I5", case_of(delivered="part")),
    "a completed row whose client saw no marker": ("I5", case_of(told={"ending": "open"})),
    "a completed row whose client saw a broken body": ("I5", case_of(told={"clean": False})),
    "more counted than sent": ("I6", case_of(usage_source="counted", output_tokens=5)),
    "a count from nowhere": ("I6", case_of(usage_source="none")),
    "a byte changed": ("I7", case_of(told={"sha256": sha256(WIRE[:-1] + b"?").hexdigest()})),
    "a frame left out at the end": (
        "I7",
        case_of(told={"size": 50, "sha256": sha256(WIRE[:50]).hexdigest()}),
    ),
    "bytes that nobody sent": (
        "I7",
        case_of(told={"size": len(WIRE) + 1, "sha256": sha256(WIRE + b"x").hexdigest()}),
    ),
    "one nano-unit too much": ("I8", case_of(cost_nano=row_of(CALL)["cost_nano"] + 1)),
    "a cost without a price": ("I8", case_of(price=None)),
    "a cost and a reason for none": ("I8", case_of(cost_reason="no_price")),
    "a first token after the end": ("I11", case_of(ttft_ms=10.0)),
    "a first token before the request": ("I11", case_of(ttft_ms=-0.1)),
    "an endless rate": ("I11", case_of(generation_tps=float("inf"))),
    "an end before the start": ("I11", case_of(finished_at=999)),
    "an id that is not the row's": ("I12", case_of(told={"id": "another-id-00002"})),
    "a row with a stranger's name": ("I12", case_of(client_request_id="somebody")),
    "a cancelled call that ran on": (
        "I15",
        replace(case_of(LEFT, disposition="cancelled"), entries=(entry_of(ending="cut"),)),
    ),
    "metadata that differs from the row": ("I16", case_of(output_tokens=3)),
    "metadata of another row": (
        "I16",
        case_of(told={"metadata": '{"request_id":"another-id-00002"}'}),
    ),
    "no metadata": ("I16", case_of(told={"metadata": None})),
    "an injected anomaly that is not noted": ("I17", case_of(GARBAGE)),
    "an anomaly that nobody injected": ("I17", case_of(anomalies=["bad_json"])),
    "an unmarked end that is not noted": ("I17", case_of(status="stream_incomplete")),
    "partial usage that is not noted": ("I17", case_of(usage_source="counted")),
    "a refused request that went upstream": ("I18", case_of(REFUSED, status="rejected")),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found_by_its_invariant(name: str) -> None:
    invariant, case = PLANTED[name]
    assert found_in(invariant, case)


@pytest.mark.parametrize(
    "case",
    [
        case_of(),
        case_of(GARBAGE, anomalies=["bad_json"], told={"sha256": "", "status": None}),
        case_of(LEFT, told={"left_at": 1.0, "ending": "open", "metadata": None}),
        case_of(replace(CALL, fault="cut"), **CUT, anomalies=["partial_usage"], delivered="part"),
        replace(case_of(REFUSED, status="rejected", attempts=0), entries=(), attempts=()),
    ],
    ids=["read", "garbage", "left", "cut", "refused"],
)
def test_what_is_right_is_not_found_fault_with(case: Case) -> None:
    ignored = {"I7", "I4", "I6"} if case.call is not CALL else set()
    assert {name: found_in(name, case) for name in PER_ROW if name not in ignored} == {
        name: [] for name in PER_ROW if name not in ignored
    }


def test_every_invariant_of_a_row_has_a_planted_violation() -> None:
    assert {invariant for invariant, _ in PLANTED.values()} == set(PER_ROW)


def _audited(run: Run, cases: Iterable[Case]) -> set[str]:
    return set(audit(run, cases).findings)


def _no_row(run: Run) -> None:
    run.rows_of[CALL.id] = 0


def _two_rows(run: Run) -> None:
    run.rows_of[CALL.id] = 2


def _stranger(run: Run) -> None:
    run.strangers.append("id-of-nobody-001")


def _unknown_call(run: Run) -> None:
    run.entries["soak-1-99"] = [entry_of()]


def _counted_only(run: Run) -> None:
    call = replace(CALL, number=2, way=Way.BAD_HTTP)
    run.calls[call.id], run.told[call.id], run.rows_of[call.id] = call, Told(2), 0
    run.entries[call.id] = [entry_of()]


@pytest.mark.parametrize(
    ("plant", "invariants"),
    [
        (_no_row, {"I1", "I3"}),
        (_two_rows, {"I1"}),
        (_stranger, {"I1"}),
        (_unknown_call, {"I3"}),
        (_counted_only, {"I3", "I18"}),
    ],
)
def test_a_planted_violation_of_the_whole_run_is_found(
    plant: Callable[[Run], None], invariants: set[str]
) -> None:
    run = run_of(case_of())
    assert _audited(run, [case_of()]) == set()
    plant(run)
    assert _audited(run, [case_of()]) == invariants


def test_a_late_close_is_found_beyond_one_in_a_hundred() -> None:
    assert not list(i15_upstreams_see_the_close_soon([0.1] * 99 + [0.6]))
    assert list(i15_upstreams_see_the_close_soon([0.1] * 98 + [0.6, 0.6]))
    assert list(i15_upstreams_see_the_close_soon([0.6, 0.6]))
    assert list(i15_upstreams_see_the_close_soon([2.6]))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"a": ("completed", "1"), "b": ("gateway_crash", "9")}, []),
        ({"b": ("gateway_crash", "9")}, ["a is lost"]),
        ({"a": ("completed", "1"), "b": ("in_flight", "2")}, ["b is open"]),
        ({"a": ("completed", "1"), "b": ("completed", "9")}, ["b was open and is completed"]),
        ({"a": ("gateway_crash", "9"), "b": ("gateway_crash", "9")}, ["a was completed"]),
        (
            {"a": ("completed", "1"), "b": ("gateway_crash", "9"), "c": ("completed", "3")},
            ["c is new"],
        ),
    ],
)
def test_a_restart_that_touches_too_much_or_too_little_is_found(
    after: dict[str, tuple[str, str]], said: list[str]
) -> None:
    before = {"a": ("completed", "1"), "b": ("in_flight", "2")}
    found = list(i2_only_open_rows_of_the_dead_are_touched(before, after))
    assert len(found) == len(said)
    assert all(each.startswith(begin) for each, begin in zip(found, said, strict=True))


@pytest.mark.parametrize(
    "rollups",
    [
        {},
        {("completed", "provider", "provider"): [1, 9, 5, 9_500]},
        {("completed", "counted", "none"): [1, 9, 4, 9_500]},
    ],
)
def test_a_rollup_that_is_not_its_rows_is_found(rollups: dict[Any, list[int]]) -> None:
    rows = {("completed", "provider", "provider"): [1, 9, 4, 9_500]}
    assert not list(i8_rollups_are_the_rows(rows, dict(rows)))
    assert list(i8_rollups_are_the_rows(rows, rollups))


def test_what_is_not_given_back_is_found() -> None:
    idle = Vitals(12, 2, 7, 50.0)
    assert not list(i14_everything_is_back_at_idle(idle, idle, 0.5, 1.0))
    assert list(i14_everything_is_back_at_idle(idle, replace(idle, descriptors=13), None, 1.0))
    assert list(i14_everything_is_back_at_idle(idle, replace(idle, sockets=3), None, 1.0))
    assert list(i14_everything_is_back_at_idle(idle, idle, 1.0, 1.0))
    held = replace(idle, runtime={"streams": 1, "tasks": 0})
    assert list(i14_everything_is_back_at_idle(idle, held, None, None)) == [
        "streams: 0 before, 1 after the load"
    ]


def test_a_leak_has_a_slope_and_warming_up_has_none() -> None:
    leak = [(exchanges, 50 + exchanges / 5_000) for exchanges in range(0, 20_000, 1_000)]
    warm = [(exchanges, min(50 + exchanges / 500, 60)) for exchanges in range(0, 20_000, 1_000)]
    assert slope_mib(leak) == pytest.approx(2.0)
    assert slope_mib(warm) == pytest.approx(0.0)
    assert slope_mib(leak[:3]) is None


def test_the_vitals_are_those_of_a_process(tmp_path: Path) -> None:
    before = vitals_of(os.getpid())
    with (tmp_path / "held").open("w"):
        assert vitals_of(os.getpid()).descriptors == before.descriptors + 1
    assert before.resident_mib > 10


def test_call_n_of_a_seed_is_always_the_same() -> None:
    first = [call_of(5, number) for number in range(400)]
    assert first == [call_of(5, number) for number in range(400)]
    assert first != [call_of(6, number) for number in range(400)]


def test_the_calls_of_a_soak_have_every_fault_and_every_way() -> None:
    calls = [call_of(1, number) for number in range(20_000)]
    odd = [call for call in calls if call.fault or call.way is not Way.READ]
    assert 0.04 < len(odd) / len(calls) < 0.06
    assert {call.way for call in calls} == set(Way)
    assert len({call.fault for call in calls}) == 27
    assert all(call.fault is None or call.way is Way.READ for call in calls)


def test_a_cost_is_recomputed_with_parts_at_their_own_rates() -> None:
    price = Price("config", "USD", 3_000_000_000, 15_000_000_000, cache_read=300_000_000, fee=7)
    row = row_of(CALL, price=json.loads(price.as_json()), input_tokens=100, cache_read_tokens=40)
    assert cost_again(row) == 60 * 3_000 + 40 * 300 + 4 * 15_000 + 7
    assert cost_again(row | {"input_tokens": None}) is None


def test_what_the_gateway_adds_is_taken_off_and_read() -> None:
    comment = b': streamgauge {"request_id":"x","output_tokens":4}\n'
    body = WIRE.replace(b"data: [DONE]", comment + b"data: [DONE]")
    seen = Delivered(b": keep-alive\n" + body, True)
    assert (seen.bare, seen.ending, seen.metadata) == (
        WIRE,
        "marker",
        b'{"request_id":"x","output_tokens":4}',
    )
    cut = Delivered(
        WIRE[:200].rpartition(b"\n\n")[0] + b'\n\ndata: {"error":{"code":"x"}}\n\n', True
    )
    assert (cut.ending, cut.code) == ("error", "x")
    assert WIRE.startswith(cut.bare)


def test_answers_of_one_script_have_one_form() -> None:
    other = WIRE.replace(b"sim000000", b"sim004711").replace(
        b'"created":0', b'"created":1769000000'
    )
    assert other != WIRE
    assert Delivered(other, True).bare == WIRE


@pytest.mark.parametrize("cut", range(0, 30, 3))
def test_a_chunked_body_is_read_as_far_as_it_goes(cut: int) -> None:
    raw = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    assert dechunked(raw) == (b"hello world", True)
    body, whole = dechunked(raw[:cut])
    assert b"hello world".startswith(body)
    assert whole is (cut >= len(raw))


def test_a_garbled_request_is_garbled() -> None:
    requests = [
        request_of(replace(CALL, way=way)) for way in (Way.READ, Way.BAD_JSON, Way.BAD_HTTP)
    ]
    assert len(set(requests)) == 3
    assert all(a != b for a, b in itertools.pairwise(requests))
