"""Every rule for the `simple` and `frames` protocols: a stream that breaks it."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.core.grammar import PROTOCOLS, check

from .streams import ADDED, SIMPLE, frame, framed, line, stamped

OVER = [line(type="done")]
BIG_TEXT = "x" * (4 << 20)


def changed(place: int, **members: Any) -> list[bytes]:
    """Return framed frames with one stamped wrongly."""
    frames = stamped(*ADDED)
    frames[place] |= members
    return framed(frames)


SIMPLE_BROKEN: list[tuple[str, list[bytes]]] = [
    ("bom", [b"\xef\xbb\xbf", *SIMPLE]),
    ("unfinished_frame", [*SIMPLE, b'{"type"']),
    ("frame_too_large", [b"x" * (33 << 20)]),
    ("unread_frame", [line(type="delta", content=BIG_TEXT), *OVER]),
    ("bad_utf8", [b'{"type":"\xff"}\n', *OVER]),
    ("bad_json", [b"hello\n", *OVER]),
    ("not_an_object", [b"[]\n", *OVER]),
    ("lone_surrogate", [line(type="delta", content="\ud83d"), *OVER]),
    ("type_unknown", [line(type="poem"), *OVER]),
    ("type_missing", [line(content="a"), *OVER]),
    ("line_shape", [line(type="delta", content=7), *OVER]),
    ("line_shape", [line(type="tool_call", id="x", name="ls"), *OVER]),
    ("call_unnamed", [line(type="tool_call", index=0, arguments="{}"), *OVER]),
    ("error_shape", [line(type="done", error="boom")]),
    ("done_missing", SIMPLE[:-1]),
    ("data_after_done", [*SIMPLE, *OVER]),
]
FRAMES_BROKEN: list[tuple[str, list[bytes]]] = [
    ("bom", [b"\xef\xbb\xbf", *changed(0)]),
    ("unfinished_frame", [*changed(0), b"data: x\n"]),
    ("frame_too_large", [b"data: " + b"x" * (33 << 20)]),
    ("unread_frame", [frame({"x": BIG_TEXT}), *changed(0)]),
    ("bad_utf8", [b"data: \xff\n\n", *changed(0)]),
    ("bad_json", [frame("hello"), *changed(0)]),
    ("not_an_object", [frame("[]"), *changed(0)]),
    ("lone_surrogate", [frame({"content": "\ud83d"}), *changed(0)]),
    ("frame_shape", [frame({"content": "a"}), *changed(0)]),
    ("frame_shape", changed(0, content=None)),
    ("frame_shape", changed(0, done=0)),
    ("seq_gap", changed(1, seq=3)),
    ("stream_id_changed", changed(1, stream_id="t")),
    ("sha1_wrong", changed(0, content="e")),
    ("acc_len_wrong", changed(0, acc_len=2)),
    ("raw_len_decreased", changed(1, raw_len=0)),
    ("count_wrong", changed(-1, frames_out=4)),
    ("stream_sha1_wrong", changed(-1, stream_sha1="0" * 40)),
    ("error_shape", framed(stamped(*ADDED, error="boom"))),
    ("done_missing", changed(0)[:-1]),
    ("data_after_done", [*changed(0), frame({})]),
]


@pytest.mark.parametrize(("rule", "pieces"), SIMPLE_BROKEN)
def test_lines_that_break_a_rule_are_told_so(rule: str, pieces: list[bytes]) -> None:
    found = check("simple", b"".join(pieces))
    assert rule in {finding.rule for finding in found}
    assert all(isinstance(finding.text, str) and finding.text for finding in found)


@pytest.mark.parametrize(("rule", "pieces"), FRAMES_BROKEN)
def test_frames_that_break_a_rule_are_told_so(rule: str, pieces: list[bytes]) -> None:
    found = check("frames", b"".join(pieces))
    assert rule in {finding.rule for finding in found}
    assert all(isinstance(finding.text, str) and finding.text for finding in found)


@pytest.mark.parametrize("protocol", ["simple", "frames"])
def test_every_rule_is_broken_by_some_stream(protocol: str) -> None:
    broken = {"simple": SIMPLE_BROKEN, "frames": FRAMES_BROKEN}[protocol]
    assert {rule for rule, _ in broken} == set(PROTOCOLS[protocol])


def test_nothing_is_found_in_legal_streams() -> None:
    failed = line(type="done", error={"message": "boom"})
    for pieces in (SIMPLE, OVER, [*SIMPLE[:2], failed], [b"\n", *SIMPLE]):
        assert [str(f) for f in check("simple", b"".join(pieces))] == []
    failures = framed(stamped(*ADDED, error={"message": "boom"}))
    for pieces in (
        changed(0),
        failures,
        [b": keep-alive\n", *changed(0)],
        [b": hi\n\n", *changed(0)],
        framed(stamped()),
    ):
        assert [str(f) for f in check("frames", b"".join(pieces))] == []


@pytest.mark.parametrize("place", range(len(ADDED)))
def test_a_lost_or_repeated_frame_is_found(place: int) -> None:
    pieces = changed(0)
    lost = {f.rule for f in check("frames", b"".join(pieces[:place] + pieces[place + 1 :]))}
    assert {"seq_gap", "stream_sha1_wrong"} <= lost
    twice = {f.rule for f in check("frames", b"".join(pieces[: place + 1] + pieces[place:]))}
    assert {"seq_gap", "stream_sha1_wrong"} <= twice
