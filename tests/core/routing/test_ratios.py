"""What is learnt of how much a model writes: in integers, by key, and never without bound."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.routing.ratios import MAX_RATIOS, Ratio, Ratios
from streamgauge.core.usage import MAX_COUNT


def test_a_ratio_is_of_sums_and_knows_how_many_answers_are_in_it() -> None:
    ratios = Ratios()
    ratios.learn("m", None, 100, 50)
    ratios.learn("m", None, 300, 350)
    assert ratios.ratio("m") == Ratio(400, 400, 2)
    assert ratios.ratio("other") is None
    assert ratios.ratio(None) is None


def test_a_key_has_its_own_ratio_and_the_model_s_until_it_has_one() -> None:
    ratios = Ratios()
    ratios.learn("m", "a", 10, 10)
    assert ratios.ratio("m", "a") == Ratio(10, 10, 1)
    assert ratios.ratio("m", "b") == Ratio(10, 10, 1)
    ratios.learn("m", "b", 10, 30)
    assert ratios.ratio("m", "a") == Ratio(10, 10, 1)
    assert ratios.ratio("m", "b") == Ratio(10, 30, 1)
    assert ratios.ratio("m") == Ratio(20, 40, 2)
    assert ratios.ratio("n", "a") is None


def test_an_answer_to_nothing_read_teaches_nothing() -> None:
    ratios = Ratios()
    ratios.learn("m", "k", 0, 5)
    ratios.learn("m", "k", -1, 5)
    ratios.learn("m", "k", 1, -1)
    assert len(ratios) == 0
    ratios.learn("m", None, 1, 0)
    assert ratios.ratio("m") == Ratio(1, 0, 1)


def test_what_was_not_learnt_of_for_longest_is_forgotten_first() -> None:
    ratios = Ratios(limit=3)
    for model in ("a", "b", "c", "a", "d"):
        ratios.learn(model, None, 1, 1)
    assert ratios.ratio("b") is None
    assert ratios.ratio("a") == Ratio(2, 2, 2)
    assert len(ratios) == 3


def test_a_model_s_ratio_outlives_those_of_its_keys() -> None:
    ratios = Ratios(limit=2)
    for key in ("a", "b", "c"):
        ratios.learn("m", key, 1, 2)
    assert ratios.ratio("m") == Ratio(3, 6, 3)
    assert ratios.ratio("m", "a") == Ratio(3, 6, 3)
    assert ratios.ratio("m", "c") == Ratio(1, 2, 1)


def test_invented_names_do_not_fill_the_memory() -> None:
    ratios = Ratios()
    for n in range(3 * MAX_RATIOS):
        ratios.learn(f"model-{n}", f"key-{n}", 1, 1)
    assert len(ratios) == MAX_RATIOS


def test_halves_are_rounded_up() -> None:
    ratio = Ratio(2, 1, 1)
    assert [ratio.expected_output(n) for n in (0, 1, 2, 3)] == [0, 1, 1, 2]
    assert ratio.per_million == 500_000
    assert Ratio(3, 2, 1).per_million == 666_667


ANSWERS = st.lists(st.tuples(st.integers(1, MAX_COUNT), st.integers(0, MAX_COUNT)), min_size=1)


@given(ANSWERS, st.integers(0, MAX_COUNT))
@settings(deadline=None)
def test_any_expectation_is_the_exact_fraction_rounded_half_up(
    answers: list[tuple[int, int]], read: int
) -> None:
    ratios = Ratios()
    for each in answers:
        ratios.learn("m", None, *each)
    ratio = ratios.ratio("m")
    assert ratio is not None
    assert ratio.samples == len(answers)
    exact = Fraction(read * sum(w for _, w in answers), sum(r for r, _ in answers))
    assert Fraction(-1, 2) < ratio.expected_output(read) - exact <= Fraction(1, 2)
