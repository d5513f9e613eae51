"""Reads one POST: which endpoint, which control, which journal entry. It answers nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from streamgauge.tools.simulator.connection import SeenRequest
from streamgauge.tools.simulator.control import Control, ControlError, Target, control_of, merged
from streamgauge.tools.simulator.faults import FAULTS, SHORTER
from streamgauge.tools.simulator.journal import Entry
from streamgauge.tools.simulator.ollama import NATIVE
from streamgauge.tools.simulator.plan import Plan, plan_answer
from streamgauge.tools.simulator.prompt import Prompt, read_prompt

__all__ = ["Call", "CallError", "read_call"]

_SLOW_MS = 200.0


class CallError(Exception):
    """The request is no call; `entry` is its journal entry all the same."""

    def __init__(self, message: str, entry: Entry) -> None:
        super().__init__(message)
        self.entry = entry


@dataclass(frozen=True, slots=True)
class Call:
    """One POST, read. `id` is safe in a header; `entry.call_id` is what the caller asked for."""

    id: str
    request: SeenRequest
    target: Target
    body: dict[str, Any]
    control: Control
    prompt: Prompt
    entry: Entry
    began: float

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return self.entry.stream

    def plan(self) -> Plan:
        """Return what the answer says."""
        created = int(self.began)
        plan = plan_answer(self.control, self.prompt, self.body, call=self.id, created=created)
        if self.target.endpoint == "completions":
            plan = replace(plan, calls=(), reasoning=(), choices=1)
        return plan if self.target.endpoint == "chat/completions" else replace(plan, choices=1)


def read_call(request: SeenRequest, target: Target, number: int, now: float) -> Call:
    """Return the call; raise CallError when its body or its control is not understood.

    `now`: seconds since the epoch. A body key beats a line of the prompt, which beats the path.
    """
    entry = Entry(f"call-{number}", request.bare_path, None, False, None, began_at=now)
    try:
        body = msgspec.json.decode(request.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CallError(f"parse error: {error}", entry) from error
    prompt = read_prompt(body)
    entry.prompt_tokens = prompt.tokens
    try:
        control = _control(request, target, prompt, body)
    except ControlError as error:
        raise CallError(str(error), entry) from error
    model, user = body.get("model"), body.get("user")
    entry.model = model if isinstance(model, str) else None
    asked = body.get("stream")
    entry.stream = asked is not False if target.endpoint == NATIVE else asked is True
    entry.fault = control.fault
    if control.call_id is not None:
        entry.call_id = control.call_id
    elif isinstance(user, str) and user:
        entry.call_id = user
    return Call(f"sim{number:06d}", request, target, body, control, prompt, entry, now)


def _control(request: SeenRequest, target: Target, prompt: Prompt, body: dict[str, Any]) -> Control:
    seed = request.query("split")
    by_path = Control(fault=target.fault, split=int(seed) if seed and seed.isdigit() else None)
    control = merged(by_path, prompt.control, control_of(body.get("sim", {})))
    if control.fault in SHORTER:
        control = merged(control, Control(fault=SHORTER[control.fault]))
    if control.fault is not None and control.fault not in FAULTS:
        raise ControlError(f"sim: no fault {control.fault}; one of {', '.join(sorted(FAULTS))}")
    if control.fault == "slow" and control.gap_ms is None:
        return merged(control, Control(gap_ms=_SLOW_MS))
    return control
