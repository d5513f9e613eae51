"""What each anomaly of a row means, in words (SPEC §5.6). Knows no row."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from streamgauge.core.record import Anomaly

__all__ = ["ODDITIES", "meaning_of"]

ODDITIES: Mapping[str, str] = MappingProxyType(
    {
        Anomaly.FINISHED_WITHOUT_MARKER: "a finish reason came, the end marker did not",
        Anomaly.MISSING_LAST_CHUNK: "behind the end marker the HTTP body was cut; nothing is lost",
        Anomaly.SECOND_MARKER: "the upstream sent a second end marker; the client got one",
        Anomaly.DATA_AFTER_MARKER: "frames behind the end marker were not passed on",
        Anomaly.USAGE_AFTER_MARKER: "usage came behind the end marker, and was booked",
        Anomaly.USAGE_REFUSED: "the upstream's usage was impossible, and was not believed",
        Anomaly.USAGE_MISMATCH: "the upstream contradicts itself about the tokens",
        Anomaly.USAGE_DECREASED: "a later output count was smaller than an earlier one",
        Anomaly.SUSPECT_USAGE: "the upstream says that it read nothing, yet wrote something",
        Anomaly.PARTIAL_USAGE: "the input is the upstream's count, the output is our own",
        Anomaly.OVERSIZE_LINE: "a line over 4 MiB was passed on unread",
        Anomaly.OVERSIZE_FRAME: "a frame over 32 MiB ended the stream",
        Anomaly.BAD_JSON: "a frame that should be JSON was none, or not quite",
        Anomaly.METER_ERROR: "our meter failed on a frame; the client's bytes were not touched",
        Anomaly.REPLAY_SUSPECTED: "text came that had come before; none of it was removed",
        Anomaly.MODEL_CHANGED: "the answer named another model midway",
        Anomaly.BOM_REMOVED: "a byte order mark at the start was removed; clients stumble over it",
        Anomaly.SLOW_READER: "the client read nothing for write_seconds, and was cut off",
        Anomaly.DRAIN_CAPPED: "the drain met its bound of seconds, tokens or streams",
        Anomaly.TYPE_MISMATCH: "a field had another type than its dialect gives it",
        Anomaly.EMPTY_ANSWER: "the answer was complete and had no content",
        Anomaly.BAD_TOOL_JSON: "the arguments of a tool call were not JSON",
        Anomaly.LOOP_LAG: "the gateway itself was late, so this row's times are blurred",
        Anomaly.CLOCK_JUMP: "the wall clock jumped, so the row's two times of day do not match",
    }
)


def meaning_of(anomaly: str) -> str:
    """Return what `anomaly` means; "" for one that this release does not know."""
    return ODDITIES.get(anomaly, "")
