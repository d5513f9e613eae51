"""The vocabulary: what an upstream's frame says, whatever its dialect. Decoders make these."""

from __future__ import annotations

import msgspec

from streamgauge.core.usage import Timings, TokenUsage

__all__ = [
    "Ended",
    "Event",
    "Failed",
    "Finished",
    "ModelNamed",
    "Noted",
    "ReasoningDelta",
    "Shown",
    "Started",
    "TextDelta",
    "ThoughtRedacted",
    "ThoughtSigned",
    "TimingsReported",
    "ToolCallDelta",
    "ToolCallStarted",
    "UsageReported",
]


# Structs: a delta is made for nearly every frame, in a fifth of a dataclass' time.


class Started(msgspec.Struct, frozen=True, gc=False):
    """The answer has begun: a role or `message_start`. Not content."""


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """Visible text. `text` may be empty: then it is no content. `refusal`: said instead of one."""

    text: str
    choice: int = 0
    refusal: bool = False


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    """Reasoning or thinking text. `text` may be empty: then it is no content."""

    text: str
    choice: int = 0


class Shown(msgspec.Struct, frozen=True, gc=False):
    """An answer without words, or a piece of one: a picture, a sound, another call. Not content."""


class ThoughtSigned(msgspec.Struct, frozen=True, gc=False):
    """The signature of the reasoning before it, which its maker wants to see again."""

    signature: str
    choice: int = 0


class ThoughtRedacted(msgspec.Struct, frozen=True, gc=False):
    """A whole block of reasoning that only its maker can read."""

    data: str
    choice: int = 0


class ToolCallStarted(msgspec.Struct, frozen=True, gc=False):
    """A tool call was named. `index` counts calls within the choice.

    Said again of the same call, `name` is one more piece of its name. `served`: the upstream runs
    the call itself (Anthropic's server tools).
    """

    index: int
    id: str | None
    name: str | None
    choice: int = 0
    served: bool = False


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of a tool call's argument JSON. May be empty: then it is no content.

    `free`: it is the input of a custom tool, which is any text.
    """

    index: int
    arguments: str
    choice: int = 0
    free: bool = False


class UsageReported(msgspec.Struct, frozen=True, gc=False):
    """Token counts from the upstream.

    `final`: these are the upstream's own last word in this kind of frame (an Anthropic
    `message_start` is not). `running`: a cumulative count that more will follow (usage on a frame
    that also carries choices without a finish reason). `alone`: the frame carried only usage.
    `cost`: the upstream's own price as decimal text, OpenRouter's `usage.cost`, in USD.
    """

    usage: TokenUsage
    final: bool = True
    running: bool = False
    alone: bool = False
    service_tier: str | None = None
    cost: str | None = None


class TimingsReported(msgspec.Struct, frozen=True, gc=False):
    """llama.cpp's timings."""

    timings: Timings


class ModelNamed(msgspec.Struct, frozen=True, gc=False):
    """The upstream said which model answers."""

    model: str


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A finish or stop reason, as sent. `stop_sequence`: the text that stopped it, where told."""

    reason: str
    choice: int = 0
    stop_sequence: str | None = None


class Failed(msgspec.Struct, frozen=True, gc=False):
    """An error object in the stream. `status`: the HTTP status it stands for, where it says one.

    `param`: the field of the request that it blames.
    """

    message: str
    type: str | None = None
    code: str | None = None
    status: int | None = None
    param: str | None = None


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The dialect's end marker was read."""


class Noted(msgspec.Struct, frozen=True, gc=False):
    """Something odd that breaks nothing: an anomaly of SPEC §5.6 by name."""

    anomaly: str


Event = (
    Started
    | TextDelta
    | ReasoningDelta
    | Shown
    | ThoughtSigned
    | ThoughtRedacted
    | ToolCallStarted
    | ToolCallDelta
    | UsageReported
    | TimingsReported
    | ModelNamed
    | Finished
    | Failed
    | Ended
    | Noted
)
