"""What is wanted of a stream's integrity, and who is told of it. It does nothing of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_stamp import Stamp
from streamgauge.core.replay_watch import Suspicion

__all__ = ["NO_PROOF", "Proof"]


class Proof(msgspec.Struct, frozen=True):
    """How one stream is proved. `ids`: its frames carry `id:` lines, whatever the mode (§11.5).

    `emitted` is told each stamp when its frame is made, `suspected` each place that looks like a
    replay.
    """

    mode: Integrity = Integrity.OFF
    ids: bool = False
    emitted: Callable[[Stamp], None] | None = None
    suspected: Callable[[Suspicion], None] | None = None


NO_PROOF = Proof()
