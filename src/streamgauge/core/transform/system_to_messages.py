"""Says the system prompt as a message, for models and servers that know no system prompt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from streamgauge.core.conversation import Conversation, Message
from streamgauge.core.transform.body import REMOVED, Changes, Form, Members
from streamgauge.core.transform.turns import is_system, joined, messages_of, said_by

__all__ = ["SystemToMessages"]


@dataclass(frozen=True, slots=True)
class SystemToMessages:
    """The system prompt becomes the first message, said by `role`.

    `user` joins it with the user's first turn. `system` moves Anthropic's `system` into the
    messages; where it stands there already, nothing changes.
    """

    role: Literal["user", "system"] = "user"

    def converse(self, conversation: Conversation) -> Conversation:
        """Return the conversation with its system prompt said by the user."""
        system, messages = conversation.system, conversation.messages
        if not system or self.role == "system":
            return conversation
        if messages and messages[0].role == "user":
            messages = (Message("user", (*system, *messages[0].parts)), *messages[1:])
        else:
            messages = (Message("user", system), *messages)
        return replace(conversation, system=(), messages=messages)

    def change(self, body: Members, form: Form) -> Changes:
        """Return the messages with the system prompt first, and without it elsewhere."""
        messages = messages_of(body)
        if messages is None:
            return {}
        if form.dialect == "anthropic":
            system = body.get("system")
            if not system:
                return {}
            return {"messages": said_by(self.role, system, messages), "system": REMOVED}
        count = next((n for n, m in enumerate(messages) if not is_system(m, form)), len(messages))
        if not count or self.role == "system":
            return {}
        content: Any = messages[0].get("content")
        for message in messages[1:count]:
            content = joined(content, message.get("content"))
        return {"messages": said_by("user", content, messages[count:])}
