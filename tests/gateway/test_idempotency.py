"""Names of requests: whose they are, when they are free, how many there are (FAULTS F49)."""

from __future__ import annotations

import pytest

from streamgauge.core.errors import RequestError
from streamgauge.gateway.http import RequestHead, request_head
from streamgauge.gateway.idempotency import Idempotency, idempotency_key


def begin(
    names: Idempotency, exchange: str, name: str = "a", body: bytes = b"{}", now: float = 0.0
) -> None:
    names.begin("key", name, "messages", body, exchange, now)


def refusal(names: Idempotency, name: str = "a", body: bytes = b"{}", now: float = 1.0) -> str:
    with pytest.raises(RequestError) as told:
        begin(names, "later", name, body, now)
    return f"{told.value.status} {told.value.message}"


def test_a_second_use_is_told_whether_the_first_is_in_progress_or_over() -> None:
    names = Idempotency()
    begin(names, "first")
    assert refusal(names).startswith("409 ")
    assert refusal(names).endswith("is in progress as first")
    names.ended("first", called=True)
    assert refusal(names).endswith("was answered as first")


@pytest.mark.parametrize("over", [False, True])
def test_another_body_or_endpoint_is_another_request(over: bool) -> None:
    names = Idempotency()
    begin(names, "first")
    if over:
        names.ended("first", called=True)
    assert refusal(names, body=b"{ }").startswith("422 ")
    with pytest.raises(RequestError) as told:
        names.begin("key", "a", "completions", b"{}", "second", 1.0)
    assert told.value.status == 422


def test_client_keys_do_not_meet() -> None:
    names = Idempotency()
    begin(names, "first")
    names.begin("other", "a", "messages", b"{}", "second", 0.0)
    names.begin(None, "a", "messages", b"{}", "third", 0.0)
    assert len(names) == 3


def test_a_name_that_called_no_upstream_is_free_again() -> None:
    names = Idempotency()
    begin(names, "first")
    names.ended("first", called=False)
    names.ended("first", called=True)  # nothing of it is left
    begin(names, "second")


def test_a_day_later_a_name_is_free_and_its_late_end_frees_nobody_else() -> None:
    names = Idempotency(seconds=10)
    begin(names, "first", now=0.0)
    assert refusal(names, now=9.9)
    begin(names, "second", now=10.0)
    names.ended("first", called=False)
    assert refusal(names, now=11.0).endswith("second")


def test_there_are_never_more_names_than_allowed_and_the_oldest_goes_first() -> None:
    names = Idempotency(most=3)
    for number in range(5):
        begin(names, f"x{number}", name=str(number))
    assert len(names) == 3
    assert refusal(names, "2").endswith("x2")
    begin(names, "again", name="0")
    names.ended("x0", called=False)
    assert refusal(names, "0").endswith("again")


@pytest.mark.parametrize("name", ["", "x" * 256, "a\x7f", "a\x00"])
def test_what_is_no_name_is_refused(name: str) -> None:
    assert refusal(Idempotency(), name).startswith("400 ")


def head(*names: bytes) -> RequestHead:
    fields = tuple((b"idempotency-key", name) for name in names)
    return request_head("POST", "/v1/messages", "", fields, "127.0.0.1")


def test_a_request_has_one_name_or_none() -> None:
    assert idempotency_key(head()) is None
    assert idempotency_key(head(b"a")) == "a"
    assert idempotency_key(head(b"a", b"a")) == "a"
    with pytest.raises(RequestError, match="two different") as refused:
        idempotency_key(head(b"a", b"b", b"a"))
    assert refused.value.status == 400
