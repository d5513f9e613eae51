"""Words, globs and targets: the small parts that conditions are made of (SPEC §14.8)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.routing.asked import NO_GLOBS, Asked, Globs
from streamgauge.core.routing.rules import Target, When
from streamgauge.core.routing.signals import Signals

ALPHABET = st.text(alphabet="ab_1 -+é", max_size=12)


def holds(word: str, text: str) -> bool:
    fields = {"messages": [{"role": "user", "content": text}]}
    return When(keywords=(word,)).holds(
        Signals(Asked("openai", "chat/completions", "m", fields=fields))
    )


@given(ALPHABET.filter(str.strip), ALPHABET)
def test_words_are_found_as_a_regular_expression_would_find_them(word: str, text: str) -> None:
    before = r"(?<!\w)" if re.match(r"\w", word[0]) else ""
    after = r"(?!\w)" if re.match(r"\w", word[-1]) else ""
    assert holds(word, text) is (re.search(f"{before}{re.escape(word)}{after}", text) is not None)


@pytest.mark.parametrize(
    ("item", "target"),
    [
        ("local", Target("local")),
        ("local/m", Target("local", "m")),
        ("openrouter/anthropic/claude", Target("openrouter", "anthropic/claude")),
    ],
)
def test_the_first_slash_parts_upstream_and_model(item: str, target: Target) -> None:
    assert Target.read(item) == target


def test_globs_fit_whole_names_and_any_of_them_is_enough() -> None:
    globs = Globs(("a*c", "[xy]?"))
    assert [globs.fit(text) for text in ("abbc", "x1", "abcd", "y", None)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert not NO_GLOBS.fit("")
    assert bool(globs) is True
    assert bool(NO_GLOBS) is False
    assert Globs(("a",)) == Globs(("a",)) != Globs(("b",))
    assert hash(Globs(("a",))) == hash(Globs(("a",)))
    assert globs.fit("a\nc")  # a star is any sign


def test_globs_are_told_from_each_other_by_their_patterns() -> None:
    first, same, other = Globs(("a*",)), Globs(("a*",)), Globs(("b*",))
    assert (first == same, first == other, first == ("a*",)) == (True, False, False)
    assert len({first, same, other}) == 2
    assert repr(first) == "Globs(('a*',))"
