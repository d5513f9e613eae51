"""How a request's body is changed by its top-level members (SPEC §14.6). It knows no transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol, runtime_checkable

from streamgauge.core.chat import UpstreamDialect
from streamgauge.core.conversation import Conversation
from streamgauge.core.json_text import json_of, patch_keys, read_object

__all__ = [
    "REMOVED",
    "BodyTransformer",
    "Changes",
    "Form",
    "Members",
    "PromptTransformer",
    "Removed",
    "changed_body",
]

Members = Mapping[str, Any]
"""A JSON object. Nobody changes one in place: the client's own body is among them."""


class Removed(Enum):
    """What stands for the value of a member that goes."""

    REMOVED = auto()


REMOVED = Removed.REMOVED

Changes = dict[str, Any]
"""Top-level members with their new values, REMOVED for those that go."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a body is written in: the upstream's dialect and kind, and the endpoint without `/v1/`."""

    dialect: UpstreamDialect
    kind: str
    endpoint: str


class BodyTransformer(Protocol):
    """Changes a body that is written in the upstream's own dialect."""

    def change(self, body: Members, form: Form) -> Changes:
        """Return the members that differ, none where nothing is to be done. Leaves `body` alone."""


@runtime_checkable
class PromptTransformer(Protocol):
    """Changes a conversation before it is written in another dialect."""

    def converse(self, conversation: Conversation) -> Conversation:
        """Return the conversation changed, or itself where nothing is to be done."""


def changed_body(
    raw: bytes, steps: Sequence[BodyTransformer], form: Form, body: Members | None = None
) -> bytes:
    """Return `raw` with what `steps` change in it, in their order; every other byte stays.

    `body`: the members of `raw` where they were read before.
    """
    members = read_object(raw) if body is None else body
    changes: Changes = {}
    for step in steps:
        more = step.change(members, form)
        if more:
            changes |= more
            merged = {**members, **more}
            members = {key: value for key, value in merged.items() if value is not REMOVED}
    if not changes:
        return raw
    told = {key: None if value is REMOVED else json_of(value) for key, value in changes.items()}
    return patch_keys(raw, told)
