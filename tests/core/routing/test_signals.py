"""What is looked at in a request, and that it is looked at only when asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.chat import read_chat_request
from streamgauge.core.routing.asked import Asked
from streamgauge.core.routing.rules import When
from streamgauge.core.routing.signals import Signals
from streamgauge.gateway.admission import asked_of

SHORT = st.text(alphabet='ab c\n"字é😀', max_size=40)
LONG = st.builds(
    str.__mul__, st.text(alphabet="ab 字", min_size=1, max_size=4), st.integers(200, 900)
)
TEXTS = SHORT | LONG
PARTS = st.one_of(
    st.builds(lambda t: {"type": "text", "text": t}, TEXTS),
    st.just({"type": "image_url", "image_url": {"url": "https://h/i"}}),
)
CONTENTS = st.one_of(TEXTS, st.lists(PARTS, min_size=1, max_size=3))
MESSAGES = st.lists(st.builds(lambda c: {"role": "user", "content": c}, CONTENTS), max_size=5)
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "what it does", "parameters": {}},
}


def asked(fields: dict[str, Any], escaped: bool = False) -> Asked:
    raw = json.dumps(fields, ensure_ascii=escaped).encode()
    return asked_of(read_chat_request("chat/completions", raw, lambda name: None))


@given(MESSAGES, st.booleans(), st.booleans(), st.integers(0, 4000))
def test_the_bounds_never_decide_otherwise_than_the_estimate(
    messages: list[Any], tools: bool, escaped: bool, threshold: int
) -> None:
    fields = {"messages": messages, **({"tools": [TOOL]} if tools else {})}
    request = asked(fields, escaped)
    estimate = request.estimate()
    assert estimate is not None
    assert Signals(request).is_longer_than(threshold) is (estimate > threshold)
    assert Signals(request).is_longer_than(estimate) is False
    if estimate:
        assert Signals(request).is_longer_than(estimate * 3 // 4 - 1) is True
        assert Signals(request).is_longer_than(estimate - 1) is True


def test_what_is_clearly_short_or_clearly_long_is_not_estimated() -> None:
    def never() -> int | None:
        raise AssertionError("nobody need read the whole conversation")

    for count, longer in ((100, False), (100_000, True)):
        fields = {"messages": [{"role": "user", "content": "x" * count}]}
        request = Asked(
            "openai", "chat/completions", "m", size=count + 60, fields=fields, estimate=never
        )
        assert Signals(request).is_longer_than(10_000) is longer


def test_the_estimate_is_made_once_and_an_unknown_one_decides_nothing() -> None:
    calls = []

    def unknown() -> int | None:
        calls.append(1)
        return None

    signals = Signals(Asked("openai", "chat/completions", "m", size=1000, estimate=unknown))
    assert [signals.is_longer_than(n) for n in (100, 200, 300)] == [False] * 3
    assert len(calls) == 1


@given(MESSAGES, TEXTS, st.integers(0, 3000))
def test_characters_are_those_of_the_texts(messages: list[Any], system: str, least: int) -> None:
    contents = [system, *(m["content"] for m in messages)]
    texts = [
        t for c in contents for t in ([c] if isinstance(c, str) else (p.get("text", "") for p in c))
    ]
    request = asked({"system": system, "messages": messages})
    chars = sum(map(len, texts))
    assert Signals(request).has_chars(least) is (chars >= least)
    assert [Signals(request).has_chars(n) for n in (chars, chars + 1)] == [True, False]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"messages": None, "tools": 3, "thinking": True, "reasoning": [], "plugins": "web"},
        {"messages": [None, 7, {"role": "user"}, {"role": "user", "content": [None, {"type": 3}]}]},
        {
            "messages": {"role": "user"},
            "input": 5,
            "prompt": [1, 2],
            "tools": [None, {"type": None}],
        },
    ],
)
def test_odd_requests_have_no_signal_and_break_nothing(fields: dict[str, Any]) -> None:
    signals = Signals(Asked("openai", "chat/completions", "m", size=100, fields=fields))
    assert [signals.has_image, signals.wants_web_search, signals.wants_thinking] == [False] * 3
    assert signals.user_text == ""
    assert not signals.has_chars(1)


def test_conditions_that_others_rule_out_are_not_looked_at() -> None:
    class Untouched(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            raise AssertionError(f"{key} was looked at")

    request = Asked("openai", "chat/completions", "m", size=10, fields=Untouched())
    when = When(headers=((b"x-team", When().keys),), keywords=("nightly",), min_input_chars=5)
    assert when.holds(Signals(request)) is False


def test_what_a_tool_said_counts_and_nobody_said_it() -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "a",
        "content": [{"type": "text", "text": "abc"}],
    }
    other = {"type": "tool_result", "tool_use_id": "b", "content": "defg"}
    fields = {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "user", "content": [result, other]},
        ]
    }
    signals = Signals(Asked("anthropic", "messages", "m", size=200, fields=fields))
    assert [signals.has_chars(n) for n in (9, 10)] == [True, False]
    assert signals.user_text == "hi"


@pytest.mark.parametrize(("output", "image"), [
    ([{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "data:"}], True),
    ({"type": "computer_screenshot", "image_url": "data:"}, True),
    ([{"type": "input_text", "text": "x"}], False), ("input_image", False), (None, False),
])  # fmt: skip
def test_an_image_in_a_result_of_the_responses_api_is_seen(output: Any, image: bool) -> None:
    result = {"type": "function_call_output", "call_id": "c", "output": output}
    fields: dict[str, Any] = {"input": [{"role": "user", "content": "hi"}, result]}
    signals = Signals(Asked("openai", "responses", "m", size=200, fields=fields))
    assert signals.has_image is image
    assert not signals.is_plain(1000)


def test_a_conversation_is_looked_through_once_however_often_it_is_asked_about() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://h/i"}}
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": [image, "Hi"]}]}
    signals = Signals(Asked("openai", "chat/completions", "m", size=200, fields=fields))
    before = (signals.has_image, signals.user_text)
    fields["messages"].clear()
    assert (signals.has_image, signals.user_text) == before == (True, "")


def test_where_nobody_estimates_only_the_bounds_decide() -> None:
    signals = Signals(Asked("openai", "chat/completions", "m", size=1000))
    assert [signals.is_longer_than(n) for n in (100, 2000)] == [False, False]
