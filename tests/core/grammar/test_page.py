"""docs/grammar.md names every rule, with its level and its words."""

from __future__ import annotations

from pathlib import Path

from streamgauge.core.grammar import PROTOCOLS

PAGE = Path(__file__).parents[3] / "docs" / "grammar.md"
TITLES = {
    "openai": "OpenAI chat",
    "anthropic": "Anthropic messages",
    "simple": "`simple`",
    "frames": "`frames`",
}


def test_the_page_has_each_protocols_rules_and_no_other() -> None:
    _, *sections = PAGE.read_text(encoding="utf-8").split("\n## ")
    told = {}
    for section in sections:
        title, *lines = section.splitlines()
        told[title] = [line for line in lines if line.startswith("| `")]
    assert told == {
        TITLES[protocol]: [
            f"| `{name}` | {rule.level} | {rule.says} |" for name, rule in rules.items()
        ]
        for protocol, rules in PROTOCOLS.items()
    }
