"""Every rule for OpenAI streams: a stream that breaks it, and that only this rule says so."""

from __future__ import annotations

import pytest

from streamgauge.core.grammar import PROTOCOLS, Level, check

from .streams import (
    ARGUMENTS,
    CALL,
    CALLS,
    DONE,
    FAILURE,
    OPENAI,
    ROLE,
    STOP,
    TEXT,
    TOOLS,
    USAGE,
    call,
    chunk,
    frame,
    said,
)

BIG = b'data: {"id":"c","choices":[],"x":"' + b"x" * (4 << 20) + b'"}\n\n'
TWO_ROLES = chunk(said(role="assistant"), said(1, role="assistant"))
TAIL = [STOP, DONE]


def calls(*fragments: dict, finish: str = "tool_calls") -> list[bytes]:
    return [
        ROLE,
        *(chunk(said(tool_calls=[f])) for f in fragments),
        chunk(said(finish=finish)),
        DONE,
    ]


BROKEN: list[tuple[str, list[bytes]]] = [
    ("bom", [b"\xef\xbb\xbf", *OPENAI]),
    ("unfinished_frame", [*OPENAI[:-1], DONE, b"data: x\n"]),
    ("frame_too_large", [ROLE, b"data: " + b"x" * (33 << 20)]),
    ("unread_frame", [ROLE, BIG, *TAIL]),
    ("bad_utf8", [ROLE, b'data: {"choices":"\xff"}\n\n', *TAIL]),
    ("bad_json", [ROLE, frame("{nonsense"), *TAIL]),
    ("bad_json", [ROLE, frame('{"id":"c","id":"c","choices":[]}'), *TAIL]),
    ("bad_json", [ROLE, frame('{"id":"c","choices":[],"x":NaN}'), *TAIL]),
    ("not_an_object", [ROLE, frame("7"), *TAIL]),
    ("lone_surrogate", [ROLE, chunk(said(content="\ud83d")), *TAIL]),
    ("empty_event", [ROLE, b"event: x\n\n", *TAIL]),
    ("empty_event", [ROLE, b"retry: 3\n\n", *TAIL]),
    ("empty_event", [b"id: 7\n" + ROLE, b": ping\n\n", *TAIL]),
    ("empty_event", [ROLE, b"data\n\n", *TAIL]),
    ("named_event", [ROLE, b"event: chunk\n" + TEXT, *TAIL]),
    ("not_a_chunk", [ROLE, frame({"metadata": 1}), *TAIL]),
    ("not_a_chunk", [ROLE, frame({"choices": None}), *TAIL]),
    ("object_name", [ROLE, chunk(said(content="a"), object="chat.completion"), *TAIL]),
    ("id_missing", [ROLE, chunk(said(content="a"), id=""), *TAIL]),
    ("id_changed", [ROLE, chunk(said(content="a"), id="d"), *TAIL]),
    ("model_changed", [ROLE, chunk(said(content="a"), model="n"), *TAIL]),
    ("created_changed", [ROLE, chunk(said(content="a"), created=2), *TAIL]),
    ("created_changed", [chunk(said(role="assistant", finish="stop"), created="1"), DONE]),
    ("choices_type", [ROLE, chunk(7), *TAIL]),
    ("choices_type", [ROLE, chunk(said(), said()), *TAIL]),
    ("index_missing", [ROLE, chunk({"delta": {"content": "a"}}), *TAIL]),
    ("no_choice", [chunk(), DONE]),
    ("error_shape", [ROLE, frame({"error": {"code": 1}})]),
    ("error_text", [ROLE, frame({"error": "boom"})]),
    ("error_flat", [ROLE, frame({"object": "error", "message": "boom"})]),
    ("error_with_choices", [ROLE, frame({"error": {"message": "m"}, "choices": [said()]})]),
    ("data_after_error", [ROLE, FAILURE, TEXT]),
    ("done_after_error", [ROLE, FAILURE, DONE]),
    ("done_padded", [*OPENAI[:-1], b"data:  [DONE]\n\n"]),
    ("done_spelling", [*OPENAI[:-1], b"data: [DONE] \n\n"]),
    ("done_followed", [*OPENAI[:-1], b"data: [DONE]x\n\n"]),
    ("done_missing", OPENAI[:-1]),
    ("data_after_done", [*OPENAI, DONE]),
    ("data_after_done", [*OPENAI, TEXT]),
    ("delta_missing", [ROLE, chunk({"index": 0, "filtered": {}}), *TAIL]),
    ("delta_type", [ROLE, chunk({"index": 0, "delta": None}), *TAIL]),
    ("delta_type", [ROLE, chunk(said(content=["a"])), *TAIL]),
    ("delta_type", [ROLE, chunk(said(content=True)), *TAIL]),
    ("logprobs_type", [ROLE, chunk({**said(content="a"), "logprobs": []}), *TAIL]),
    ("role_missing", [TEXT, *TAIL]),
    ("role_missing", [CALL, ARGUMENTS, CALLS, DONE]),
    ("role_repeated", [ROLE, ROLE, TEXT, *TAIL]),
    ("role_unknown", [chunk(said(role="user", content="")), *TAIL]),
    ("finish_type", [ROLE, chunk({"index": 0, "delta": {}, "finish_reason": 1}), *TAIL]),
    ("finish_empty", [ROLE, chunk(said(finish="")), *TAIL]),
    ("finish_unknown", [ROLE, chunk(said(finish="eos")), DONE]),
    ("finish_missing", [ROLE, TEXT, DONE]),
    ("finish_missing", [TWO_ROLES, *TAIL]),
    ("finish_repeated", [ROLE, STOP, chunk({"index": 0, "finish_reason": "stop", "delta": {}}), DONE]),
    ("finish_changed", [ROLE, STOP, chunk(said(finish="length")), DONE]),
    ("finish_without_call", [ROLE, CALLS, DONE]),
    ("empty_delta_after_finish", [ROLE, STOP, chunk(said(content="")), DONE]),
    ("content_after_finish", [ROLE, STOP, TEXT, DONE]),
    ("usage_type", [ROLE, STOP, chunk(usage=7), DONE]),
    ("usage_type", [ROLE, STOP, chunk(usage={**USAGE, "prompt_tokens": -1}), DONE]),
    ("usage_type", [ROLE, STOP, chunk(usage={**USAGE, "total_tokens": "8"}), DONE]),
    ("usage_type", [ROLE, STOP, chunk(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": "5"}}), DONE]),
    ("usage_sum", [ROLE, STOP, chunk(usage={**USAGE, "total_tokens": 9}), DONE]),
    ("usage_parts", [ROLE, STOP, chunk(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 9}}), DONE]),
    ("usage_on_choice", [ROLE, chunk(said(finish="stop"), usage=USAGE), DONE]),
    ("usage_before_finish", [ROLE, chunk(usage=USAGE), STOP, DONE]),
    ("usage_early", [TWO_ROLES, STOP, chunk(usage=USAGE), chunk(said(1, finish="stop")), DONE]),
    ("usage_repeated", [ROLE, STOP, chunk(usage=USAGE), chunk(usage=USAGE), DONE]),
    ("calls_type", [ROLE, chunk(said(tool_calls={"index": 0})), *TAIL]),
    ("calls_type", [ROLE, chunk(said(tool_calls=[7])), *TAIL]),
    ("calls_type", calls({"index": 0, "id": "x", "type": "function"}, finish="length")),
    ("call_index_missing", calls(call(None, id="x", name="ls", arguments="{}"))),
    ("call_index_missing", calls(call(None, id="x", name="ls"), call(None, arguments="{}"))),
    ("call_index_gap", calls(call(1, id="x", name="ls", arguments="{}"))),
    ("call_index_reused", calls(call(id="x", name="a", arguments="{}"), call(id="y", name="b", arguments="{}"))),
    ("call_id_missing", calls({"index": 0, "type": "function", "function": {"name": "ls", "arguments": "{}"}})),
    ("call_id_repeated", calls(call(id="x", name="ls", arguments="{"), call(id="x", arguments="}"))),
    ("call_id_shared", calls(call(id="x", name="a", arguments="{}"), call(1, id="x", name="b", arguments="{}"))),
    ("call_name_missing", calls(call(id="x", arguments="{}"))),
    ("call_name_pieces", calls(call(id="x", name="l"), call(name="s", arguments="{}"))),
    ("call_type", calls({"index": 0, "id": "x", "function": {"name": "ls", "arguments": "{}"}})),
    ("arguments_type", calls(call(id="x", name="ls", arguments={"a": 1}), call(arguments="{}"))),
    ("arguments_empty", calls(call(id="x", name="ls"))),
    ("arguments_bad_json", calls(call(id="x", name="ls", arguments='{"a":'))),
    ("arguments_bad_json", calls(call(id="x", name="ls", arguments="{"), finish="stop")),
    ("arguments_no_object", calls(call(id="x", name="ls", arguments="[1]"))),
]  # fmt: skip
LEGAL: dict[str, list[bytes]] = {
    "plain": OPENAI,
    "a call": TOOLS,
    "no usage": [ROLE, TEXT, *TAIL],
    "nothing said": [ROLE, *TAIL],
    "finish with content": [ROLE, chunk(said(content="a", finish="stop")), DONE],
    "null texts": [chunk(said(role="assistant", content=None)), chunk(said(tool_calls=None, reasoning_content="h")), *TAIL],
    "usage all of which was cached, or reasoning": [
        *OPENAI[:3],
        chunk(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 5}, "completion_tokens_details": {"reasoning_tokens": 3}}),
        DONE,
    ],
    "usage null": [chunk(said(role="assistant"), usage=None), *TAIL],
    "empty list of calls": [ROLE, chunk(said(content="a", tool_calls=[])), *TAIL],
    "parallel calls in one chunk": [
        ROLE,
        chunk(said(tool_calls=[call(id="x", name="a", arguments="{}"), call(1, id="y", name="b", arguments="{")])),
        chunk(said(tool_calls=[call(1, arguments="}")])),
        CALLS,
        DONE,
    ],
    "cut arguments": [ROLE, CALL, chunk(said(tool_calls=[call(arguments='{"a')])), chunk(said(finish="length")), DONE],
    "a call's fragment that says nothing": calls(call(id="x", name="ls", arguments="{}"), {"index": 0}),
    "a call in the older form": [ROLE, chunk(said(function_call={"name": "ls", "arguments": "{}"})), chunk(said(finish="function_call")), DONE],
    "two choices": [TWO_ROLES, chunk(said(content="a")), chunk(said(1, content="b")), STOP, chunk(said(1, finish="length")), DONE],
    "an error": [ROLE, TEXT, FAILURE],
    "an error at once": [FAILURE],
    "comments": [b": hi\n\n", ROLE, b": ping\n", TEXT, b": streamgauge {}\n", STOP, DONE, b": bye\n"],
    "a comment line behind an id": [b"id: 7\n" + ROLE, b": ping\n", *TAIL],
    "extra keys": [ROLE, chunk(said(content="a"), timings={}, obfuscation="x"), *TAIL],
    "our metadata": [ROLE, STOP, chunk(streamgauge={"tokens": 1}), DONE],
}  # fmt: skip


@pytest.mark.parametrize(("rule", "pieces"), BROKEN)
def test_a_stream_that_breaks_a_rule_is_told_so(rule: str, pieces: list[bytes]) -> None:
    found = check("openai", b"".join(pieces))
    assert rule in {finding.rule for finding in found}
    assert all(isinstance(finding.text, str) and finding.text for finding in found)
    others = {f.rule for f in found if f.level is Level.ERROR} - {rule}
    # What was not read, or not known to have ended, leaves something behind.
    left = {"bom": set(), "unfinished_frame": {"done_missing", "data_after_done"}}
    cut = {"done_missing", "finish_missing", "no_choice", "bad_json"}
    assert others <= left.get(rule, cut), [str(f) for f in found]


def test_every_rule_is_broken_by_some_stream() -> None:
    assert {rule for rule, _ in BROKEN} == set(PROTOCOLS["openai"])


@pytest.mark.parametrize("name", LEGAL)
def test_nothing_is_found_in_a_legal_stream(name: str) -> None:
    assert [str(f) for f in check("openai", b"".join(LEGAL[name]))] == []


def test_a_finding_says_where_it_is() -> None:
    broken = b": hello\n" + ROLE + chunk(said(content="a"), id="d") + STOP + DONE
    (finding,) = check("openai", broken)
    assert (finding.rule, finding.frame) == ("id_changed", 2)
    assert broken[finding.offset :].startswith(b"data: ")
    assert finding.offset == len(b": hello\n" + ROLE)
    assert str(finding).startswith("frame 2 byte ")


def test_one_broken_rule_does_not_flood_the_report() -> None:
    found = check("openai", ROLE + chunk(said(content="a"), id="d") * 50 + STOP + DONE)
    assert [f.rule for f in found] == ["id_changed"] * 5
    found = check("openai", ROLE + chunk(said(content="a"), model="n") * 50 + STOP + DONE)
    assert [f.rule for f in found] == ["model_changed"]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 100])
def test_cutting_the_wire_anywhere_changes_no_finding(length: int) -> None:
    from streamgauge.core.grammar import checker_of

    body = b"\xef\xbb\xbf" + b"".join(
        (ROLE, CALL, ARGUMENTS.replace(b"\n", b"\r\n"), TEXT, STOP, DONE, b"data: x")
    )
    whole = check("openai", body)
    checker = checker_of("openai")
    found = [f for i in range(0, len(body), length) for f in checker.feed(body[i : i + length])]
    assert (*found, *checker.end()) == whole
    assert {f.rule for f in whole} == {"bom", "unfinished_frame"}
