"""The estimate for upstreams that cannot count."""

from __future__ import annotations

import pytest

from streamgauge.core.conversation import (
    Conversation,
    Document,
    Image,
    Message,
    Part,
    RedactedThought,
    Refusal,
    Text,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
)
from streamgauge.core.estimate import IMAGE_TOKENS, estimate_tokens, text_tokens

EMPTY = 4


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("привет", 3),
        ("Grüße", 2),
        ("你好世界", 4),
        ("🙂", 2),
        ("ab你", 2),
        ("\ud83d", 1),
        ("a" * 4000 + "🙂", 1002),
    ],
)
def test_a_text_is_estimated_by_its_script(text: str, tokens: int) -> None:
    assert text_tokens(text) == tokens


PARTS: list[tuple[Part, int]] = [
    (Text("abcd"), 1),
    (Thought("abcd", "signature"), 1),
    (RedactedThought("abcd"), 1),
    (Refusal("abcd"), 1),
    (Image("image/png", "A" * 4000), IMAGE_TOKENS),
    (Image(url="http://x/y"), IMAGE_TOKENS),
    (Document("text/plain", text="abcd"), 1),
    (Document("application/pdf", "A" * 3200), 100),
    (Document(url="http://x/y"), 3000),
    (ToolUse("id", "ls", '{"p":"."}'), 8 + 1 + 3),
    (ToolResult("id", (Text("abcd"), Image(url="u"))), 8 + 1 + IMAGE_TOKENS),
]


@pytest.mark.parametrize(("part", "tokens"), PARTS)
def test_each_part_counts(part: Part, tokens: int) -> None:
    said = Conversation(messages=(Message("user", (part,)),))
    assert estimate_tokens(said) == EMPTY + tokens


def test_system_tools_and_schema_count() -> None:
    said = Conversation(
        messages=(Message("user", ()),),
        system=(Text("abcd"),),
        tools=(Tool("ls", "abcdefgh", {"type": "object"}), Tool("\ud83d", schema={"a": "\ud83d"})),
        schema={"type": "object"},
    )
    assert estimate_tokens(said) == 2 * EMPTY + 1 + (8 + 1 + 2 + 5) + (8 + 1 + 4) + 5
