"""What is written for upstreams that speak OpenAI's chat."""

from __future__ import annotations

import json
from typing import Any

from streamgauge.core.conversation import Conversation, Image, Message, Part, Text
from streamgauge.core.dialects.base import Wish
from streamgauge.core.dialects.openai.write_request import write_request

__all__ = ["HI", "IMAGE", "IMAGE_PART", "MARK", "lost", "saying", "settings", "written"]

MARK = {"type": "ephemeral"}
HI = Text("hi")
IMAGE = Image("image/png", "QUJD")
IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}


def written(
    conversation: Conversation, kind: str = "llamacpp", model: str = "m", **wish: Any
) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(
        write_request(conversation, Wish(kind, model, True, **wish)).body
    )
    return body


def lost(conversation: Conversation, kind: str = "llamacpp", model: str = "m") -> tuple[str, ...]:
    return write_request(conversation, Wish(kind, model, True)).lost


def saying(*parts: Part, role: Any = "user", **fields: Any) -> Conversation:
    return Conversation(messages=(Message(role, parts),), **fields)


def settings(body: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v for k, v in body.items() if k not in ("messages", "model", "stream", "stream_options")
    }
