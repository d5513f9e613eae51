"""Every action that the machine can ask for is done by something."""

from __future__ import annotations

from typing import get_args

from streamgauge.core.actions import Action
from streamgauge.gateway import relay


def test_each_action_has_its_doing() -> None:
    assert set(relay._DOING) == set(get_args(Action))
