"""`streamgauge doctor` without a URL: each fault of an upstream or of this machine is found."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from streamgauge.cli.doctor_facts import house_facts
from streamgauge.config.load import LoadOptions, load
from streamgauge.config.upstream import Upstream
from streamgauge.gateway.pool import Pool, PoolSettings
from streamgauge.gateway.upstreams import UpstreamRuntime
from streamgauge.ledger.spool import SpoolFile, spool_path
from streamgauge.tools.doctor import (
    CATALOGUE,
    Finding,
    HouseFacts,
    Report,
    examine_house,
    examine_upstream,
)
from streamgauge.tools.doctor.asking import SHORT, chat_body
from streamgauge.tools.doctor.hearing import hear
from streamgauge.tools.doctor.patient import Patient
from streamgauge.tools.doctor.upstream import judge_stream
from streamgauge.tools.simulator import Simulator

from .doctor_fakes import Page, fake_upstream, page, sse
from .proxies import free_port
from .test_doctor import doctor, ids, only

LIST = page(b'{"data": [{"id": "m"}]}')
PROPS = page(b'{"default_generation_settings": {"n_ctx": 4096}}')
IDLE = b'[{"id": 0, "is_processing": false}]'


def said(text: str) -> bytes:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode()


USAGE = b'{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":6,"total_tokens":15}}'
WORDS = [said(f"{n} ") for n in range(6)]
WHOLE = [*WORDS, USAGE, b"[DONE]"]
SOUND: Mapping[str, Page] = {
    "/v1/models": LIST,
    "/props": PROPS,
    "/slots": page(IDLE),
    "/v1/chat/completions": sse(WHOLE),
}


async def examined(url: str, kind: str = "llamacpp", spend: bool = False, **more: Any) -> Report:
    """Examine one upstream."""
    report = Report()
    pool = Pool(asyncio.get_running_loop(), PoolSettings())
    config = Upstream.model_validate({"name": "up", "kind": kind, "base_url": url, **more})
    try:
        await examine_upstream(config, pool, report, spend=spend)
    finally:
        await pool.aclose()
    return report


async def faulty(**pages: Page) -> Report:
    """Examine an upstream that is sound but for `pages`, named by the last step of their paths."""
    changed = {path: pages.get(path.rpartition("/")[2], sound) for path, sound in SOUND.items()}
    async with fake_upstream(changed) as url:
        return await examined(url)


@asynccontextmanager
async def simulator(flavour: str) -> AsyncIterator[Simulator]:
    simulated = Simulator()
    await simulated.start(flavour=flavour)
    async with simulated:
        yield simulated


# --- sound --------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("flavour", ["llamacpp", "ollama", "anthropic", "openai"])
async def test_nothing_is_found_at_a_sound_upstream(flavour: str) -> None:
    async with simulator(flavour) as it:
        report = await examined(it.url, flavour, spend=True)
    told = [remark.text for remark in report.well]
    # Asked as what it plays, it knows the model `sim` by name and is paced as itself.
    assert report.findings == [], told
    assert any(text.startswith("streams: ") for text in told)
    assert any(text.startswith("sends usage: ") for text in told)


@pytest.mark.asyncio
async def test_the_simulator_is_seen_to_close_when_it_is_left() -> None:
    async with simulator("llamacpp") as it:
        report = await examined(it.url, "sim")
    (closed,) = [remark for remark in report.well if "closed_ms" in remark.figures]
    assert (closed.figures["closed_ms"] or 0) < 500
    assert [entry.ending for entry in it.journal] == ["complete", "client_closed"]
    assert report.findings == []


@pytest.mark.asyncio
async def test_a_fake_that_is_sound_is_found_sound() -> None:
    assert ids(await faulty()) == []


# --- reaching it --------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_upstream_that_is_not_there_is_found() -> None:
    finding = only(await examined(f"http://127.0.0.1:{await free_port()}"))
    assert finding.id == "upstream_unreachable"
    assert finding.measured.startswith("refused: ")


@pytest.mark.asyncio
async def test_a_key_that_is_refused_is_found_and_not_shown() -> None:
    refusal = b'{"error": {"message": "no such key: secret-key-of-mine"}}'
    async with fake_upstream({**SOUND, "/v1/chat/completions": page(refusal, 401)}) as url:
        finding = only(await examined(url, api_key="secret-key-of-mine"))
    assert finding.id == "upstream_key_refused"
    assert "[redacted]" in finding.measured
    assert "secret" not in finding.measured


@pytest.mark.asyncio
async def test_a_glob_that_fits_no_model_is_found() -> None:
    async with fake_upstream(SOUND) as url:
        finding = only(await examined(url, models=["m", "qwen3-*"]))
    assert finding.id == "models_unmatched"
    assert finding.measured.startswith("qwen3-* fits none of the 1 models")


@pytest.mark.asyncio
async def test_a_path_that_leads_beside_the_api_is_found_as_it_was_asked() -> None:
    async with fake_upstream(SOUND) as url:
        finding = only(await examined(f"{url}/v1/v1", models=["m"]))
    assert finding.id == "upstream_path_wrong"
    assert finding.measured.startswith("/v1/v1/models and /v1/v1/chat/completions both")


@pytest.mark.asyncio
async def test_a_certificate_that_is_not_accepted_is_found() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        finding = only(await examined(f"https://127.0.0.1:{port}"))
    assert (finding.id, "certificate" in finding.measured) == ("upstream_tls_refused", True)


# --- one thing wrong ----------------------------------------------------------------------------

HTML = b"<!doctype html><title>Sign in</title>"
OLD = "date: Sat, 01 Jan 2022 00:00:00 GMT\r\n"
FAULTS: tuple[tuple[str, dict[str, Page], str], ...] = (
    ("upstream_key_refused", {"models": page(b"{}", 403)}, "answered 403"),
    ("models_unlisted", {"models": page(b"{}", 404)}, "status 404"),
    (
        "upstream_not_an_api",
        {"models": page(HTML, headers="content-type: text/html\r\n")},
        "/v1/models answered 200, a page (text/html)",
    ),
    (
        "upstream_not_an_api",
        {"models": page(HTML, 302, "location: https://login.lan/?from=secret\r\n")},
        "answered 302, a redirect to https://login.lan",
    ),
    (
        "upstream_path_wrong",
        {"models": page(b"{}", 404), "completions": page(b"{}", 404)},
        "/v1/models and /v1/chat/completions both answered 404",
    ),
    ("models_unlisted", {"models": page(b'{"data": []}')}, "an empty list"),
    ("clock_skew", {"models": page(b'{"data": [{"id": "m"}]}', headers=OLD)}, "behind the clock"),
    (
        "stream_refused",
        {"completions": page(b'{"error": {"message": "no memory"}}', 500)},
        "status 500: no memory",
    ),
    (
        "stream_failed",
        {"completions": sse([*WORDS, b'{"error": {"message": "slot died"}}'])},
        "slot died",
    ),
    ("not_a_stream", {"completions": page(b'{"choices": []}')}, "application/json"),
    ("not_streaming", {"completions": sse(WHOLE, gap=0)}, "6 frames of content within 0 ms"),
    (
        "not_streaming",
        {"completions": sse([said("1 2 3 4 5 6"), USAGE, b"[DONE]"])},
        "1 frames of content",
    ),
    ("usage_missing", {"completions": sse([*WORDS, b"[DONE]"])}, "no token counts"),
    ("end_marker_missing", {"completions": sse([*WORDS, USAGE])}, "no end marker after 6"),
    (
        "context_unknown",
        {"props": page(b"{}", 403), "slots": page(b"{}", 403)},
        "no context size for m",
    ),
)
"""A finding, the pages that cause it, and a piece of what is said to be measured."""


@pytest.mark.asyncio
async def test_each_fault_of_an_upstream_is_found_and_nothing_else() -> None:
    reports = await asyncio.gather(*(faulty(**pages) for _, pages, _ in FAULTS))
    assert [ids(report) for report in reports] == [[id] for id, _, _ in FAULTS]
    for report, (_, _, words) in zip(reports, FAULTS, strict=True):
        assert words in report.findings[0].measured


@pytest.mark.asyncio
async def test_of_a_stream_that_was_cut_nobody_says_that_it_has_no_usage() -> None:
    async with simulator("llamacpp") as it:
        finding = only(await examined(f"{it.url}/fault/cut"))
    assert finding.id == "end_marker_missing"
    assert "after 3 frames: the connection was closed" in finding.measured


@pytest.mark.asyncio
@pytest.mark.parametrize(("fault", "frames"), [("stall", 3), ("first_token_stall", 0)])
async def test_a_stream_that_is_late_is_not_one_without_its_end_marker(
    fault: str, frames: int
) -> None:
    report = Report()
    async with simulator("llamacpp") as it:
        given = {"name": "up", "kind": "llamacpp", "base_url": f"{it.url}/fault/{fault}"}
        patient = Patient(UpstreamRuntime(Upstream.model_validate(given)), report)
        request = patient.request(*chat_body("openai", "sim", SHORT))
        answer, heard = await hear(patient.address, request, "openai", seconds=0.5)
    assert judge_stream(patient, answer, heard) is bool(frames)
    finding = only(report)
    assert finding.id == "stream_unfinished"
    assert finding.measured == f"no end marker after {frames} frames: it had not ended after 0.5 s"


@pytest.mark.asyncio
async def test_an_upstream_that_works_on_for_nobody_is_found() -> None:
    calls = 0

    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await sse(WHOLE)(reader, writer)

    async def slots(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        busy = b'[{"id": 0, "is_processing": true}]'  # from the second call on, for ever
        await page(busy if calls > 1 else IDLE)(reader, writer)

    finding = only(await faulty(completions=chat, slots=slots))
    assert finding.id == "close_ignored"
    assert (finding.figures["waited_ms"] or 0) >= 2000


@pytest.mark.asyncio
async def test_vllm_is_asked_by_its_metrics() -> None:
    running = b'vllm:num_requests_running{model_name="m"} 0.0\n'
    listed = page(b'{"data": [{"id": "m", "max_model_len": 8192}]}')
    async with fake_upstream({**SOUND, "/v1/models": listed, "/metrics": page(running)}) as url:
        report = await examined(url, "vllm")
    assert ids(report) == []
    assert any("closed_ms" in remark.figures for remark in report.well)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["openai", "anthropic", "openrouter"])
async def test_what_costs_money_is_asked_for_free_pages_only(kind: str) -> None:
    called = False

    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal called
        called = True

    pages = {"/v1/models": LIST, "/v1/chat/completions": chat, "/v1/messages": chat}
    async with fake_upstream(pages) as url:
        report = await examined(url, kind)
    assert not called
    assert report.findings == []
    assert any("--spend" in remark.text for remark in report.left_out)


# --- this machine -------------------------------------------------------------------------------


def found(**facts: Any) -> list[Finding]:
    report = Report()
    examine_house(HouseFacts(ledger="ledger.db", now_us=1_000_000_000, **facts), report)
    return report.findings


def test_nothing_is_found_in_a_sound_house() -> None:
    assert found(free_bytes=1 << 40, newest_row_us=999_000_000, descriptors=65_536) == []


@pytest.mark.parametrize(
    ("id", "facts"),
    [
        ("disk_low", {"free_bytes": 600 << 20, "spool_bytes": 128 << 20}),
        ("ledger_clock", {"newest_row_us": 1_000_000_000 + 90_000_000}),
        ("descriptors_low", {"descriptors": 1024}),
        ("descriptors_low", {"descriptors": 8192, "max_streams": 5000}),
    ],
)
def test_what_is_short_in_the_house_is_found(id: str, facts: dict[str, Any]) -> None:
    assert [finding.id for finding in found(**facts)] == [id]


def _spooled(ledger: Path) -> None:
    spool = SpoolFile(spool_path(ledger))
    spool.allocate(1 << 16)
    spool.append([b"a row that waits"])
    spool.close()


@pytest.mark.parametrize(
    ("id", "ledger"),
    [
        ("spool_waiting", "spooled.db"),
        ("ledger_unwritable", "nowhere/ledger.db"),
        ("ledger_damaged", "damaged.db"),
    ],
)
def test_what_is_wrong_with_the_ledger_is_found(tmp_path: Path, id: str, ledger: str) -> None:
    (tmp_path / "damaged.db").write_bytes(b"no database at all" * 100)
    _spooled(tmp_path / "spooled.db")
    for name, expected in ((ledger, [id]), ("new.db", [])):
        config = tmp_path / "streamgauge.yaml"
        config.write_text(json.dumps({"ledger": {"url": f"sqlite:///{tmp_path / name}"}}))
        report = Report()
        examine_house(house_facts(load(LoadOptions(config=config, environ={}))), report)
        assert ids(report) == expected
    assert not (tmp_path / "new.db").exists()


@pytest.mark.asyncio
async def test_the_verb_examines_house_and_upstreams_and_shows_no_key(tmp_path: Path) -> None:
    async with simulator("llamacpp") as it:
        literal = {"name": "sim", "kind": "sim", "base_url": it.url, "api_key": "as-plain-text"}
        (tmp_path / "streamgauge.yaml").write_text(json.dumps({"upstreams": [literal]}))
        done = await doctor("--json", cwd=tmp_path)
    told = json.loads(done.out)
    assert done.code == 1
    assert [finding["id"] for finding in told["findings"]] == ["config_warning"]
    assert "upstream sim" in {remark["subject"] for remark in told["well"]}
    assert "as-plain-text" not in done.out + done.err
    assert [path.name for path in tmp_path.iterdir()] == ["streamgauge.yaml"]


# --- the page -----------------------------------------------------------------------------------


def test_the_page_names_every_finding_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()
    rows = [line.split("|")[1].strip(" `") for line in text.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(CATALOGUE)
    for line in text.splitlines():
        if line.startswith("| `"):
            id, severity = (part.strip(" `") for part in line.split("|")[1:3])
            assert severity == CATALOGUE[id].severity


def test_every_finding_is_planted_by_a_test() -> None:
    here = Path(__file__).parent
    tests = "".join((here / name).read_text() for name in ("test_doctor.py", Path(__file__).name))
    assert [id for id in CATALOGUE if f'"{id}"' not in tests] == []
