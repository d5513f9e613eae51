"""Every rule for Anthropic streams: a stream that breaks it, and that only this rule says so."""

from __future__ import annotations

import pytest

from streamgauge.core.grammar import PROTOCOLS, Level, check

from .streams import (
    ANTHROPIC,
    OVER,
    PING,
    TEXT_BLOCK,
    THOUGHT_BLOCK,
    TOOL,
    TOOL_BLOCK,
    block,
    delta,
    ending,
    event,
    frame,
    start,
    stop,
)
from .test_openai import BROKEN as OPENAI_BROKEN

BIG = event("ping", x="x" * (4 << 20))
SHARED = {
    rule: pieces
    for rule, pieces in OPENAI_BROKEN
    if rule in ("frame_too_large", "bad_utf8", "bad_json", "not_an_object")
}
FAILED = event("error", error={"type": "api_error", "message": "boom"})


def blocks(*pieces: bytes, reason: str = "end_turn") -> list[bytes]:
    return [start(), *pieces, ending(reason), OVER]


BROKEN: list[tuple[str, list[bytes]]] = [
    *((rule, [start(), *pieces[1:2], *TEXT_BLOCK, ending(), OVER]) for rule, pieces in SHARED.items()),
    ("bom", [b"\xef\xbb\xbf", *ANTHROPIC]),
    ("unfinished_frame", [*ANTHROPIC, b"event: ping\n"]),
    ("unread_frame", [*ANTHROPIC[:-1], BIG, OVER]),
    ("lone_surrogate", blocks(TEXT_BLOCK[0], delta(0, "text_delta", text="\ud83d"), stop(0))),
    ("empty_event", [b"id: 7\n" + start(), b": ping\n\n", *TEXT_BLOCK, ending(), OVER]),
    ("event_name", blocks(TEXT_BLOCK[0], event("content_block_delta", "", index=0, delta={"type": "text_delta", "text": "a"}), stop(0))),
    ("event_name", [start(), *TEXT_BLOCK, ending(), event("message_stop", "ping")]),
    ("event_name", [start(), event("error", "ping", error={"type": "api_error", "message": "boom"})]),
    ("event_unknown", [start(), event("news"), *TEXT_BLOCK, ending(), OVER]),
    ("start_missing", [*TEXT_BLOCK, ending(), OVER]),
    ("start_missing", []),
    ("start_repeated", [start(), start(), *TEXT_BLOCK, ending(), OVER]),
    ("start_shape", [start(id=""), *TEXT_BLOCK, ending(), OVER]),
    ("start_shape", [start(role="user"), *TEXT_BLOCK, ending(), OVER]),
    ("start_shape", [event("message_start", message=7), *TEXT_BLOCK, ending(), OVER]),
    ("start_fields", [start(content=[{"type": "text", "text": ""}]), *TEXT_BLOCK, ending(), OVER]),
    ("usage_missing", [start(usage=None), *TEXT_BLOCK, ending(), OVER]),
    ("usage_missing", [start(usage={"input_tokens": 1}), *TEXT_BLOCK, ending(), OVER]),
    ("usage_type", [start(usage={"input_tokens": "1", "output_tokens": 0}), *TEXT_BLOCK, ending(), OVER]),
    ("usage_type", [start(), *TEXT_BLOCK, ending(usage={"output_tokens": -1}), OVER]),
    ("usage_decreased", [start(), *TEXT_BLOCK, ending(), ending(usage={"output_tokens": 2}), OVER]),
    ("blocks_open", [start(), *TEXT_BLOCK[:2], ending(), OVER]),
    ("block_after_delta", [start(), ending(), *TEXT_BLOCK, OVER]),
    ("delta_missing", [start(), *TEXT_BLOCK, OVER]),
    ("delta_usage_missing", [start(), *TEXT_BLOCK, ending(usage=None), OVER]),
    ("reason_missing", [start(), *TEXT_BLOCK, ending(None), OVER]),
    ("reason_unknown", [start(), *TEXT_BLOCK, ending("eos"), OVER]),
    ("reason_unknown", [start(), *TEXT_BLOCK, ending(["stop"]), OVER]),
    ("reason_changed", [start(), *TEXT_BLOCK, ending(), ending("max_tokens"), OVER]),
    ("reason_misfit", blocks(*TEXT_BLOCK, reason="tool_use")),
    ("reason_misfit", blocks(*TOOL_BLOCK)),
    ("reason_misfit", blocks(*TEXT_BLOCK, reason="stop_sequence")),
    ("stop_missing", ANTHROPIC[:-1]),
    ("data_after_stop", [*ANTHROPIC, PING]),
    ("data_after_stop", [*ANTHROPIC, b"data: [DONE]\n\n"]),
    ("error_shape", [start(), event("error", error={})]),
    ("error_bare", [start(), frame({"code": 500, "message": "boom", "type": "server_error"}, "error")]),
    ("error_bare", [start(), event("error", error={"message": "boom"})]),
    ("data_after_error", [start(), FAILED, OVER]),
    ("block_index", blocks(block(1, "text", text=""), stop(1))),
    ("block_index", blocks(*TEXT_BLOCK, *TEXT_BLOCK)),
    ("block_shape", blocks(block(0, "text"), stop(0))),
    ("block_shape", blocks(event("content_block_start", index=0, content_block=7), stop(0))),
    ("block_shape", blocks(block(0, "tool_use", id=[], name="ls", input={}), stop(0), reason="tool_use")),
    ("block_shape", blocks(block(0, "tool_use", id=7, name="ls", input={}), stop(0), reason="tool_use")),
    ("block_shape", blocks(block(0, "tool_use", id="", name="ls", input={}), stop(0), reason="tool_use")),
    ("block_fields", blocks(block(0, "tool_use", id="t", name="ls"), stop(0), reason="tool_use")),
    ("block_type_unknown", blocks(block(0, "poem"), stop(0))),
    ("call_input_early", blocks(block(0, "tool_use", id="t", name="ls", input={"a": 1}), stop(0), reason="tool_use")),
    ("call_id_shared", blocks(*TOOL_BLOCK, block(1, "tool_use", **TOOL), stop(1), reason="tool_use")),
    ("blocks_overlap", blocks(*TEXT_BLOCK[:2], block(1, "thinking", thinking="", signature=""), delta(1, "signature_delta", signature=""), stop(0), stop(1))),
    ("calls_overlap", blocks(TOOL_BLOCK[0], block(1, "tool_use", id="u", name="ls", input={}), stop(0), stop(1), reason="tool_use")),
    ("delta_unopened", blocks(delta(0, "text_delta", text="a"))),
    ("delta_after_stop", blocks(*TEXT_BLOCK, TEXT_BLOCK[1])),
    ("delta_shape", blocks(TEXT_BLOCK[0], delta(0, "text_delta", text=7), stop(0))),
    ("delta_shape", blocks(TEXT_BLOCK[0], event("content_block_delta", index=0, delta=7), stop(0))),
    ("delta_misfit", blocks(TEXT_BLOCK[0], delta(0, "thinking_delta", thinking="a"), stop(0))),
    ("delta_misfit", blocks(block(0, "redacted_thinking", data="x"), delta(0, "text_delta", text="a"), stop(0))),
    ("delta_type_unknown", blocks(TEXT_BLOCK[0], delta(0, "poem_delta"), stop(0))),
    ("signature_missing", blocks(*THOUGHT_BLOCK[:2], stop(0))),
    ("thinking_after_signature", blocks(*THOUGHT_BLOCK[:3], THOUGHT_BLOCK[1], stop(0))),
    ("stop_unopened", blocks(stop(0))),
    ("stop_repeated", blocks(*TEXT_BLOCK, stop(0))),
    ("arguments_bad_json", blocks(*TOOL_BLOCK[:2], stop(0), reason="tool_use")),
    ("arguments_no_object", blocks(TOOL_BLOCK[0], delta(0, "input_json_delta", partial_json="[]"), stop(0), reason="tool_use")),
]  # fmt: skip
LEGAL: dict[str, list[bytes]] = {
    "plain": ANTHROPIC,
    "a call": blocks(*TOOL_BLOCK, reason="tool_use"),
    "a call without input": blocks(TOOL_BLOCK[0], stop(0), reason="tool_use"),
    "thinking": blocks(*THOUGHT_BLOCK, block(1, "redacted_thinking", data="x"), stop(1)),
    "nothing said": [start(), ending(), OVER],
    "pings anywhere": [PING, start(), PING, *TEXT_BLOCK, PING, ending(), PING, OVER],
    "comments": [b": hi\n\n", start(), b": hi\n", *TEXT_BLOCK, ending(), b": streamgauge {}\n", OVER],
    "cut arguments": blocks(*TOOL_BLOCK[:2], stop(0), reason="max_tokens"),
    "refused in a call": blocks(*TOOL_BLOCK[:2], stop(0), reason="refusal"),
    "stopped by a text": [start(), *TEXT_BLOCK, ending("stop_sequence", "END"), OVER],
    "two message deltas": [start(), *TEXT_BLOCK, ending(None), ending(), OVER],
    "usage with its parts": [
        start(usage={"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": None, "cache_creation": {}}),
        *TEXT_BLOCK,
        ending(usage={"input_tokens": 5, "output_tokens": 2, "server_tool_use": {}}),
        OVER,
    ],
    "an error": [start(), *TEXT_BLOCK[:2], FAILED],
    "an error at once": [FAILED],
    "a server's tool": blocks(
        block(0, "server_tool_use", id="s", name="web_search", input={}),
        delta(0, "input_json_delta", partial_json="{}"),
        stop(0),
        block(1, "web_search_tool_result", tool_use_id="s", content=[]),
        stop(1),
    ),
    "our metadata": [start(), *TEXT_BLOCK, ending(), event("ping", streamgauge={}), OVER],
}  # fmt: skip


@pytest.mark.parametrize(("rule", "pieces"), BROKEN)
def test_a_stream_that_breaks_a_rule_is_told_so(rule: str, pieces: list[bytes]) -> None:
    found = check("anthropic", b"".join(pieces))
    assert rule in {finding.rule for finding in found}
    assert all(isinstance(finding.text, str) and finding.text for finding in found)
    others = {f.rule for f in found if f.level is Level.ERROR} - {rule}
    left = {
        "unfinished_frame": {"data_after_stop"},
        "frame_too_large": {"start_missing", "stop_missing"},
        "start_missing": {"stop_missing"},
        "block_index": {"stop_unopened", "delta_after_stop", "stop_repeated"},
        "delta_missing": {"reason_missing"},
    }
    assert others <= left.get(rule, set()), [str(f) for f in found]


def test_every_rule_is_broken_by_some_stream() -> None:
    assert {rule for rule, _ in BROKEN} == set(PROTOCOLS["anthropic"])


@pytest.mark.parametrize("name", LEGAL)
def test_nothing_is_found_in_a_legal_stream(name: str) -> None:
    assert [str(f) for f in check("anthropic", b"".join(LEGAL[name]))] == []
