"""Says whether a saved answer that is no stream, one JSON document, is whole. It opens no file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streamgauge.core.integrity_check import Finding, Kind

__all__ = ["is_document", "prove_document", "prove_size"]

_LINES = frozenset({"status", "delta", "reasoning", "tool_call", "metadata", "done"})
"""Types of the lines of `simple`, which is a stream of JSON documents."""


def is_document(head: bytes) -> bool:
    """Return whether a saved body's first bytes are of one JSON document, not of lines of JSON."""
    text = head.lstrip()
    if not text.startswith(b"{"):
        return False
    line, _, more = text.partition(b"\n")
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return True  # it goes on, on other lines or beyond what was read, or was cut
    return not more.strip() and told.get("type") not in _LINES


def prove_document(body: bytes, row: Mapping[str, Any] | None = None) -> tuple[Finding, ...]:
    """Return what is wrong with a document. `row`: of the ledger, which knows its size."""
    try:
        json.loads(body)
    except (ValueError, RecursionError) as error:
        said = f"the JSON document is not whole: {error}"
        return (Finding(Kind.INCOMPLETE, 1, 0, said),)
    return () if row is None else prove_size(body, row)


def prove_size(body: bytes, row: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return what is wrong with the size of an answer that is no stream, by its row."""
    size = row.get("bytes_out")
    if size is None or size == len(body):
        return ()
    return (Finding(Kind.TOTALS, 1, 0, f"{len(body)} bytes; the row says {size}"),)
