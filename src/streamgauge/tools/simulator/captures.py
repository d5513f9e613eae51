"""Recorded answers and scripted raw ones, played back byte for byte. It makes up nothing."""

from __future__ import annotations

import gzip
import random
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from streamgauge.core.usage import TokenUsage
from streamgauge.tools.simulator.counts import stated_anthropic, stated_openai
from streamgauge.tools.simulator.script import End, Step, Wait, Write, chunked

__all__ = ["Capture", "Case", "capture_steps", "case_steps", "load_capture", "load_cases"]

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_FRAME_END = re.compile(rb"(?>\r\n|\n|\r){2}")
_DATA = re.compile(rb"^data: ?(\{.*\})\r?$", re.MULTILINE)
_TINY_GAP = 0.0005
"""Seconds between the pieces of a split capture: enough to make each its own read as a rule."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A recorded head and body; the body without transfer framing."""

    head: bytes
    body: bytes

    @property
    def chunked(self) -> bool:
        """Whether the head announces a chunked body."""
        return b"transfer-encoding: chunked" in self.head.lower()

    @property
    def usage(self) -> TokenUsage | None:
        """The counts that the body states; the last of each wins. None when it states none."""
        stated: TokenUsage | None = None
        for found in _usages(self.body):
            stated = found if stated is None else stated.updated(found)
        return stated


class _Step(msgspec.Struct, frozen=True):
    b64: str | None = None
    rep: int = 1
    sleep: float | None = None
    dripb64: str | None = None
    gap: float = 0.0
    end: str | None = None


class Case(msgspec.Struct, frozen=True):
    """One scripted answer of the corpus: the keys that the simulator reads."""

    id: str
    steps: list[_Step]


class _Corpus(msgspec.Struct, frozen=True):
    cases: list[Case]


_ENDS = {"fin": End.CLOSE, "rst": End.RESET, "hold": End.HOLD, "shutwr": End.HALF}


def load_capture(folder: Path, name: str) -> Capture | None:
    """Return the capture `name`, or None where there is none; a name cannot leave the folder."""
    if _NAME.fullmatch(name) is None or name.startswith("."):
        return None
    head, body = folder / f"{name}.headers", folder / f"{name}.body"
    if not head.is_file() or not body.is_file():
        return None
    return Capture(head.read_bytes(), body.read_bytes())


def capture_steps(capture: Capture, gap: float, split: int | None, end: End) -> Iterator[Step]:
    """Yield the capture's bytes: a frame a chunk, `gap` seconds apart, or split by a seed."""
    yield Write(capture.head)
    body = capture.body
    pieces = _frames(body) if split is None else _split(body, random.Random(split))
    pause = gap if split is None else max(gap, _TINY_GAP)
    left = len(body)
    stated = capture.usage
    for k, piece in enumerate(pieces):
        left -= len(piece)
        data = chunked(piece) if capture.chunked else piece
        frames = _frame_count(piece) if split is None and capture.chunked else 0
        usage = stated if not left else None
        yield Write(data, k * pause, len(piece), frames, 0, usage, whole=not left)
    if capture.chunked:
        yield Write(b"0\r\n\r\n")
    yield end


def _frames(body: bytes) -> list[bytes]:
    cuts = [0, *(m.end() for m in _FRAME_END.finditer(body)), len(body)]
    return [body[a:b] for a, b in pairwise(cuts) if a < b]


def _frame_count(piece: bytes) -> int:
    return int(b"data:" in piece)


def _split(body: bytes, rng: random.Random) -> list[bytes]:
    inner = range(1, len(body))
    count = min(len(inner), max(1, len(body) // 64))
    cuts = [0, *sorted(rng.sample(inner, count)), len(body)]
    return [body[a:b] for a, b in pairwise(cuts)]


def _usages(body: bytes) -> Iterator[TokenUsage]:
    texts = [body] if body.startswith(b"{") else _DATA.findall(body)
    for text in texts:
        if b'"usage"' not in text:
            continue
        try:
            value: dict[str, Any] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            continue
        start = value["type"] == "message_start" if "type" in value else False
        usage = value["message"].get("usage") if start else value.get("usage")
        if not isinstance(usage, dict):
            continue
        if start:
            yield TokenUsage(input=stated_anthropic(usage, {}).input)
        elif "prompt_tokens" in usage:
            yield stated_openai(usage)
        else:
            yield stated_anthropic({}, usage)


def load_cases(path: Path) -> dict[str, Case]:
    """Return the scripted answers of a corpus file, plain or gzipped, by their ids."""
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    corpus = msgspec.json.decode(text, type=_Corpus)
    return {case.id: case for case in corpus.cases}


def case_steps(case: Case) -> Iterator[Step]:
    """Yield a scripted answer's steps raw: what is written is what stands there, head included.

    The answer counts as whole when all is written and the script itself ends it with a FIN.
    """
    last = _last_write(case)
    for index, step in enumerate(case.steps):
        if step.b64 is not None:
            data = b64decode(step.b64)
            for k in range(step.rep):
                whole = index == last and k == step.rep - 1
                yield Write(data, size=len(data), whole=whole)
        elif step.sleep is not None:
            yield Wait(step.sleep)
        elif step.dripb64 is not None:
            yield from _drip(b64decode(step.dripb64), step.gap, whole=index == last)
        else:
            yield _ENDS[step.end or "fin"]
            return


def _drip(data: bytes, gap: float, *, whole: bool) -> Iterator[Step]:
    for k in range(len(data)):
        yield Write(data[k : k + 1], size=1, whole=whole and k == len(data) - 1)
        yield Wait(gap)


def _last_write(case: Case) -> int:
    if not case.steps or case.steps[-1].end != "fin":
        return -1
    writes = [i for i, step in enumerate(case.steps) if step.b64 or step.dripb64]
    return writes[-1] if writes else -1
