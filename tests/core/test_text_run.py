"""A text whose beginning comes again is found at the same place, however its frames are handed over."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from streamgauge.core.text_run import MOST_PLACES, PREFIX, TextRun

LETTERS = "abcdefghij klmnop äöü 你好 😀 \n"


def some_text(count: int, seed: int, letters: str = LETTERS) -> str:
    dice = random.Random(seed)
    return "".join(dice.choice(letters) for _ in range(count))


def cut(text: str, seed: int, most: int = 40) -> list[str]:
    dice, pieces = random.Random(seed), []
    while text:
        size = dice.randint(1, most)
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def one_by_one(frames: Sequence[str]) -> list[tuple[int, int]]:
    """Return each place: the characters before it, and the frame in which it lies, from 1."""
    run, found = TextRun(), []
    for number, text in enumerate(frames, 1):
        if run.add(text):
            found += [(at, number - behind) for at, behind in run.look()]
    assert run.characters == sum(map(len, frames))
    return found


def together(frames: Sequence[str], seed: int) -> list[tuple[int, int]]:
    """The same of frames that come some at a time."""
    run, found, at, dice = TextRun(), [], 0, random.Random(seed)
    while at < len(frames):
        group = frames[at : at + dice.randint(1, 32)]
        at += len(group)
        due = run.add_frames([text.encode() for text in group])
        if due:
            found += [(place, at - behind) for place, behind in run.look()]
    if run.characters:
        found += [(place, at - behind) for place, behind in run.look()]
    assert run.characters == sum(map(len, frames))
    return found


@pytest.mark.parametrize("letters", [LETTERS, "abcdefghij klmnop"], ids=["any", "ascii"])
@pytest.mark.parametrize("seed", range(20))
def test_some_at_a_time_the_same_places_are_found(seed: int, letters: str) -> None:
    text = some_text(random.Random(seed).randint(PREFIX * 2, 3000), seed, letters)
    frames = cut(text, seed) + cut(text[:900] + some_text(700, seed + 1, letters), seed + 2)
    (place,) = one_by_one(frames)
    assert place[0] == len(text)
    begun = sum(map(len, frames[: place[1] - 1]))
    assert begun <= len(text) < begun + len(frames[place[1] - 1])
    assert together(frames, seed) == [place]


def test_no_more_places_are_told_at_a_time_than_matter() -> None:
    run, text = TextRun(), some_text(PREFIX * 2, 1)
    run.add(text * 20)
    assert len(run.look()) == MOST_PLACES
