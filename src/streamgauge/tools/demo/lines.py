"""One line of text for one exchange, from its row, its journal entry and its client. Prints nothing."""

from __future__ import annotations

from streamgauge.core.record import Disposition, Status
from streamgauge.tools.demo.audit import Row, count_text
from streamgauge.tools.demo.client import Seen
from streamgauge.tools.simulator import Entry

__all__ = ["exchange_line"]

_EXACT = frozenset({"provider", "timings"})
_FAULT_WORDS = {"usage_none": "no usage"}


def exchange_line(row: Row, entry: Entry | None = None, seen: Seen | None = None) -> str:
    """Return dialect, upstream, status, tokens (`~`: not the provider's final ones), a remark."""
    where = _text(row["upstream"])
    if entry is not None and entry.fault is not None:
        where += f" ({_FAULT_WORDS.get(entry.fault, entry.fault)})"
    output = row["output_tokens"]
    estimated = output is not None and row["usage_source"] not in _EXACT
    return (
        f"  {_text(row['dialect']):<10} -> {where:<16} {row['status']:<19}  "
        f"in {count_text(row['input_tokens']):>3}  "
        f"out {count_text(output):>3}{'~' if estimated else ' '}  {_remark(row, entry, seen)}"
    ).rstrip()


def _text(value: str | None) -> str:
    return "-" if value is None else value


def _remark(row: Row, entry: Entry | None, seen: Seen | None) -> str:
    match row["status"]:
        case Status.COMPLETED if row["usage_source"] == "counted":
            return "counted, not in exact totals"
        case Status.COMPLETED:
            return _speed(row)
        case Status.CLIENT_DISCONNECTED:
            return _after_leaving(row, entry, seen)
        case Status.CANCELLED if seen is not None and seen.stopped:
            return "stopped by the stop endpoint"
        case Status.STREAM_INCOMPLETE if seen is not None:
            return f"the client got {'an' if seen.error_end else 'no'} error end"
    return "" if row["error_code"] is None else str(row["error_code"])


def _speed(row: Row) -> str:
    first, speed = row["ttft_ms"], row["generation_tps"]
    parts = (
        None if first is None else f"ttft {first:.0f} ms",
        None if speed is None else f"{speed:.1f} tok/s",
    )
    return "   ".join(part for part in parts if part is not None)


def _after_leaving(row: Row, entry: Entry | None, seen: Seen | None) -> str:
    match row["disposition"]:
        case Disposition.DRAINED if row["usage_source"] == "provider":
            return "drained: the provider's numbers"
        case Disposition.CANCELLED:
            took = _close_ms(entry, seen)
            return (
                "cancelled" if took is None else f"cancelled: upstream closed after {took:.0f} ms"
            )
    return _text(row["disposition"]).replace("_", " ")


def _close_ms(entry: Entry | None, seen: Seen | None) -> float | None:
    """Return ms from the client's leaving to the moment the simulator saw its connection close."""
    if entry is None or seen is None or entry.closed_at is None or seen.left_at is None:
        return None
    return (entry.closed_at - seen.left_at) * 1e3
