"""OpenAI usage: what is believed, what is refused, what is flagged."""

from __future__ import annotations

import msgspec
import pytest

from streamgauge.core.dialects.loose import load
from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.dialects.openai.usage import usage_of
from streamgauge.core.events import Event, Noted, UsageReported
from streamgauge.core.usage import MAX_COUNT, TokenUsage


def frame(usage: str, choices: str = "[]", more: str = "") -> bytes:
    return f'{{"choices":{choices},"usage":{usage}{more}}}'.encode()


def events(payload: bytes) -> list[Event]:
    return list(ChatDecoder().decode(payload, b""))


def notes(payload: bytes) -> list[str]:
    return [event.anomaly for event in events(payload) if isinstance(event, Noted)]


def reported(payload: bytes) -> UsageReported:
    (usage,) = [event for event in events(payload) if isinstance(event, UsageReported)]
    return usage


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ('{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}', TokenUsage(7, 3)),
        ('{"prompt_tokens":7,"completion_tokens":0}', TokenUsage(7, 0)),
        ('{"prompt_tokens":7,"completion_tokens":null}', TokenUsage(7, None)),
        ('{"prompt_tokens":8,"total_tokens":8}', TokenUsage(8, None)),
        ("{}", TokenUsage()),
        (f'{{"prompt_tokens":{MAX_COUNT},"completion_tokens":1}}', TokenUsage(MAX_COUNT, 1)),
        (
            '{"prompt_tokens":12,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8,'
            '"cache_write_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}',
            TokenUsage(12, 3, 8, 2, 1),
        ),
        (
            '{"prompt_tokens":9,"completion_tokens":1,"prompt_cache_hit_tokens":5,"prompt_cache_miss_tokens":4}',
            TokenUsage(9, 1, 5),
        ),
        (
            '{"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":null}',
            TokenUsage(9, 1),
        ),
        ('{"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":[]}', TokenUsage(9, 1)),
        ('{"prompt_tokens":5,"prompt_tokens":5,"completion_tokens":1}', TokenUsage(5, 1)),
    ],
)
def test_stated_counts_are_taken_and_nothing_else(usage: str, counts: TokenUsage) -> None:
    assert reported(frame(usage)).usage == counts
    assert notes(frame(usage)) == []


@pytest.mark.parametrize(
    "usage",
    [
        '{"prompt_tokens":-7,"completion_tokens":3}',
        '{"prompt_tokens":7,"completion_tokens":-1}',
        '{"prompt_tokens":"7","completion_tokens":3}',
        '{"prompt_tokens":7.0,"completion_tokens":3}',
        '{"prompt_tokens":7,"completion_tokens":3.5}',
        '{"prompt_tokens":1e400,"completion_tokens":3}',
        '{"prompt_tokens":1e99999999999999999999,"completion_tokens":3}',
        '{"prompt_tokens":true,"completion_tokens":3}',
        '{"prompt_tokens":7,"completion_tokens":9223372036854775808}',
        f'{{"prompt_tokens":{MAX_COUNT + 1},"completion_tokens":3}}',
        '{"prompt_tokens":7,"completion_tokens":' + "9" * 5000 + "}",
        '{"prompt_tokens":[7],"completion_tokens":{}}',
        '{"prompt_tokens":7,"prompt_tokens":8,"completion_tokens":3}',
        '{"prompt_tokens":7,"completion_tokens":3,"completion\\u005ftokens":4}',
        '{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}',
        '{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4,'
        '"cache_write_tokens":4}}',
        '{"prompt_tokens":7,"completion_tokens":3,"completion_tokens_details":{"reasoning_tokens":4}}',
        "[7,3]",
        '"7/3"',
        "true",
        "7",
    ],
)
def test_an_impossible_usage_is_refused_as_a_whole(usage: str) -> None:
    running = frame(usage, '[{"index":0,"delta":{}}]')
    assert notes(running) == ["usage_refused"]
    assert not any(isinstance(event, UsageReported) for event in events(running))
    # A frame of usage alone says so still, and states nothing: it may have to be removed.
    assert notes(frame(usage)) == ["usage_refused"]
    assert reported(frame(usage)).usage == TokenUsage()
    assert reported(frame(usage)).alone


def test_nan_is_no_json_and_no_count() -> None:
    payload = frame('{"prompt_tokens":NaN,"completion_tokens":3}')
    assert sorted(notes(payload)) == ["bad_json", "usage_refused"]


def test_two_different_usage_objects_in_one_frame_are_refused() -> None:
    twice = frame('{"prompt_tokens":7}', more=',"usage":{"prompt_tokens":8}')
    assert notes(twice) == ["usage_refused"]
    same = frame('{"prompt_tokens":7}', more=',"usage":{"prompt_tokens":7}')
    assert reported(same).usage == TokenUsage(7)


@pytest.mark.parametrize(
    ("usage", "anomaly", "counts"),
    [
        (
            '{"prompt_tokens":7,"completion_tokens":3,"total_tokens":11}',
            "usage_mismatch",
            TokenUsage(7, 3),
        ),
        (
            '{"prompt_tokens":7,"completion_tokens":3,"total_tokens":"x"}',
            "usage_mismatch",
            TokenUsage(7, 3),
        ),
        ('{"prompt_tokens":0,"completion_tokens":3}', "suspect_usage", TokenUsage(0, 3)),
        (
            '{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":-1}}',
            "usage_mismatch",
            TokenUsage(7, 3),
        ),
        (
            '{"prompt_tokens_details":{"cached_tokens":99999999999999999999}}',
            "usage_mismatch",
            TokenUsage(),
        ),
    ],
)
def test_an_odd_usage_is_kept_and_flagged(usage: str, anomaly: str, counts: TokenUsage) -> None:
    assert notes(frame(usage)) == [anomaly]
    assert reported(frame(usage)).usage == counts


@pytest.mark.parametrize(
    ("choices", "alone", "running"),
    [
        ("[]", True, False),
        ("null", False, False),
        ('[{"index":0,"delta":{"content":"a"}}]', False, True),
        ('[{"index":0}]', False, True),
        ('[{"index":0,"delta":{},"finish_reason":"stop"}]', False, False),
    ],
)
def test_the_frame_tells_whether_more_will_follow(choices: str, alone: bool, running: bool) -> None:
    usage = reported(frame('{"prompt_tokens":1,"completion_tokens":1}', choices))
    assert (usage.alone, usage.running, usage.final) == (alone, running, True)


def test_usage_without_choices_is_read_and_is_not_ours() -> None:
    usage = reported(b'{"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    assert (usage.usage, usage.alone) == (TokenUsage(1, 1), False)


@pytest.mark.parametrize("usage", ["null", 'null,"service_tier":null'])
def test_null_usage_states_nothing(usage: str) -> None:
    assert events(frame(usage)) == []


def test_groq_states_its_usage_elsewhere() -> None:
    payload = (
        b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
        b'"x_groq":{"usage":{"prompt_tokens":4,"completion_tokens":2}}}'
    )
    assert reported(payload).usage == TokenUsage(4, 2)
    assert events(b'{"choices":[],"x_groq":{"id":"req"}}') == []


def test_the_service_tier_of_any_frame_comes_with_the_usage() -> None:
    decoder = ChatDecoder()
    decoder.decode(b'{"choices":[{"delta":{"content":"a"}}],"service_tier":"flex"}', b"")
    (usage,) = decoder.decode(frame('{"prompt_tokens":1}'), b"")
    assert isinstance(usage, UsageReported)
    assert usage.service_tier == "flex"


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        ("0.00012345678901234567", "0.00012345678901234567"),
        ("1.5e-7", "0.00000015"),
        ("3", "3"),
        ("0", "0"),
        ('"0.25"', "0.25"),
        ("-1", None),
        ("1e400", None),
        ("true", None),
        ("null", None),
        ('"much"', None),
        ('"NaN"', None),
        ("0." + "1" * 5000, None),
        ("[]", None),
    ],
)
def test_the_upstreams_own_cost_is_exact_text(cost: str, text: str | None) -> None:
    usage = f'{{"prompt_tokens":1,"completion_tokens":1,"cost":{cost}}}'
    assert reported(frame(usage)).cost == text


@pytest.mark.parametrize(
    "usage",
    [
        '{"prompt_tokens":5,"prompt_tokens":6,"completion_tokens":1}',
        r'{"prompt_tokens":5,"\u0070rompt_tokens":6,"completion_tokens":1}',
        '{"prompt_tokens":5,"completion_tokens":1,"completion_tokens":1.0,"a":{"b":1,"b":2}}',
    ],
)
def test_a_count_that_stands_twice_is_never_the_last_one(usage: str) -> None:
    read = usage_of(msgspec.Raw(usage.encode()))
    assert read == load(usage.encode()).value
