"""Changes to a conversation, each with its before and after."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.core.conversation import Conversation, Message, Text, ToolResult, ToolUse
from streamgauge.core.transform.mid_system import mid_system, results_at_once
from streamgauge.core.transform.strip_attribution import strip_attribution

U, V = Message("user", (Text("u"),)), Message("user", (Text("v"),))
S, T = Message("system", (Text("s"),)), Message("system", (Text("t"),))
A, CALL = Message("assistant", (Text("a"),)), Message("assistant", (ToolUse("c", "ls", "{}"),))
OUT = ToolResult("c", (Text("out"),))
RESULT, BOTH = Message("user", (OUT,)), Message("user", (Text("u"), OUT))


def marked(text: str) -> Text:
    return Text(f"<system-reminder>\n{text}\n</system-reminder>")


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


MARKED = [
    ([U, A, V], [U, A, V]),
    ([U, S], [user("u", marked("s"))]),
    ([U, S, A, V], [user("u", marked("s")), A, V]),
    ([U, A, S, V], [U, A, user(marked("s"), "v")]),
    ([U, A, S], [U, A, user(marked("s"))]),
    ([U, S, T, V], [user("u", marked("s"), marked("t"), "v")]),
    ([U, CALL, S, RESULT], [U, CALL, user(OUT, marked("s"))]),
    ([U, CALL, S, BOTH, T], [U, CALL, user(OUT, marked("s"), "u", marked("t"))]),
    ([U, CALL, RESULT, S, A], [U, CALL, user(OUT, marked("s")), A]),
    ([U, V], [U, V]),
    ([U, V, A, S], [U, V, A, user(marked("s"))]),
]


@pytest.mark.parametrize(("before", "after"), MARKED)
def test_a_system_message_in_the_middle_becomes_part_of_the_users_turn(
    before: list[Message], after: list[Message]
) -> None:
    changed = mid_system(Conversation(messages=tuple(before)))
    assert list(changed.messages) == after


MOVED = [
    ([U, CALL, S, RESULT], [U, CALL, RESULT, S]),
    ([U, CALL, S, T, BOTH], [U, CALL, RESULT, S, T, U]),
    ([U, S, A, V], [U, S, A, V]),
    ([U, CALL, S], [U, CALL, S]),
]


@pytest.mark.parametrize(("before", "after"), MOVED)
def test_results_stand_right_behind_their_calls(
    before: list[Message], after: list[Message]
) -> None:
    changed = results_at_once(Conversation(messages=tuple(before)))
    assert list(changed.messages) == after


def test_a_conversation_without_system_messages_is_not_copied() -> None:
    said = Conversation(messages=(U, CALL, RESULT))
    assert mid_system(said) is said
    assert results_at_once(said) is said
    assert strip_attribution(said) is said


def test_a_mark_on_the_cache_survives() -> None:
    said = Conversation(messages=(Message("system", (Text("s", {"type": "ephemeral"}),)),))
    (part,) = mid_system(said).messages[0].parts
    assert isinstance(part, Text)
    assert part.cache == {"type": "ephemeral"}


def test_the_billing_line_goes_and_a_text_that_only_names_it_stays() -> None:
    billing = Text("x-anthropic-billing-header: cc_version=1; cc_entrypoint=cli;")
    other = Text("What is an x-anthropic-billing-header:?")
    stripped = strip_attribution(Conversation(messages=(U,), system=(billing, other)))
    assert stripped.system == (other,)


def test_what_stands_behind_the_billing_line_in_one_text_stays() -> None:
    joined = Text("x-anthropic-billing-header: cc_version=1; cch=abc;\n\nBe kind.\nBe brief.")
    stripped = strip_attribution(Conversation(messages=(U,), system=(joined,)))
    assert stripped.system == (Text("Be kind.\nBe brief."),)
