"""What a request asks of the simulator: by body key, by the prompt, by the path. No HTTP."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec

__all__ = ["Control", "ControlError", "Target", "ToolAsked", "control_of", "merged", "parse_target"]

_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
"""Some hundred MB of frames at the most: one mistyped number must not take the machine."""
_Delay = Annotated[float, msgspec.Meta(ge=0, le=86_400_000)]
_Choices = Annotated[int, msgspec.Meta(ge=1, le=8)]
_PREFIX = re.compile(r"/(fault|capture|case)/([^/]+)(/.*)?$")
_VERSION = re.compile(r"(?:/api)?/v1(?=/|$)")


class ControlError(ValueError):
    """The `sim` object or a path prefix asks for something that does not exist."""


class ToolAsked(msgspec.Struct, frozen=True):
    """A tool call to answer with; `arguments` is an object, or raw text, which may be broken."""

    name: str
    arguments: dict[str, Any] | str = {}


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `sim` object (SPEC §18.1). None is: not asked. Times in milliseconds after the request.

    `head_ms`, `role_ms`, `first_ms`: when the headers, the role frame and the first content are
    due; `gap_ms`: between content frames. `after`: content frames before the fault. `usage`:
    `"none"`, or an object laid over the true one. `reasoning`: a text, a count of tokens, or true.
    `cached`: prompt tokens to report as cached. `split`: seed for cutting a capture. `echo`: the
    text names the results, images and documents that came; so it does without asking where nothing
    else is asked. `redacted`: a piece of reasoning that nobody can read, where a server has such.
    """

    fault: str | None = None
    after: _Count | None = None
    gap_ms: _Delay | None = None
    first_ms: _Delay | None = None
    head_ms: _Delay | None = None
    role_ms: _Delay | None = None
    tokens: _Count | None = None
    usage: str | dict[str, Any] | None = None
    text: str | None = None
    tool: ToolAsked | list[ToolAsked] | None = None
    reasoning: bool | _Count | str | None = None
    n: _Choices | None = None
    call_id: str | None = None
    cached: _Count | None = None
    split: int | None = None
    echo: bool | None = None
    redacted: bool | None = None

    @property
    def no_usage(self) -> bool:
        """True when neither usage nor timings shall be sent."""
        return self.usage == "none" or self.fault == "usage_none"

    @property
    def tools(self) -> tuple[ToolAsked, ...]:
        """The tool calls asked for, in order."""
        if self.tool is None:
            return ()
        return tuple(self.tool) if isinstance(self.tool, list) else (self.tool,)


class Target(msgspec.Struct, frozen=True):
    """A path without its prefixes: `endpoint` has neither a leading slash nor the version."""

    endpoint: str
    fault: str | None = None
    capture: str | None = None
    case: str | None = None


def control_of(value: object) -> Control:
    """Return the `sim` object `value` as a Control; raise ControlError saying what is wrong."""
    try:
        control = msgspec.convert(value, Control)
    except msgspec.ValidationError as error:
        raise ControlError(f"sim: {error}") from error
    if isinstance(control.usage, str) and control.usage != "none":
        raise ControlError('sim: usage is "none" or an object')
    return control


def merged(*controls: Control) -> Control:
    """Return one control in which each field is the last one asked for."""
    asked: dict[str, Any] = {}
    for control in controls:
        for name in control.__struct_fields__:
            value = getattr(control, name)
            if value is not None:
                asked[name] = value
    return Control(**asked)


def parse_target(path: str) -> Target:
    """Return what `path` (no query) asks for; prefixes may be stacked, before the version."""
    found: dict[str, str] = {}
    while (match := _PREFIX.match(path)) is not None:
        found[match[1]] = unquote(match[2])
        path = match[3] or "/"
    version = _VERSION.match(path)
    endpoint = path[version.end() :] if version is not None else path
    return Target(endpoint.strip("/"), **found)
