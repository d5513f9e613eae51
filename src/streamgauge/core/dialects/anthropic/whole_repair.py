"""Does to a message that is no stream what is done to the events of one (SPEC §14.6)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from streamgauge.core.transform.chain import Chain
from streamgauge.core.transform.think_tags import ThinkTags

__all__ = ["changed_content"]

Members = dict[str, Any]


def changed_content(answer: Members, chain: Chain) -> Members:
    """Return `content` where it differs. A call's input is an object there: none needs repair."""
    content = answer.get("content")
    if not chain.think_tags or not isinstance(content, list):
        return {}
    told = [made for block in content for made in _told_apart(block)]
    return {} if told == content else {"content": told}


def _told_apart(block: Any) -> Iterator[Any]:
    text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else None
    if not isinstance(text, str) or not text:
        yield block
        return
    tags = ThinkTags()
    pieces = [*tags.feed(text), *tags.end()]
    if not any(reasoning for reasoning, _ in pieces) and "".join(p for _, p in pieces) == text:
        yield block
        return
    for reasoning, alike in groupby(pieces, key=itemgetter(0)):
        piece = "".join(said for _, said in alike)
        if reasoning:
            yield {"type": "thinking", "thinking": piece, "signature": ""}
        else:
            yield {**block, "text": piece}
