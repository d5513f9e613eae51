"""Client keys: their text, their digest, and what a ring of them finds."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.keys import (
    PREFIX,
    Caller,
    ClientKey,
    KeyLimits,
    KeyRing,
    KeyState,
    digest_of,
    is_well_formed,
    key_text,
    shown_part,
)
from streamgauge.core.price import Money

SECRET = b"s" * 32
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ANN = Caller("key_ann", "ann")


def texts(count: int) -> list[str]:
    return [key_text(bytes([n]) * 32) for n in range(count)]


def ring(*keys: ClientKey) -> KeyRing:
    return KeyRing.of(SECRET, keys)


def key(text: str, **more: object) -> ClientKey:
    return ClientKey(ANN, digest_of(SECRET, text.encode()), **more)  # type: ignore[arg-type]


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_each_secret_has_a_key_of_its_own_and_one_length(one: bytes, other: bytes) -> None:
    text = key_text(one)
    assert (len(text), text[:6]) == (55, "sk-sg-")
    assert is_well_formed(text)
    assert (key_text(other) == text) == (other == one)


@pytest.mark.parametrize("secret", [b"\x00" * 32, b"\xff" * 32])
def test_the_smallest_and_the_largest_secret_fit(secret: bytes) -> None:
    assert is_well_formed(key_text(secret))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_of_another_size_makes_no_key(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        key_text(b"x" * size)


def test_every_single_wrong_letter_is_noticed() -> None:
    text = key_text(bytes(range(32)))
    for place in range(len(PREFIX), len(text)):
        wrong = [text[:place] + letter + text[place + 1 :] for letter in LETTERS]
        assert [one for one in wrong if is_well_formed(one)] == [text]


def test_every_two_neighbours_in_the_wrong_order_are_noticed() -> None:
    text = key_text(bytes(range(32)))
    for n in range(len(PREFIX), len(text) - 1):
        swapped = text[:n] + text[n + 1] + text[n] + text[n + 2 :]
        assert is_well_formed(swapped) == (swapped == text)


@pytest.mark.parametrize(
    "cut",
    [lambda t: t[:-1], lambda t: t + "0", lambda t: t[1:], lambda t: t + "\n", lambda t: t.upper(),
     lambda t: "sk-" + t[6:], lambda t: "", lambda t: PREFIX, lambda t: t.replace("-", "_")],
)  # fmt: skip
def test_what_is_no_whole_key_is_told_apart(cut: object) -> None:
    assert not is_well_formed(cut(key_text(b"\x07" * 32)))  # type: ignore[operator]


def test_what_is_shown_of_a_key_is_its_beginning_alone() -> None:
    text = key_text(b"\x07" * 32)
    assert shown_part(text) == text[:10]


def test_limits_of_money_in_two_currencies_are_a_mistake() -> None:
    day, month = Money(5 * 10**9, "USD"), Money(9 * 10**9, "EUR")
    assert KeyLimits().mistake is KeyLimits(per_day=day).mistake is None
    assert KeyLimits(per_day=day, per_month=Money(1, "USD")).mistake is None
    mistake = KeyLimits(per_day=day, per_month=month).mistake
    assert mistake is not None
    assert "one currency" in mistake


def test_a_ring_finds_whose_key_was_shown_and_nothing_else() -> None:
    mine, other = texts(2)
    assert ring(key(mine)).find(mine.encode()) == (ANN, KeyState())
    for shown in (other, mine[:-1], "", "Bearer " + mine):
        assert ring(key(mine)).find(shown.encode()) is None


def test_a_key_opens_nothing_under_another_secret() -> None:
    (mine,) = texts(1)
    assert KeyRing.of(b"t" * 32, [key(mine)]).find(mine.encode()) is None


def test_a_digest_is_no_key() -> None:
    (mine,) = texts(1)
    assert ring(key(mine)).find(key(mine).digest) is None


@pytest.mark.parametrize(
    ("state", "now", "why"),
    [
        (KeyState(), 10**18, None),
        (KeyState(expires_at=100), 99, None),
        (KeyState(expires_at=100), 100, "expired"),
        (KeyState(revoked_at=100), 99, None),
        (KeyState(revoked_at=100), 100, "revoked"),
        (KeyState(expires_at=50, revoked_at=100), 100, "revoked"),
    ],
)
def test_a_state_says_why_it_opens_nothing(state: KeyState, now: int, why: str | None) -> None:
    assert state.why_dead(now) == why


def test_the_text_before_a_rotation_opens_until_its_grace_ends() -> None:
    new, old = texts(2)
    rotated = key(new, old_digest=digest_of(SECRET, old.encode()), old_until=100)
    assert ring(rotated).find(new.encode()) == (ANN, KeyState())
    assert ring(rotated).find(old.encode()) == (ANN, KeyState(expires_at=100))


@pytest.mark.parametrize(("expires_at", "end"), [(50, 50), (150, 100), (None, 100)])
def test_no_grace_outlives_the_key(expires_at: int | None, end: int) -> None:
    new, old = texts(2)
    state = KeyState(expires_at, 70)
    rotated = key(new, state=state, old_digest=digest_of(SECRET, old.encode()), old_until=100)
    assert ring(rotated).find(old.encode()) == (ANN, KeyState(end, 70))


@pytest.mark.parametrize(
    ("globs", "model", "may"),
    [
        ((), "any", True),
        ((), None, True),
        (("qwen3-*",), "qwen3-8b", True),
        (("qwen3-*",), "local/qwen3-8b", False),
        (("qwen3-*",), "Qwen3-8b", False),
        (("qwen3-*",), None, False),
        (("a", "b?"), "b1", True),
        (("a", "b?"), "b", False),
        (("*",), "", True),
    ],
)
def test_the_globs_say_which_models_a_key_may_use(
    globs: tuple[str, ...], model: str | None, may: bool
) -> None:
    assert Caller("key_1", "one", globs).may_use(model) == may


def test_no_repr_holds_a_digest_or_the_secret() -> None:
    new, old = texts(2)
    mine = key(new, old_digest=digest_of(SECRET, old.encode()), old_until=1)
    told = repr(mine) + repr(ring(mine))
    assert repr(mine.digest) not in told
    assert repr(mine.old_digest) not in told
    assert repr(SECRET) not in told


@pytest.mark.parametrize("length", [0, 1, 32, 63, 64, 65, 200])
@given(shown=st.binary(max_size=100))
def test_a_ring_finds_by_the_hmac_of_rfc_2104_however_long_the_secret_is(
    length: int, shown: bytes
) -> None:
    secret = bytes(range(length))
    found = KeyRing.of(secret, [ClientKey(ANN, hmac.digest(secret, shown, "sha256"))])
    assert found.find(shown) == (ANN, KeyState())
    assert found.find(shown + b"x") is None
