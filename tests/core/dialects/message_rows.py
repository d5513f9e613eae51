"""OpenAI chunks, and the events of Anthropic's that they become, each in a short form."""

from __future__ import annotations

from typing import Any

from streamgauge.core.dialects.base import Telling

from ...grammar_check import OURS

__all__ = [
    "END",
    "HEAD",
    "ODD",
    "ROLE",
    "ROWS",
    "TELLING",
    "Line",
    "call",
    "delta",
    "end",
    "text",
    "thinking",
    "tool",
]

TELLING = Telling("a" * 20, 'm"ü', 1_790_000_000)
Line = tuple[Any, ...]

# What the wire below is said to be, an event a line: kind, index, what is in it.
HEAD: Line = ("message_start",)
END: Line = ("message_stop",)


def delta(members: dict[str, Any] | None = None, finish: str | None = None) -> dict[str, Any]:
    """Return an OpenAI chunk."""
    return {"choices": [{"index": 0, "delta": members or {}, "finish_reason": finish}]}


def call(**members: Any) -> dict[str, Any]:
    """Return an OpenAI chunk with one piece of a call; `name` and `arguments` are its function's."""
    function = {key: members.pop(key) for key in ("name", "arguments") if key in members}
    return delta({"tool_calls": [{**members, "function": function}]})


def text(index: int, *pieces: str) -> list[Line]:
    said: list[Line] = [("text", index, piece) for piece in pieces]
    return [("start", index, "text", ""), *said, ("stop", index)]


def thinking(index: int, *pieces: str, signature: str = "") -> list[Line]:
    said: list[Line] = [("thinking", index, piece) for piece in pieces]
    signed: Line = ("signature", index, signature)
    return [("start", index, "thinking", "", ""), *said, signed, ("stop", index)]


def tool(index: int, call_id: str, name: str, *pieces: str) -> list[Line]:
    said: list[Line] = [("input_json", index, piece) for piece in pieces]
    return [("start", index, "tool_use", call_id, name, {}), *said, ("stop", index)]


def end(reason: str, text: str | None = None) -> Line:
    return ("end", reason, text)


ROLE = delta({"role": "assistant", "content": ""})
ROWS: dict[str, tuple[list[dict[str, Any]], list[Line]]] = {
    "text in pieces": (
        [ROLE, delta({"content": "He"}), delta({"content": "llo"}), delta(finish="stop")],
        [*text(0, "He", "llo"), end("end_turn")],
    ),
    "content null in every chunk": (
        [
            delta({"role": "assistant", "content": None}),
            delta({"content": None}),
            delta(finish="stop"),
        ],
        [end("end_turn")],
    ),
    "reasoning before text": (
        [
            delta({"reasoning_content": "r"}),
            delta({"reasoning": "s"}),
            delta({"content": "a"}, "stop"),
        ],
        [*thinking(0, "r", "s"), *text(1, "a"), end("end_turn")],
    ),
    "reasoning after text and text again": (
        [
            delta({"content": "a"}),
            delta({"reasoning": "r"}),
            delta({"content": "b"}),
            delta(finish="stop"),
        ],
        [*text(0, "a"), *thinking(1, "r"), *text(2, "b"), end("end_turn")],
    ),
    "only reasoning": (
        [delta({"reasoning": "r"}), delta(finish="length")],
        [*thinking(0, "r"), end("max_tokens")],
    ),
    "a finish and no content at all": ([ROLE, delta(finish="stop")], [end("end_turn")]),
    "reasoning, content, call and finish in one chunk": (
        [
            delta(
                {
                    "tool_calls": [
                        {"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}
                    ],
                    "content": "a",
                    "reasoning": "r",
                },
                "tool_calls",
            )
        ],
        [*thinking(0, "r"), *text(1, "a"), *tool(2, "t", "f", "{}"), end("tool_use")],
    ),
    "a call in pieces": (
        [
            call(index=0, id="t", name="ls", arguments=""),
            call(index=0, arguments='{"p"'),
            call(index=0, arguments=":1}"),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "ls", '{"p"', ":1}"), end("tool_use")],
    ),
    "a name in pieces": (
        [
            call(index=0, id="t", name="get_"),
            call(index=0, name="wea"),
            call(index=0, name="ther", arguments="{"),
            call(index=0, arguments="}"),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "get_weather", "{", "}"), end("tool_use")],
    ),
    "a name told again with every piece": (
        [
            call(index=0, id="t", name="ls", arguments="{"),
            call(index=0, id="t", name="ls", arguments="}"),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "ls", "{", "}"), end("tool_use")],
    ),
    "an id behind the name": (
        [
            call(index=0, name="ls"),
            call(index=0, id="t", arguments="{}"),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "ls", "{}"), end("tool_use")],
    ),
    "a name told again before the arguments": (
        [
            call(index=0, id="t", name="ls"),
            call(index=0, id="t", name="ls", arguments="{}"),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "ls", "{}"), end("tool_use")],
    ),
    "another name behind arguments that came before it": (
        [
            call(index=0, id="t", arguments="{"),
            call(index=0, name="ls", arguments='"a"'),
            call(index=0, name="x", arguments=":1}"),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "ls", "{", '"a"', ":1}"), end("tool_use")],
    ),
    "arguments before the name": (
        [
            call(index=0, id="t", arguments='{"p"'),
            call(index=0, arguments=":"),
            call(index=0, name="ls"),
            call(index=0, arguments="1}"),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "ls", '{"p":', "1}"), end("tool_use")],
    ),
    "a call that never gets a name": (
        [call(index=0, id="t", arguments="{}"), delta(finish="tool_calls")],
        [*tool(0, "t", "unnamed", "{}"), end("tool_use")],
    ),
    "no index": (
        [
            call(id="t", name="f", arguments="{"),
            call(arguments="}"),
            call(id="u", name="g", arguments="{}"),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "f", "{", "}"), *tool(1, "u", "g", "{}"), end("tool_use")],
    ),
    "index 0 for every call": (
        [
            call(index=0, id="t", name="f", arguments="{}"),
            call(index=0, id="u", name="f", arguments="{}"),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "f", "{}"), *tool(1, "u", "f", "{}"), end("tool_use")],
    ),
    "index 0 and interleaved, told apart by id": (
        [
            call(index=0, id="t", name="f", arguments="{"),
            call(index=0, id="u", name="f", arguments="{"),
            call(index=0, id="t", arguments="}"),
            call(index=0, id="u", arguments="}"),
            delta(finish="tool_calls"),
        ],
        [
            ("start", 0, "tool_use", "t", "f", {}),
            ("input_json", 0, "{"),
            ("start", 1, "tool_use", "u", "f", {}),
            ("input_json", 1, "{"),
            ("input_json", 0, "}"),
            ("input_json", 1, "}"),
            ("stop", 0),
            ("stop", 1),
            end("tool_use"),
        ],
    ),
    "a new id with every piece": (
        [
            call(index=0, id="t", name="f", arguments="{"),
            call(index=0, id="x1", arguments='"a":'),
            call(index=0, id="x2", arguments="1}"),
            delta(finish="stop"),
        ],
        [*tool(0, "t", "f", "{", '"a":', "1}"), end("tool_use")],
    ),
    "no ids": (
        [
            call(index=0, name="f", arguments="{}"),
            call(index=1, name="g"),
            delta(finish="tool_calls"),
        ],
        [
            *tool(0, f"toolu_{TELLING.id}_0", "f", "{}"),
            *tool(1, f"toolu_{TELLING.id}_1", "g"),
            end("tool_use"),
        ],
    ),
    "one id for two calls": (
        [
            call(index=0, id="t", name="f", arguments="{}"),
            call(index=1, id="t", name="g", arguments="{}"),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "f", "{}"), *tool(1, f"toolu_{TELLING.id}_1", "g", "{}"), end("tool_use")],
    ),
    "interleaved calls overlap": (
        [
            delta(
                {
                    "tool_calls": [
                        {"index": i, "id": c, "function": {"name": c}}
                        for i, c in ((0, "t"), (1, "u"))
                    ]
                }
            ),
            delta({"tool_calls": [{"index": i, "function": {"arguments": "{"}} for i in (1, 0)]}),
            delta({"tool_calls": [{"index": i, "function": {"arguments": "}"}} for i in (0, 1)]}),
            delta(finish="tool_calls"),
        ],
        [
            ("start", 0, "tool_use", "t", "t", {}),
            ("start", 1, "tool_use", "u", "u", {}),
            ("input_json", 1, "{"),
            ("input_json", 0, "{"),
            ("input_json", 0, "}"),
            ("input_json", 1, "}"),
            ("stop", 0),
            ("stop", 1),
            end("tool_use"),
        ],
    ),
    "a call without arguments": (
        [call(index=0, id="t", name="f", arguments=""), delta(finish="tool_calls")],
        [*tool(0, "t", "f"), end("tool_use")],
    ),
    "text after a call": (
        [
            call(index=0, id="t", name="f", arguments='{"a":"}"'),
            call(index=0, arguments="}"),
            delta({"content": "b"}),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "f", '{"a":"}"', "}"), *text(1, "b"), end("tool_use")],
    ),
    "text after a call that is not whole": (
        [
            call(index=0, id="t", name="f", arguments='{"a":"'),
            delta({"content": "b"}),
            call(index=0, arguments='"}'),
            delta({"content": "c"}, "tool_calls"),
        ],
        [
            ("start", 0, "tool_use", "t", "f", {}),
            ("input_json", 0, '{"a":"'),
            ("start", 1, "text", ""),
            ("text", 1, "b"),
            ("input_json", 0, '"}'),
            ("text", 1, "c"),
            ("stop", 0),
            ("stop", 1),
            end("tool_use"),
        ],
    ),
    "text on both sides of a call without arguments": (
        [
            delta({"content": "a"}),
            call(index=0, id="t", name="f"),
            delta({"content": "b"}),
            delta(finish="stop"),
        ],
        [
            *text(0, "a"),
            ("start", 1, "tool_use", "t", "f", {}),
            ("start", 2, "text", ""),
            ("text", 2, "b"),
            ("stop", 1),
            ("stop", 2),
            end("tool_use"),
        ],
    ),
    "reasoning on both sides of a call without arguments": (
        [
            delta({"reasoning": "a"}),
            call(index=0, id="t", name="f"),
            delta({"reasoning": "b"}),
            delta(finish="stop"),
        ],
        [
            *thinking(0, "a"),
            ("start", 1, "tool_use", "t", "f", {}),
            ("start", 2, "thinking", "", ""),
            ("thinking", 2, "b"),
            ("stop", 1),
            ("signature", 2, ""),
            ("stop", 2),
            end("tool_use"),
        ],
    ),
    "text before the name is whole": (
        [call(index=0, id="t", name="f"), delta({"content": "b"}), delta(finish="tool_calls")],
        [
            ("start", 0, "tool_use", "t", "f", {}),
            ("start", 1, "text", ""),
            ("text", 1, "b"),
            ("stop", 0),
            ("stop", 1),
            end("tool_use"),
        ],
    ),
    "arguments cut by the limit": (
        [call(index=0, id="t", name="f", arguments='{"a":'), delta(finish="length")],
        [*tool(0, "t", "f", '{"a":'), end("max_tokens")],
    ),
    "blanks behind whole arguments": (
        [
            call(index=0, id="t", name="f", arguments="{}"),
            call(index=1, id="u", name="g", arguments="{}"),
            call(index=0, arguments="\n"),
            delta(finish="tool_calls"),
        ],
        [*tool(0, "t", "f", "{}"), *tool(1, "u", "g", "{}"), end("tool_use")],
    ),
    "the deprecated function call": (
        [
            delta({"function_call": {"name": "f", "arguments": "{"}}),
            delta({"function_call": {"arguments": "}"}}),
            delta(finish="function_call"),
        ],
        [*tool(0, f"toolu_{TELLING.id}_0", "f", "{", "}"), end("tool_use")],
    ),
    "a refusal": (
        [delta({"refusal": "No"}), delta({"refusal": "."}), delta(finish="stop")],
        [*text(0, "No", "."), end("refusal")],
    ),
    "a signature": (
        [
            delta(
                {"reasoning": "r", "reasoning_details": [{"type": "reasoning.text", "text": "r"}]}
            ),
            delta({"reasoning_details": [{"type": "reasoning.text", "signature": "S"}]}),
            delta({"content": "a"}, "stop"),
        ],
        [*thinking(0, "r", signature="S"), *text(1, "a"), end("end_turn")],
    ),
    "a signature, repeated, of nothing told": (
        [
            delta({"reasoning_details": [{"signature": "S"}]}),
            delta({"reasoning_details": [{"signature": "S"}]}),
            delta(finish="stop"),
        ],
        [*thinking(0, signature="S"), end("end_turn")],
    ),
    "two signed thoughts": (
        [
            delta(
                {
                    "reasoning_details": [
                        {"text": "r", "signature": "S"},
                        {"text": "q", "signature": "T"},
                    ]
                }
            ),
            delta(finish="stop"),
        ],
        [*thinking(0, "r", signature="S"), *thinking(1, "q", signature="T"), end("end_turn")],
    ),
    "reasoning nobody may read": (
        [
            delta({"reasoning": "r"}),
            delta({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x="}]}),
            delta({"content": "a"}, "stop"),
        ],
        [
            *thinking(0, "r"),
            ("start", 1, "redacted_thinking", "x="),
            ("stop", 1),
            *text(2, "a"),
            end("end_turn"),
        ],
    ),
    "usage, timings and unknown members": (
        [
            {"choices": [], "prompt_filter_results": []},
            {**delta({"content": "a"}), "provider": "x", "usage": None},
            {**delta(finish="stop"), "timings": {"predicted_n": 1}},
            {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
        ],
        [*text(0, "a"), end("end_turn")],
    ),
    "further choices": (
        [
            delta({"content": "a"}),
            {"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "length"}]},
            {
                "choices": [
                    {
                        "index": 1,
                        "delta": {
                            "reasoning": "x",
                            "tool_calls": [
                                {"id": "t", "function": {"name": "f", "arguments": "{}"}}
                            ],
                        },
                    }
                ]
            },
            delta({"content": "b"}, "stop"),
        ],
        [*text(0, "a", "b"), end("end_turn")],
    ),
}

ODD = {
    "index 0 and interleaved, told apart by id": OURS,
    "interleaved calls overlap": OURS,
    "text after a call that is not whole": {"blocks_overlap"},
    "text before the name is whole": {"blocks_overlap"},
    "text on both sides of a call without arguments": {"blocks_overlap"},
    "reasoning on both sides of a call without arguments": {"blocks_overlap"},
}
"""What must overlap, because nothing may be held back."""
