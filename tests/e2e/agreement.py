"""Compares the books: each row beside the simulator's journal entry of the same call."""

from __future__ import annotations

from typing import Any

from streamgauge.tools.simulator.journal import Ending

from .stand import Stand

__all__ = ["CLIENT_KEY", "agreed_rows"]

CLIENT_KEY = "sk-dummy-key-of-the-client"
_METERED = (
    "/chat/completions",
    "/messages",
    "/completions",
    "/responses",
    "/embeddings",
    "/api/chat",
)


async def agreed_rows(it: Stand, count: int) -> list[dict[str, Any]]:
    """Return the rows in the order of their calls, once all `count` are whole and agree.

    Which row is which call is known from `Idempotency-Key`, the row's id and its attempt.
    """
    rows = {row["id"]: row for row in await it.rows()}
    calls = [r for r in it.simulator.requests if r.method == "POST" and _metered(r.bare_path)]
    entries = it.simulator.begun
    assert len(rows) == len(calls) == len(entries) == count
    assert not any(CLIENT_KEY in value for call in calls for _, value in call.headers)
    ordered = []
    for call, entry in zip(calls, entries, strict=True):
        row = rows.pop((call.header("idempotency-key") or "").removesuffix("-1"))
        assert entry.ending is Ending.COMPLETE
        assert (row["status"], row["success"], row["delivered"]) == ("completed", True, "all")
        assert (row["usage_source"], row["input_source"]) == ("provider", "provider")
        booked = (row["input_tokens"], row["output_tokens"])
        assert booked == (entry.prompt_tokens, entry.completion_tokens)
        assert (row["requested_model"], row["streaming"]) == (entry.model, entry.stream)
        assert row["client_app"]
        assert row["anomalies"] == []
        ordered.append(row)
    return ordered


def _metered(path: str) -> bool:
    return path.endswith(_METERED)
