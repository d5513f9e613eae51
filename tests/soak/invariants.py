"""The invariants of FAULTS §3 that hold for one row beside its call. Each yields what is wrong."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from hashlib import sha256
from typing import Any

from streamgauge.tools.simulator.journal import Ending

from .calls import REFUSED_WAYS, Call
from .expected import expectation
from .journals import Case
from .wire import emitted

__all__ = ["PER_ROW", "cost_again"]

Check = Callable[[Case], Iterator[str]]

_UNIT = 1_000_000
_EXACT = "provider"


def i1_one_terminal_status(case: Case) -> Iterator[str]:
    """I1: a terminal status, one that the call can end with, and everything that goes with it."""
    row = case.row
    if row["status"] == "in_flight" or row["finished_at"] is None or row["success"] is None:
        yield f"not closed: {row['status']}"
    wanted = expectation(case.call).statuses
    if row["status"] not in wanted:
        yield f"status {row['status']}, expected one of {sorted(wanted)}"


def i3_calls_are_attempts(case: Case) -> Iterator[str]:
    """I3: every call that the simulator read is an attempt of the row."""
    if len(case.entries) > len(case.attempts):
        yield f"{len(case.entries)} upstream calls, {len(case.attempts)} attempts"
    numbers = [attempt["n"] for attempt in case.attempts]
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) != (case.row["attempts"] or 0):
        yield f"attempts {numbers}, the row says {case.row['attempts']}"
    if any(attempt["outcome"] is None for attempt in case.attempts):
        yield "an attempt is open"


def i4_provider_rows_are_exact(case: Case) -> Iterator[str]:
    """I4: what is said to be the provider's is what the simulator stated."""
    row = case.row
    booked = (row["input_tokens"], row["output_tokens"])
    if row["usage_source"] == _EXACT:
        stated = [(entry.prompt_tokens, entry.completion_tokens) for entry in case.entries]
        if booked not in stated[-1:] or None in booked:
            yield f"booked {booked}, stated {stated}"


def i5_completed_means_whole(case: Case) -> Iterator[str]:
    """I5: `completed` only for a full emission whose end the client saw."""
    row, told = case.row, case.told
    if row["status"] != "completed":
        return
    if not case.entries or case.entries[-1].ending != Ending.COMPLETE:
        yield f"completed, the simulator says {[entry.ending for entry in case.entries]}"
    if row["delivered"] != "all":
        yield f"completed, delivered {row['delivered']}"
    if told.left_at is None and not (told.clean and told.ending in ("marker", "answer")):
        yield f"completed, the client saw {told.ending}, clean={told.clean}"


def i6_counts_are_lower_bounds(case: Case) -> Iterator[str]:
    """I6: what we counted is never more than was sent, and unknown is null."""
    row = case.row
    source, output = row["usage_source"], row["output_tokens"]
    if source == "counted":
        sent = sum(entry.completion_tokens or 0 for entry in case.entries)
        if output is None or output > sent:
            yield f"counted {output}, the simulator sent {sent}"
    if source == "none" and output is not None:
        yield f"no source for {output}"


def i7_bytes_are_a_prefix(case: Case) -> Iterator[str]:
    """I7: what the client got, less what was added, is how the upstream's bytes begin."""
    told = case.told
    if told.status != 200 or not case.entries or told.id is None:
        return
    wire = _emitted(case.call)
    if sha256(wire[: told.size]).hexdigest() != told.sha256 or told.size > len(wire):
        yield f"{told.size} bytes are no prefix of the {len(wire)} that were sent"
    elif case.row["status"] == "completed" and told.left_at is None and told.size != len(wire):
        yield f"completed with {told.size} of {len(wire)} bytes"


@functools.lru_cache(maxsize=4)
def _emitted(call: Call) -> bytes:
    return emitted(call)


def i8_cost_can_be_recomputed(case: Case) -> Iterator[str]:
    """I8: the row's own price and counts give the row's cost."""
    row = case.row
    if row["price"] is None and row["cost_nano"] is not None:
        yield "a cost without a price"
    if row["price"] is not None:
        again = cost_again(row)
        if again != row["cost_nano"]:
            yield f"cost {row['cost_nano']}, recomputed {again}"
    if (row["cost_nano"] is None) is (row["cost_reason"] is None) and row["attempts"]:
        yield f"cost {row['cost_nano']} with reason {row['cost_reason']}"


def cost_again(row: dict[str, Any]) -> int | None:
    """Return the cost in nano-units by whole numbers from the row alone; None where it has none."""
    price, reads, writes = row["price"], row["input_tokens"], row["output_tokens"]
    if reads is None or writes is None:
        return None
    rate = {name: _nano(price[name]) for name in _RATES if name in price}
    parts = {
        name: row[f"{name}_tokens"] or 0 for name in ("cache_read", "cache_write", "reasoning")
    }
    fresh = reads - parts["cache_read"] - parts["cache_write"]
    spoken = writes - parts["reasoning"]
    products = [(fresh, "input", "input"), (spoken, "output", "output")]
    products += [(parts[name], name, "input") for name in ("cache_read", "cache_write")]
    products.append((parts["reasoning"], "reasoning", "output"))
    total = sum(tokens * rate.get(own, rate[whole]) for tokens, own, whole in products)
    return (total + _UNIT // 2) // _UNIT + _nano(price["fee"])


_RATES = ("input", "output", "cache_read", "cache_write", "reasoning")


def _nano(text: str) -> int:
    return int(Decimal(text).scaleb(9))


def i11_times_are_possible(case: Case) -> Iterator[str]:
    """I11: 0 ≤ first token ≤ end; every rate is finite; the end is not before the start."""
    row = case.row
    ttft, took = row["ttft_ms"], row["stream_duration_ms"]
    if ttft is not None and not (took is not None and 0 <= ttft <= took):
        yield f"ttft {ttft} of {took}"
    if row["finished_at"] is not None and row["finished_at"] < row["started_at"]:
        yield "it ended before it began"
    for name, value in row.items():
        timed = name.endswith(("_ms", "_tps", "_us", "_percent")) and value is not None
        if timed and not (math.isfinite(value) and value >= 0):
            yield f"{name} is {value}"


def i12_the_id_finds_its_row(case: Case) -> Iterator[str]:
    """I12: the id that the client saw is the row's, and the row knows the client's own."""
    told, row = case.told, case.row
    if told.id is not None and told.id != row["id"]:
        yield f"the client saw {told.id}, the row is {row['id']}"
    if row["client_request_id"] not in (case.call.id, None):
        yield f"the row names {row['client_request_id']}"


def i15_cancelled_upstreams_are_closed(case: Case) -> Iterator[str]:
    """I15, for one call: an upstream that was given up saw it. How soon: `whole_run.py`."""
    extra = case.call.extra
    odd = case.call.fault or (extra is not None and extra.chain not in (None, "none"))
    if case.row["disposition"] == "cancelled" and not odd:
        for entry in case.entries:
            if entry.ending == Ending.CUT:
                yield "cancelled, yet the simulator ended it by itself"


def i16_metadata_is_the_row(case: Case) -> Iterator[str]:
    """I16: what the client was told of its row is the row."""
    row, raw = case.row, case.told.metadata
    if raw is None:
        streamed = case.call.stream and case.call.metadata != "off"
        if streamed and row["status"] == "completed" and case.told.left_at is None:
            yield "completed without metadata"
        return
    told = json.loads(raw)
    if told["request_id"] != row["id"]:
        yield f"metadata of {told['request_id']}"
    for name, value in told.items():
        if name != "request_id" and not _same(value, row[name]):
            yield f"{name}: told {value!r}, booked {row[name]!r}"


def _same(told: Any, booked: Any) -> bool:
    return bool(told == booked) or json.dumps(told) == json.dumps(booked)


def i17_anomalies_are_those_injected(case: Case) -> Iterator[str]:
    """I17: what was noted is what was done, no less and no more."""
    row = case.row
    found = set(row["anomalies"])
    wanted = expectation(case.call)
    must = set(wanted.must) if row["status"] in wanted.noted_when else set()
    partial = row["usage_source"] == "counted" and row["input_source"] == _EXACT
    unmarked = row["status"] == "stream_incomplete" and row["finish_reason"] is not None
    must |= {"partial_usage"} if partial else set()
    must |= {"finished_without_marker"} if unmarked else set()
    if must - found:
        yield f"not noted: {sorted(must - found)} of {row['status']}"
    if found - must - set(wanted.may):
        yield f"noted, not injected: {sorted(found - must - set(wanted.may))} of {row['status']}"


def i18_refused_traffic_goes_nowhere(case: Case) -> Iterator[str]:
    """I18: who is refused causes no upstream call."""
    refused = case.row["status"] == "rejected" or case.call.way in REFUSED_WAYS
    if refused and (case.entries or case.attempts):
        yield f"refused, with {len(case.entries)} upstream calls"


PER_ROW: dict[str, Check] = {
    "I1": i1_one_terminal_status,
    "I3": i3_calls_are_attempts,
    "I4": i4_provider_rows_are_exact,
    "I5": i5_completed_means_whole,
    "I6": i6_counts_are_lower_bounds,
    "I7": i7_bytes_are_a_prefix,
    "I8": i8_cost_can_be_recomputed,
    "I11": i11_times_are_possible,
    "I12": i12_the_id_finds_its_row,
    "I15": i15_cancelled_upstreams_are_closed,
    "I16": i16_metadata_is_the_row,
    "I17": i17_anomalies_are_those_injected,
    "I18": i18_refused_traffic_goes_nowhere,
}
