"""Who a request's head is from: found in time that tells nothing, refused before a body is read."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

from streamgauge.config.keys import Required
from streamgauge.core.errors import GatewayError
from streamgauge.core.keys import Caller, ClientKey, KeyRing, KeyState, digest_of, key_text
from streamgauge.gateway.callers import Callers, Unauthenticated, check_model
from streamgauge.gateway.http import RequestHead, request_head

from ..timed import in_time

SECRET = b"s" * 32
MINE, OTHER, UNKNOWN = (key_text(bytes([n]) * 32) for n in range(3))
ANN, BOB = Caller("key_ann", "ann"), Caller("key_bob", "bob")
ALIVE = KeyState()


def a_key(caller: Caller, text: str, state: KeyState = ALIVE) -> ClientKey:
    return ClientKey(caller, digest_of(SECRET, text.encode()), state)


KEYS = (a_key(ANN, MINE), a_key(BOB, OTHER))


def callers(
    rule: Required = Required.AUTO,
    *keys: ClientKey,
    exposed: bool = False,
    now_us: Callable[[], int] = lambda: 0,
) -> Callers:
    built = Callers(now_us, rule, exposed=exposed)
    built.apply(KeyRing.of(SECRET, keys))
    return built


def head(*headers: tuple[str, str], peer: str = "10.0.0.1") -> RequestHead:
    fields = tuple((name.encode(), value.encode()) for name, value in headers)
    return request_head("POST", "/v1/messages", "", fields, peer)


def bearer(key: str) -> RequestHead:
    return head(("authorization", f"Bearer {key}"))


def refused(who: Callers, request: RequestHead, now: float = 0.0) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        who.authenticate(request, request.peer, now)
    return caught.value


@pytest.mark.parametrize(
    ("rule", "keys", "exposed", "required"),
    [
        (Required.AUTO, (), False, False),
        (Required.AUTO, KEYS, False, True),
        (Required.AUTO, (a_key(ANN, MINE, KeyState(revoked_at=0)),), False, True),
        (Required.AUTO, (), True, True),
        (Required.TRUE, (), False, True),
        (Required.FALSE, KEYS, False, False),
        (Required.FALSE, (), True, False),
    ],
)
def test_a_key_is_asked_for_where_one_exists_or_others_could_come(
    rule: Required, keys: tuple[ClientKey, ...], exposed: bool, required: bool
) -> None:
    who = callers(rule, *keys, exposed=exposed)
    assert who.required is required
    if required:
        assert refused(who, head()).status == 401
    else:
        assert who.authenticate(head(), "-", 0.0) is None


@pytest.mark.parametrize(
    "shown",
    [
        head(("authorization", f"Bearer {MINE}")),
        head(("authorization", f"bearer  {MINE}")),
        head(("x-api-key", MINE)),
        head(("x-api-key", MINE), ("authorization", f"Bearer {MINE}")),
        head(("x-api-key", ""), ("authorization", f"Bearer {MINE}")),
    ],
)
def test_a_key_is_taken_from_either_header(shown: RequestHead) -> None:
    assert callers(Required.AUTO, *KEYS).authenticate(shown, "-", 0.0) is ANN


@pytest.mark.parametrize(
    "shown",
    [
        head(("x-api-key", MINE), ("authorization", f"Bearer {OTHER}")),
        head(("x-api-key", MINE), ("authorization", "Bearer sk-of-somebody")),
        head(("x-api-key", "wrong"), ("authorization", f"Bearer {MINE}")),
        head(("authorization", f"Bearer {MINE}"), ("authorization", f"Bearer {OTHER}")),
        head(("x-api-key", MINE), ("authorization", f"Basic {MINE}")),
    ],
)
def test_two_different_credentials_are_a_400_where_keys_are_required(shown: RequestHead) -> None:
    error = refused(callers(Required.AUTO, *KEYS), shown)
    assert (error.status, error.code) == (400, "bad_request")


def test_where_keys_are_not_required_an_upstreams_own_key_passes_and_ours_is_still_known() -> None:
    who = callers(Required.FALSE, *KEYS)
    both = head(("x-api-key", "sk-ant-theirs"), ("authorization", f"Bearer {MINE}"))
    assert who.authenticate(both, "-", 0.0) is ANN
    assert who.authenticate(bearer("sk-theirs"), "-", 0.0) is None
    assert refused(who, bearer(UNKNOWN)).status == 401, "its limits would be lost on nobody"


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (head(), "a client key is needed"),
        (head(("authorization", "")), "a client key is needed"),
        (bearer(UNKNOWN), "not known here"),
        (bearer(MINE[:-1]), "not a whole key"),
        (bearer("sk-something"), "not a whole key"),
        (head(("authorization", f"Basic {MINE}")), "not a whole key"),
        (head(("authorization", "Bearer \xff\x00é")), "not a whole key"),
    ],
)
def test_who_shows_no_right_key_is_told_what_is_wrong_and_never_the_key(
    shown: RequestHead, words: str
) -> None:
    error = refused(callers(Required.AUTO, *KEYS), shown)
    assert (error.status, error.code) == (401, "unauthorized")
    assert error.headers == ((b"x-should-retry", b"false"),)
    assert words in error.message
    assert "sk-s" not in error.message


def test_a_key_is_dead_from_the_very_microsecond() -> None:
    now = [0]
    dying = (a_key(ANN, MINE, KeyState(expires_at=100)), a_key(BOB, OTHER, KeyState(None, 200)))
    who = callers(Required.AUTO, *dying, now_us=lambda: now[0])
    for at, alive in ((99, (MINE, OTHER)), (100, (OTHER,)), (199, (OTHER,)), (200, ())):
        now[0] = at
        for text in (MINE, OTHER):
            if text in alive:
                assert who.authenticate(bearer(text), "-", 0.0) is not None
            else:
                words = "has expired" if text == MINE else "was revoked"
                error = refused(who, bearer(text))
                assert words in error.message
                assert error.headers == (), "its owner may have got another one meanwhile"


def test_a_new_ring_and_a_new_rule_hold_from_the_next_request_on() -> None:
    who = callers()
    who.apply(KeyRing.of(SECRET, KEYS))
    assert refused(who, head()).status == 401
    who.require(Required.FALSE)
    assert who.authenticate(head(), "-", 0.0) is None
    who.require(Required.AUTO)
    who.apply(KeyRing())
    assert who.authenticate(head(), "-", 0.0) is None


def test_failed_tries_run_out_by_address_and_come_back_and_right_keys_always_pass() -> None:
    who = callers(Required.AUTO, *KEYS)
    statuses = [refused(who, bearer(UNKNOWN)).status for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert refused(who, bearer(UNKNOWN)).retry_after == 2
    assert who.authenticate(bearer(MINE), "10.0.0.1", 0.0) is ANN
    elsewhere = head(("x-api-key", UNKNOWN), peer="10.0.0.2")
    assert refused(who, elsewhere).status == 401
    assert refused(who, bearer(UNKNOWN), now=2.0).status == 401
    assert refused(who, bearer(UNKNOWN), now=2.0).status == 429


def test_who_shows_nothing_has_tried_nothing() -> None:
    who = callers(Required.AUTO, *KEYS)
    assert {refused(who, head()).status for _ in range(50)} == {401}


def test_uses_are_told_once_with_the_time_of_the_last() -> None:
    now = [5]
    who = callers(Required.AUTO, *KEYS, now_us=lambda: now[0])
    who.authenticate(bearer(MINE), "-", 0.0)
    now[0] = 7
    who.authenticate(bearer(MINE), "-", 0.0)
    refused(who, bearer(UNKNOWN))
    assert dict(who.taken_uses()) == {"key_ann": 7}
    assert dict(who.taken_uses()) == {}


def test_a_model_outside_the_globs_is_a_403_that_names_it() -> None:
    caller = Caller("key_1", "one", ("qwen3-*",))
    check_model(caller, "qwen3-8b")
    check_model(None, "gpt-5")
    for model, words in (("gpt-5", "'gpt-5'"), (None, "without a model")):
        with pytest.raises(GatewayError, match=words) as caught:
            check_model(caller, model)
        assert (caught.value.status, caught.value.code) == (403, "unauthorized")
        assert not isinstance(caught.value, Unauthenticated), "its row is to be written"


def test_wrong_keys_take_the_same_time_whatever_is_wrong_with_them() -> None:
    near = MINE[:-1] + ("0" if MINE[-1] != "0" else "1")
    shown = {
        "unknown": UNKNOWN,
        "its last letter wrong": near,
        "all of it wrong": "x" * len(MINE),
        "not ours": "sk-proj-" + "y" * (len(MINE) - 8),
    }
    many = [a_key(ANN, key_text(n.to_bytes(32))) for n in range(1000)]
    who = callers(Required.AUTO, *KEYS, *many)
    for _ in range(10):
        refused(who, bearer(UNKNOWN))  # from here on each is a 429, as for whoever guesses

    def seconds(request: RequestHead) -> float:
        began = time.perf_counter()
        for _ in range(40):
            try:
                who.authenticate(request, request.peer, 0.0)
            except Unauthenticated:
                continue
        return time.perf_counter() - began

    heads = {name: bearer(text) for name, text in shown.items()}
    rounds = [{name: seconds(request) for name, request in heads.items()} for _ in range(60)]
    medians = {name: statistics.median(each[name] for each in rounds) for name in shown}
    # The bare truth is within some per cent: a check that stops at the first wrong letter of a
    # plain comparison, or hashes only what looks like a key, costs far more than this bound.
    in_time(max(medians.values()), 1.25 * min(medians.values()))


def test_without_keys_a_request_costs_next_to_nothing_and_with_them_some_microseconds() -> None:
    def microseconds(who: Callers, request: RequestHead) -> float:
        began = time.perf_counter()
        for _ in range(2000):
            who.authenticate(request, request.peer, 0.0)
        return (time.perf_counter() - began) * 500

    in_time(microseconds(callers(), bearer(MINE)), 5 * 0.5)
    in_time(microseconds(callers(Required.AUTO, *KEYS), bearer(MINE)), 5 * 8)
