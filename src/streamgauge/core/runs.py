"""Finds in one read the frames that say the same JSON round ever new words. It counts nothing.

A fast upstream, or a busy machine, brings many frames in a read. Between two of them stands what
ends the one and begins the other, so that one search parts them all.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamgauge.core.replay_watch import LONG_FRAME

__all__ = ["Piece", "behind_frames", "frame_within", "is_plain", "run_of", "texts_of"]

Piece = tuple[bytes, Sequence[bytes] | None]
"""Bytes of a read, and the texts in them where they are a run of frames."""

_BLANK_LINE = b"\n\n"
_SHORTEST_RUN = 3
"""Frames; fewer are not worth the one before them, which is decoded to see that the pattern holds."""


def is_plain(inside: bytes) -> bool:
    """Return whether `inside`, just as it stands, is the text of a JSON string: short, and printable."""
    try:
        text = inside.decode()
    except UnicodeDecodeError:
        return False
    return 0 < len(text) < LONG_FRAME and _stands_for_itself(text)


def _stands_for_itself(text: str) -> bool:
    return '"' not in text and "\\" not in text and text.isprintable()


def behind_frames(data: bytes, count: int) -> int | None:
    """Return where the first `count` frames of `data` end; None where it has no more than these."""
    at = 0
    for _ in range(count):
        at = data.find(_BLANK_LINE, at) + len(_BLANK_LINE)
        if at < len(_BLANK_LINE):
            return None
    return at if at < len(data) else None


def frame_within(data: bytes) -> bytes | None:
    """Return the first frame that is whole in a read of many, behind the end of another; or None."""
    start = data.find(_BLANK_LINE) + len(_BLANK_LINE)
    end = data.find(_BLANK_LINE, start) + len(_BLANK_LINE)
    return data[start:end] if len(_BLANK_LINE) <= start < end else None


def texts_of(inside: bytes, glue: bytes) -> Sequence[bytes] | None:
    """Return the plain texts between `glue`, of two frames or more; None where one is not plain."""
    texts = inside.split(glue)
    return texts if len(texts) > 1 and _are_plain(texts) else None


def _are_plain(texts: Sequence[bytes]) -> bool:
    joined = b"".join(texts)
    if not joined.isascii():  # a character may be cut in two
        return all(map(is_plain, texts))
    short = all(texts) and max(map(len, texts)) < LONG_FRAME
    return short and _stands_for_itself(joined.decode())


def run_of(data: bytes, begin: bytes, end: bytes) -> Sequence[Piece] | None:
    """Return `data` in pieces, such that each run of plain frames is one; None without a run.

    Before a run stands a frame of it that is a piece of its own. `begin`, `end`: of each frame.
    """
    glue = end + begin
    start, last = data.find(glue), data.rfind(end)
    if start < 0 or last <= start:
        return None
    start += len(end)
    texts = data[start + len(begin) : last].split(glue)
    if len(texts) <= _SHORTEST_RUN:
        return None
    if _are_plain(texts):
        first = start + len(begin) + len(texts[0]) + len(end)
        run = data[first : last + len(end)]
        pieces: list[Piece] = [(data[start:first], None), (run, texts[1:])]
    else:
        groups = _groups(texts)
        if not groups:
            return None
        pieces = [(begin + glue.join(group) + end, group if run else None) for group, run in groups]
    around = (data[:start], None), (data[last + len(end) :], None)
    return [piece for piece in (around[0], *pieces, around[1]) if piece[0]]


def _groups(texts: Sequence[bytes]) -> Sequence[tuple[Sequence[bytes], bool]]:
    """Return `texts` such that each run of plain ones is two groups, the first and the others.

    With each group stands whether it is a run. What is between two runs is one group; there is none
    without a run.
    """
    groups, between, found, at = list[tuple[Sequence[bytes], bool]](), list[bytes](), False, 0
    while at < len(texts):
        behind = at
        while behind < len(texts) and is_plain(texts[behind]):
            behind += 1
        if behind - at > _SHORTEST_RUN:
            groups += [(between, False)] if between else []
            groups += [(texts[at : at + 1], False), (texts[at + 1 : behind], True)]
            between, found = [], True
        else:
            behind = max(behind, at + 1)
            between += texts[at:behind]
        at = behind
    groups += [(between, False)] if between else []
    return groups if found else ()
