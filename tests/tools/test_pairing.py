"""Pairing EMIT with SOCKET_WRITE: each way in which a frame can go astray is a fault with its seq."""

from __future__ import annotations

import pytest

from streamgauge.tools.pairing import Pairing, Verdict, event_of

END = "model=m tokens=1/2 ctx:5% stream finish=stop status=completed upstream=sim id=t1"


def line(event: str, seq: int, *, done: bool = False, sha1: str = "", trace: str = "t1") -> str:
    five = f"seq={seq} sha1={sha1 or f'sha{seq}'} done={str(done).lower()} acc={seq} raw={seq}"
    return f"{event} {five} trace={trace}"


def pair(seq: int, **more: object) -> list[str]:
    return [line("EMIT", seq, **more), line("SOCKET_WRITE", seq, **more)]  # type: ignore[arg-type]


GOOD = [*pair(1), *pair(2), *pair(3, done=True)]


def judged(lines: list[str]) -> list[Verdict]:
    pairing = Pairing()
    found = [event_of(text) for text in lines]
    verdicts = [pairing.take(*one) for one in found if one is not None]
    return [*(verdict for verdict in verdicts if verdict is not None), *pairing.rest()]


def test_a_stream_whose_frames_were_all_written_is_ok() -> None:
    (verdict,) = judged(["ready data=http://x", *GOOD, "stream_complete trace=t1 marker=true", END])
    assert (verdict.holds, verdict.made, verdict.written, verdict.status) == (
        True,
        3,
        3,
        "completed",
    )
    assert str(verdict) == "trace=t1 frames=3 written=3 status=completed ok"


def test_frames_made_together_may_be_written_together_and_streams_interleave() -> None:
    other = [text.replace("t1", "t2") for text in [*GOOD, END]]
    lines = [line("EMIT", 1), line("EMIT", 2, done=True), line("SOCKET_WRITE", 1)]
    mixed = [text for both in zip(other, other, strict=True) for text in both[:1]]
    verdicts = judged([*lines, *mixed, line("SOCKET_WRITE", 2, done=True), END])
    assert [(verdict.trace, verdict.holds) for verdict in verdicts] == [("t2", True), ("t1", True)]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([*pair(1), line("EMIT", 2), *pair(3, done=True)], "seq 3: written before 2"),
        ([*pair(1), *pair(2, done=True), line("SOCKET_WRITE", 2, done=True)], "seq 2: written twice"),
        ([*pair(1), line("EMIT", 2, done=True)], "seq 2: made and never written"),
        ([*pair(1), *pair(3, done=True)], "seq 3: made after 1"),
        ([*pair(1), *pair(1), *pair(2, done=True)], "seq 1: made twice"),
        ([*pair(1), line("SOCKET_WRITE", 2), *pair(2, done=True)], "seq 2: written but never made"),
        ([line("EMIT", 1), line("SOCKET_WRITE", 1, sha1="x"), *pair(2, done=True)],
         "seq 1: written otherwise than it was made"),
        ([*GOOD, *pair(4)], "seq 4: made after the end"),
        ([*pair(1), *pair(2)], "seq 3: no end marker was made"),
    ],
)  # fmt: skip
def test_each_way_to_go_astray_is_named(lines: list[str], fault: str) -> None:
    (verdict,) = judged([*lines, END])
    assert fault in verdict.faults
    assert fault in str(verdict)


def test_a_stream_that_failed_needs_no_end_marker_and_a_log_that_ends_early_is_told() -> None:
    (failed,) = judged([*pair(1), END.replace("completed", "upstream_error")])
    assert failed.holds
    (cut,) = judged(GOOD)
    assert cut.faults == ("the log ends before the stream",)


def test_lines_behind_the_end_are_a_fault_of_their_own() -> None:
    first, late = judged([*GOOD, END, line("SOCKET_WRITE", 3)])
    assert (first.holds, late.faults) == (True, ("seq 3: SOCKET_WRITE after its end",))


def test_json_lines_say_the_same() -> None:
    found = event_of('{"level":"debug","event":"EMIT","seq":"1","sha1":"a b","trace":"t1"}')
    assert found is not None
    assert (found[0], found[1]["seq"], found[1]["sha1"]) == ("EMIT", "1", "a b")
    assert event_of('log logger=x message="a \\"quoted\\" b=c"') == (
        "log",
        {"logger": "x", "message": 'a "quoted" b=c'},
    )
    for nonsense in ("", "12:00:00  debug     EMIT", "{", "[1]", '{"event": 5}', "Traceback (most"):
        found = event_of(nonsense)
        assert found is None or found[0] not in ("EMIT", "SOCKET_WRITE", "exchange")


def test_a_flood_of_faults_is_bounded() -> None:
    (verdict,) = judged([*(line("EMIT", 5) for _ in range(500)), END])
    assert len(verdict.faults) == 20
