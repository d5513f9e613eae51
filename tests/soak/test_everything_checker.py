"""What is checked only where everything is on can fail too: each violation is planted, and is found."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

from ..e2e.receivers import Received
from .calls import call_of
from .everything import (
    Influx,
    exported_once,
    i10_one_attempt_shows_output,
    i13_what_came_is_what_was_sent,
    keys_are_the_rows,
    secrets_in,
)
from .expected import expectation
from .extras import Extra
from .proof import Proved
from .test_checker import CALL, case_of

EXTRA = Extra("wide", None, False, None)


def stream(payloads: list[bytes], **wrong: Any) -> bytes:
    """Return a stamped and numbered stream; `wrong`: what the second stamp says, or its `id`."""
    out = []
    for seq, payload in enumerate(payloads, 1):
        stamp = {"seq": seq, "sha1": sha1(payload).hexdigest()[:12]}
        named = seq
        if seq == 2:
            named = wrong.pop("id", seq)
            stamp |= wrong
        line = b": streamgauge-frame " + json.dumps(stamp).encode()
        out.append(b"id: stream-1:%d\n%b\ndata: %b\n\n" % (named, line, payload))
    return b"".join(out)


PAYLOADS = [b'{"a":1}', b'{"b":2}', b"[DONE]"]


def test_a_stamped_stream_holds_and_its_hash_is_over_all_payloads() -> None:
    proved = Proved(stream(PAYLOADS))
    assert (proved.fault, proved.frames, proved.stamped) == (None, 3, True)
    assert proved.sha1 == sha1(b"".join(payload + b"\n" for payload in PAYLOADS)).hexdigest()


@pytest.mark.parametrize(
    "wrong", [{"seq": 3}, {"sha1": "000000000000"}, {"id": 4}], ids=["seq", "sha1", "id"]
)
def test_a_wrong_stamp_or_number_is_named(wrong: dict[str, Any]) -> None:
    assert "frame 2" in str(Proved(stream(PAYLOADS, **wrong)).fault)


def test_a_frame_that_is_missing_or_has_no_stamp_is_named() -> None:
    whole = stream(PAYLOADS)
    frames = [frame + b"\n\n" for frame in whole.split(b"\n\n")[:-1]]
    assert Proved(frames[0] + frames[2]).fault is not None
    assert Proved(frames[0] + b"data: {}\n\n" + frames[2]).fault is not None
    ping = b': streamgauge-frame {"seq":4}\nevent: ping\ndata: {"type":"ping"}\n\n'
    assert Proved(whole + ping).fault is not None
    assert Proved(whole + b'event: ping\ndata: {"type":"ping"}\n\n').fault is None


def test_i10_and_i13_and_the_key_find_what_they_are_for() -> None:
    call = replace(CALL, extra=EXTRA)
    good = case_of(call, told={"stream_sha1": "ab"}, stream_sha1="ab", key_id="k")
    good = replace(good, attempts=({"n": 1, "output_tokens": 4},))
    assert not list(i10_one_attempt_shows_output(good))
    assert not list(i13_what_came_is_what_was_sent(good))
    assert not list(keys_are_the_rows(good, {"wide": "k"}))
    twice = tuple({"n": n, "output_tokens": 4} for n in (1, 2))
    assert list(i10_one_attempt_shows_output(replace(good, attempts=twice)))
    early = ({"n": 1, "output_tokens": 4}, {"n": 2, "output_tokens": None})
    assert list(i10_one_attempt_shows_output(replace(good, attempts=early)))
    other = case_of(call, told={"stream_sha1": "ac"}, stream_sha1="ab", key_id=None)
    assert list(i13_what_came_is_what_was_sent(other))
    assert list(keys_are_the_rows(other, {"wide": "k"}))


def test_only_who_asks_for_it_may_be_superseded_or_refused() -> None:
    plain = replace(CALL, extra=EXTRA)
    assert expectation(plain).statuses == {"completed"}
    poor = replace(CALL, extra=Extra("poor", "s", False, "none"))
    assert expectation(poor).statuses == {"completed", "superseded", "rejected", "limit_reached"}
    final = replace(CALL, extra=Extra("wide", None, False, "http_400"))
    assert expectation(final).statuses == {"upstream_error"}


def test_a_row_that_is_not_exported_or_twice_is_found(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("CREATE TABLE requests (id, status)")
        connection.execute("INSERT INTO requests VALUES ('a', 'completed'), ('b', 'in_flight')")
        connection.commit()
    influx = Influx()
    assert list(exported_once(ledger, influx))
    point = 'llm_request,model=m attempts=1i,id="{}" {}'
    influx.take(Received("/write", {}, point.format("a", 1).encode()))
    assert not list(exported_once(ledger, influx))
    influx.take(Received("/write", {}, point.format("a", 1).encode()))
    assert influx.repeated == 1
    assert not list(exported_once(ledger, influx)), "the same point again is the same point"
    influx.take(Received("/write", {}, point.format("a", 2).encode()))
    assert list(exported_once(ledger, influx))


def test_a_key_in_a_file_or_a_line_is_found(tmp_path: Path) -> None:
    (tmp_path / "captures").mkdir()
    secret = "sk-sg-0123456789"
    assert not list(secrets_in(tmp_path, [secret], ["a line"], Influx()))
    assert list(secrets_in(tmp_path, [secret], [f"a line with {secret}"], Influx()))
    (tmp_path / "captures" / "one.jsonl").write_text(secret)
    assert list(secrets_in(tmp_path, [secret], [], Influx()))


def test_calls_with_everything_are_the_same_each_time_and_meet_all_there_is() -> None:
    calls = [call_of(1, number, everything=True) for number in range(2000)]
    assert calls == [call_of(1, number, everything=True) for number in range(2000)]
    extras = [call.extra for call in calls if call.extra is not None]
    assert {extra.key for extra in extras} == {"wide", "narrow", "poor"}
    assert any(extra.resumes for extra in extras)
    assert any(extra.session for extra in extras)
    assert len({extra.chain for extra in extras}) > 5
