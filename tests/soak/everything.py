"""The soak's stage with everything on: keys, sessions, resume, fallback, captures, an exporter, reloads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from streamgauge.tools.capture.proof import prove_capture
from streamgauge.tools.capture.reading import CaptureReader

from ..e2e.process import GatewayProcess
from ..e2e.receivers import Received, Receiver
from ..e2e.test_limits_process import make_key
from .calls import FLAVOURS, MODEL
from .extras import CHAIN_FAULTS, KEYS, chain_of
from .journals import Case
from .stage import Stage, config_of, serving, upstreams

__all__ = [
    "Influx",
    "captures_hold",
    "everything",
    "exported_once",
    "left_of",
    "secrets_in",
    "spent_of",
]

LIMITS: dict[str, tuple[str, ...]] = {
    "wide": (
        *("--max-streams", "1000", "--rpm", "10000000", "--tpm", "2000000000"),
        *("--per-month", "100000 USD"),
    ),
    "narrow": ("--max-streams", "2"),
    "poor": ("--per-day", "0.05 USD"),
}
UPSTREAM_SECRET = "sk-of-the-upstream"
RELOAD_SECONDS = 0.7
_FAILURES = {5: 500, 7: 503, 11: 429}
"""Which of the receiver's requests it refuses, every so many, and how."""
_LINE = re.compile(r"^(llm_request(?:\\.|[^ ])*) .*\bid=\"([^\"]+)\".* (\d+)$")
_LEFT = re.compile(r"([\d.]+) USD of it is left")


class Influx(Receiver):
    """Takes points but now and then none. `points`: of each id, the places where it was written.

    `repeated`: points that came again after they had been taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.points: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self.repeated = self.refused = self.taken = self._count = 0

    def take(self, received: Received) -> tuple[int, bytes]:
        """Keep the points, or refuse all of them."""
        self._count += 1
        for every, status in _FAILURES.items():
            if self._count % every == 0:
                self.refused += 1
                return status, b""
        for line in received.body.decode().splitlines():
            found = _LINE.match(line)
            assert found is not None, line
            place = found[1], found[3]
            self.repeated += place in self.points[found[2]]
            self.points[found[2]].add(place)
        self.taken += 1
        return 204, b""


def _config(urls: dict[str, str], folder: Path, influx: Influx, integrity: str) -> dict[str, Any]:
    config = config_of(urls, folder)
    first = config["upstreams"][0]
    maps = []
    for flavour in FLAVOURS:
        served = [f"{flavour}-{policy}/{MODEL}" for policy in ("cancel", "drain")]
        maps.append({"match": chain_of(flavour, "none"), "to": served})
        for fault in CHAIN_FAULTS:
            bad = {"name": f"bad-{flavour}-{fault}", "base_url": f"{urls[flavour]}/fault/{fault}"}
            config["upstreams"].append({**first, **bad})
            to = [f"{bad['name']}/{MODEL}", *served]
            maps.append({"match": chain_of(flavour, fault), "to": to})
    config["routing"] = {**config["routing"], "models": maps}
    config["sessions"] = {"supersede": "session", "resume_seconds": 2}
    config["integrity"] = integrity
    captures = {"dir": str(folder / "captures"), "routes": ["models:chain-openai-*"], "max_mb": 64}
    config["capture"] = captures
    exporter = {"url": influx.url, "database": "gauge", "flush_seconds": 0.2}
    config["exporters"] = {"influxdb": exporter}
    return config


@contextlib.asynccontextmanager
async def everything(folder: Path, seed: int, share: float, influx: Influx) -> AsyncIterator[Stage]:
    """Set up simulators, and a gateway with everything on in front of them."""
    async with upstreams(folder) as urls:
        keys = {name: make_key(folder, *LIMITS[name]) for name in KEYS}
        config = _config(urls, folder, influx, "comment")
        async with serving(folder, config) as gateway:
            it = Stage(folder, config, gateway, seed, share)
            it.keys = {name: key["key"] for name, key in keys.items()}
            it.key_ids = {name: key["id"] for name, key in keys.items()}
            yield it


async def reloads(it: Stage, gateway: GatewayProcess) -> None:
    """Switch the stamps on and off, by a reload each time, for ever."""
    modes = ("ledger", "comment")
    at = 0
    while True:
        await asyncio.sleep(RELOAD_SECONDS)  # the rhythm itself: nothing is waited for
        config = {**it.config, "integrity": modes[at % 2]}
        new = it.folder / "streamgauge.new"
        new.write_text(json.dumps(config))
        new.replace(it.folder / "streamgauge.yaml")
        gateway.signal(signal.SIGHUP)
        at += 1


# --- what must hold -------------------------------------------------------------------------------


def i10_one_attempt_shows_output(case: Case) -> Iterator[str]:
    """I10: of all attempts of an exchange one at most has output, and it is the last one."""
    shown = [each["n"] for each in case.attempts if each["output_tokens"]]
    if len(shown) > 1 or (shown and shown[0] != len(case.attempts)):
        yield f"attempts {shown} of {len(case.attempts)} showed output"


def i13_what_came_is_what_was_sent(case: Case) -> Iterator[str]:
    """I13: numbers and stamps are right, and the row's hash is that of what the client got."""
    told, row = case.told, case.row
    if told.fault is not None:
        yield told.fault
    whole = told.clean and told.status == 200 and told.left_at is None
    if whole and case.call.stream and told.stream_sha1 != row["stream_sha1"]:
        yield f"the client has {told.stream_sha1}, the row {row['stream_sha1']}"


def keys_are_the_rows(case: Case, ids: dict[str, str]) -> Iterator[str]:
    """Whose call it was stands in the row, wherever the key was looked at."""
    extra, row = case.call.extra, case.row
    assert extra is not None
    if row["key_id"] not in (ids[extra.key], None) or (row["attempts"] and row["key_id"] is None):
        yield f"{extra.key} asked, the row says {row['key_id']}"


def exported_once(ledger: Path, influx: Influx) -> Iterator[str]:
    """I9: what was exported is each terminal row, at one place."""
    ids = {
        name for (name,) in _asked(ledger, "SELECT id FROM requests WHERE status != 'in_flight'")
    }
    lost, strange = ids - influx.points.keys(), influx.points.keys() - ids
    if lost or strange:
        named = f"{sorted(lost)[:3]}, {sorted(strange)[:3]}"
        yield f"{len(lost)} rows were not exported, {len(strange)} points are of no row: {named}"
    for name, places in influx.points.items():
        if len(places) != 1:
            yield f"{name} was exported to {sorted(places)}"
    every = [place for places in influx.points.values() for place in places]
    if len(every) != len(set(every)):
        yield "two rows share a point"


def spent_of(ledger: Path, key_id: str) -> int:
    """Return what the rows of a key cost, in nano-units."""
    query = f"SELECT ifnull(sum(cost_nano), 0) FROM requests WHERE key_id = '{key_id}'"
    return int(_asked(ledger, query)[0][0])


async def left_of(gateway: GatewayProcess, key: str) -> int:
    """Return the nano-units that a key may still spend, as a refusal tells."""
    ask = {"model": f"openai-cancel/{MODEL}", "max_tokens": 10_000_000, "messages": []}
    ask["messages"] = [{"role": "user", "content": "hi"}]
    answer = await gateway.ask("/v1/chat/completions", ask, authorization=f"Bearer {key}")
    found = _LEFT.search(answer.json()["error"]["message"])
    assert answer.status == 402, answer.body
    assert found is not None, answer.body
    return int(Decimal(found[1]).scaleb(9))


def captures_hold(folder: Path, rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """I13: each capture is whole, of a row, and proves what its client was sent."""
    for path in sorted((folder / "captures").glob("*.jsonl")):
        with path.open("rb") as file:
            proof = prove_capture(CaptureReader(file), rows.get(path.stem))
        if path.stem not in rows:
            yield f"{path.stem}: a capture of no row"
        if not proof.holds:
            yield f"{path.stem} ({rows[path.stem]['status']}): {proof.findings[:2]} {proof.faults[:2]}"


def secrets_in(folder: Path, secrets: list[str], lines: list[str], influx: Influx) -> Iterator[str]:
    """S11: no key is in a file, a log line or an export."""
    wanted = [secret.encode() for secret in [*secrets, UPSTREAM_SECRET]]
    files = [folder / "ledger.db", folder / "ledger.db-wal", *(folder / "captures").iterdir()]
    for path in files:
        data = path.read_bytes() if path.exists() else b""
        yield from (f"{path.name} holds a key" for secret in wanted if secret in data)
    said = "\n".join(lines).encode()
    bodies = b"".join(received.body for received in influx.requests)
    yield from ("the log or an export holds a key" for s in wanted if s in said or s in bodies)


def _asked(ledger: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
