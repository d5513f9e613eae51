"""Names of tools that an upstream would refuse are told shorter, and found again."""

from __future__ import annotations

import re
import time

from streamgauge.core.conversation import Conversation, Message, Text, Tool, ToolChoice, ToolUse
from streamgauge.core.dialects.tool_names import fitted_names

LONG = "mcp__plugin_github_enterprise__" + "list_all_open_pull_requests_of_team" * 2
OTHER = LONG + "_closed"


def _asking(*names: str, called: str | None = None, chosen: str | None = None) -> Conversation:
    parts = () if called is None else (Text("t"), ToolUse("c1", called, "{}"))
    return Conversation(
        messages=(Message("user", (Text("hi"),)), Message("assistant", parts)),
        tools=tuple(Tool(name) for name in names),
        tool_choice=None if chosen is None else ToolChoice("tool", chosen),
    )


def test_names_that_fit_change_nothing_at_all() -> None:
    asked = _asking("ls", "a" * 64, called="gone", chosen="ls")
    told, names = fitted_names(asked, 64)
    assert told is asked
    assert names == {}
    assert fitted_names(_asking(LONG, "a.b"), None)[1] == {}


def test_a_long_name_is_the_same_wherever_it_stands() -> None:
    told, names = fitted_names(_asking("ls", LONG, OTHER, called=LONG, chosen=LONG), 64)
    keep, short, other = (tool.name for tool in told.tools)
    assert keep == "ls"
    assert re.fullmatch(r"mcp__plugin_github_enterprise__list_\w{19}_[0-9a-f]{8}", short)
    assert len(short) == len(other) == 64
    assert short != other
    assert names == {short: LONG, other: OTHER}
    assert told.tool_choice == ToolChoice("tool", short)
    assert told.messages[1].parts == (Text("t"), ToolUse("c1", short, "{}"))
    again, _ = fitted_names(_asking(LONG, "more", called="ls"), 64)
    assert again.tools[0].name == short


def test_a_name_that_only_the_history_has_is_fitted_as_well() -> None:
    told, names = fitted_names(_asking("ls", called=LONG), 64)
    (short,) = names
    assert told.messages[1].parts[1] == ToolUse("c1", short, "{}")


def test_other_signs_become_lines_and_a_taken_name_stays_its_owners() -> None:
    _, names = fitted_names(_asking("fs.read/é"), 128)
    (short,) = names
    assert re.fullmatch(r"fs_read___[0-9a-f]{8}", short)
    _, both = fitted_names(_asking("fs.read/é", short), 128)
    (longer,) = both
    assert longer != short
    assert both == {longer: "fs.read/é"}


def test_a_name_finds_its_own_however_many_of_its_forms_are_taken() -> None:
    names = [LONG]
    for _ in range(70):
        _, told = fitted_names(_asking(*names), 64)
        (short,) = told
        assert short not in names
        assert len(short) <= 64
        names.append(short)


def test_very_many_long_names_cost_each_no_more() -> None:
    """Measured: 0.2 s; it was minutes."""
    asking = _asking(*(f"{'x' * 70}{n}" for n in range(20_000)))
    began = time.process_time()
    _, names = fitted_names(asking, 64)
    assert time.process_time() - began < 2.0
    assert len(names) == 20_000
