"""The dashboard in a real Chromium, on a gateway with real traffic: screens, keys, login, hostile texts."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from ..faults.upstream import scripted
from .browser import Sight, chromium, sight
from .control_client import admin
from .dashboard_world import HOSTILE, World, world
from .stand import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

LENIENCY = 5
TOKEN = "adm-canary-token-5d1e"
LABEL = "laptop <b>bold</b>"


@dataclass(frozen=True)
class Played:
    """A world that has had its traffic, and the ids of some of its rows."""

    it: World
    rows: list[dict[str, Any]]

    def id_of(self, **columns: Any) -> str:
        """Return the id of the newest row with these values."""
        fits = (row for row in self.rows if all(row[name] == columns[name] for name in columns))
        return str(next(fits)["id"])


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser(real_program: Callable[[str], Path]) -> AsyncIterator[Browser]:
    async with chromium(real_program("chromium")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def played(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> AsyncIterator[Played]:
    exporters = {"influxdb": {"url": "http://127.0.0.1:1", "database": "nobody-there"}}
    async with world(tmp_path_factory.mktemp("dashboard"), exporters=exporters) as it:
        await it.play()
        yield Played(it, await it.settle())


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def page_of_all(played: Played, browser: Browser) -> AsyncIterator[Sight]:
    async with sight(browser, played.it.origin) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def seen(page_of_all: Sight) -> AsyncIterator[Sight]:
    yield page_of_all
    page_of_all.is_clean()


MOMENTS = [
    "accepted",
    "routed",
    "connected",
    "first byte",
    "first token",
    "last token",
    "usage",
    "end marker",
    "row committed",
]
SCREENS = {
    "/": ["Live", "Requests / min", "Just ended", "just-now", "ledger queue"],
    "/requests": [
        "Requests",
        "completed",
        "client disconnected",
        "counted",
        "provider",
        "unpriced",
    ],
    "/sessions": ["Sessions", "7b1d9c52-checkout-ref", "docs-assistant"],
    "/sessions/docs-assistant": ["Session", "Context by turn", "Turns", "8", "qwen3-32b"],
    "/upstreams": [
        "local",
        "cloud",
        "claude",
        "flaky",
        "llamacpp",
        "closed",
        "First token",
        "for qwen3-32b",
    ],
    "/usage?range=24h": ["Usage and cost", "Written, exact", "gpt-5-mini", "Total"],
    "/usage?by=upstream&metric=cost": ["USD", "sat", "Cost, exact"],
    "/usage?by=session": ["docs-assistant"],
    "/usage?by=day": ["Exchanges"],
    "/keys": ["Client keys", "New key"],
    "/health": [
        "Ledger",
        "Doctor",
        "genai-prices",
        "upstreams[0].base_url",
        "Data loop late by",
        "Yet to send",
        "here since",
    ],
}


@pytest.mark.parametrize("path", SCREENS)
async def test_each_screen_renders_real_data_without_an_error_or_a_stranger(
    seen: Sight, played: Played, path: str
) -> None:
    if path == "/":  # it has the newest rows only, and other tests may have made some
        await played.it.ask("local/just-now")
        await played.it.settle()
    await seen.go(path)
    text = (await seen.text()).lower()
    for wanted in SCREENS[path]:
        assert wanted.lower() in text, wanted


async def test_a_request_is_told_from_its_timeline_to_its_price(
    seen: Sight, played: Played
) -> None:
    await seen.go(f"/requests/{played.id_of(upstream='claude')}")
    text = await seen.text()
    assert "✓ agrees" in text
    assert "✓ equal" in text
    assert "The upstream sent its end marker" in text
    formula = await seen.text("table.formula")
    assert "× 3 USD / 1M" in formula.replace("\t", " ").replace("\u00a0", " ")
    assert json.loads(await seen.page.text_content("pre.block") or "")["upstream"] == "claude"


@pytest.mark.parametrize("upstream", ["claude", "local"])
async def test_the_timeline_of_a_stream_has_its_nine_moments_in_order(
    seen: Sight, played: Played, upstream: str
) -> None:
    wanted = {"upstream": upstream, "status": "completed", "streaming": True}
    await seen.go(f"/requests/{played.id_of(**wanted)}")
    lines = seen.page.locator("table.waterfall tbody tr")
    names = await lines.locator("th").all_inner_texts()
    assert [name for name in names if name in MOMENTS] == MOMENTS
    assert await lines.locator(".missing").count() == 0
    assert await lines.locator("i.tick").count() == len(names)


async def test_a_fallback_shows_both_attempts(seen: Sight, played: Played) -> None:
    await seen.go(f"/requests/{played.id_of(requested_model='steady')}")
    tree = await seen.text("ol.tree")
    assert "flaky" in tree
    assert "cloud" in tree
    assert "HTTP 503" in tree
    assert tree.count("connected after") == 2
    assert tree.count("usage after") == 1
    assert ("billed: no" in tree, "billed: yes" in tree) == (True, True)


async def test_a_refused_request_says_that_no_upstream_was_called(
    seen: Sight, played: Played
) -> None:
    it = played.it
    await it.make_key("visitor", models=["qwen3-*"])
    async with (
        asyncio.timeout(LENIENCY),
        httpx.AsyncClient(headers=it.holding("visitor")) as client,
    ):
        models = f"http://127.0.0.1:{it.gateway.port}/v1/models"
        while (told := await client.get(models)).status_code != 200 or '"sim"' in told.text:
            pass  # a new key is in force within a second
    refused = await it.ask("gpt-5-mini", **it.holding("visitor"))
    assert refused.status == 403
    await it.settle()
    await seen.go(f"/requests/{refused.id}")
    assert "rejected" in await seen.text(".why")
    assert "before any upstream was called" in await seen.text()
    dash = seen.page.locator("table.waterfall .missing").first
    assert await dash.get_attribute("title") == "refused here: no upstream was called"


async def test_what_is_unknown_is_a_dash_that_tells_why(seen: Sight, played: Played) -> None:
    await seen.go(f"/requests/{played.id_of(error_code='upstream_error', upstream='cloud')}")
    dash = seen.page.locator("dl.strip .missing").first
    assert await dash.get_attribute("title")
    assert "0" not in await dash.inner_text()


async def test_an_estimate_stands_apart_from_exact_totals(seen: Sight) -> None:
    await seen.go("/usage?by=model&range=24h")
    groups = seen.page.get_by_role("table", name="Usage by model")
    row = groups.locator("tbody tr", has_text="qwen3-32b")
    titles = await groups.locator("thead th").all_inner_texts()
    exact = row.locator("td").nth(titles.index("Written, exact") - 1)
    apart = row.locator("td").nth(titles.index("Written, estimated") - 1)
    assert await exact.locator(".estimate").count() == 0
    estimate = apart.locator(".estimate")
    assert "at most" in (await estimate.get_attribute("title") or "")
    assert int(await estimate.inner_text()) > 0


async def test_a_cost_has_the_sign_of_an_estimate_where_no_exact_total_has_it(
    seen: Sight, played: Played
) -> None:
    cut = played.id_of(requested_model="qwen3-32b", status="client_disconnected")
    whole = played.id_of(requested_model="claude-sonnet-4-5", status="completed")
    for id, signs in ((cut, 1), (whole, 0)):
        await seen.go(f"/requests/{id}")
        cost = seen.page.locator(".strip > div", has_text="Cost")
        assert await cost.locator(".estimate").count() == signs


async def test_a_captured_exchange_shows_each_frame_and_its_hash(
    seen: Sight, played: Played
) -> None:
    id = played.id_of(requested_model="gpt-5-mini", status="completed")
    await seen.go(f"/requests/{id}/frames")
    text = await seen.text()
    assert "✓ complete" in text
    assert "✓ equal, worked out here" in text
    assert "✓ holds by ledger" in text
    assert f"streamgauge replay {id}.jsonl" in text
    row = next(row for row in played.rows if row["id"] == id)
    assert f"✓ {row['frames_out']}" in text
    assert await seen.page.locator("figure.chart canvas").count() == 1
    await seen.go(f"/requests/{id}")
    assert "from its capture" in await seen.text()
    assert await seen.page.locator("figure.chart canvas").count() == 1


async def test_both_pages_of_an_exchange_begin_with_the_same_figures(
    seen: Sight, played: Played
) -> None:
    path = f"/requests/{played.id_of(upstream='claude')}"
    await seen.go(path)
    figures, why = await seen.text(".strip"), await seen.text(".why")
    await seen.go(f"{path}/frames")
    assert await seen.text(".strip") == figures
    assert await seen.text(".why") == why


async def test_the_headers_of_a_captured_exchange_stand_on_its_page(
    seen: Sight, played: Played
) -> None:
    await seen.go(f"/requests/{played.id_of(requested_model='gpt-5-mini', status='completed')}")
    told = {}
    for block in await seen.page.locator("details", has=seen.page.locator("pre.block")).all():
        title = await block.locator("summary").inner_text()
        told[title] = await block.locator("pre").text_content() or ""
    asked, answered = (told[f"Headers of the {way}, secrets masked"] for way in WAYS)
    assert asked.startswith("POST /v1/chat/completions HTTP/1.1")
    assert answered.startswith("HTTP/1.1 200")


WAYS = ("request to the upstream", "answer to the client")


async def test_a_request_is_shown_though_the_captures_cannot_be_read(
    seen: Sight, played: Played
) -> None:
    folder, aside = played.it.folder / "captures", played.it.folder / "captures-aside"
    folder.rename(aside)
    folder.write_text("no folder")
    try:
        await seen.go(f"/requests/{played.id_of(upstream='claude')}")
        assert "✓ agrees" in await seen.text()
    finally:
        folder.unlink()
        aside.rename(folder)
    seen.errors.clear()  # the browser's own word for the 503


async def test_what_verify_finds_in_a_capture_is_marked_at_its_frame(
    seen: Sight, played: Played
) -> None:
    fits = {"requested_model": "gpt-5-mini", "status": "completed"}
    ids = [row["id"] for row in played.rows if fits.items() <= row.items()]
    file = played.it.folder / "captures" / f"{ids[-1]}.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    sent = [n for n, line in enumerate(lines) if line.get("side") == "client" and line.get("data")]
    del lines[sent[-4]]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    await seen.go(f"/requests/{ids[-1]}/frames")
    text = await seen.text()
    assert "✗ does not hold by ledger" in text
    assert "What verify found" in text
    client = seen.page.get_by_role("table", name="Frames, client")
    flagged = client.locator("tr.flagged")
    assert await flagged.count() >= 1
    assert "✗ gap: frames missing" in await client.inner_text()
    upstream = seen.page.get_by_role("table", name="Frames, upstream")
    assert await upstream.locator("tr.flagged").count() == 0


async def test_a_capture_cut_inside_characters_is_read_as_it_was_sent(
    seen: Sight, played: Played
) -> None:
    it = played.it
    words = "Größe – 水位 🌊 "
    await it.ask("gpt-5-mini", sim={"text": words * 3, "fault": "split_bytes", "gap_ms": 1})
    row = max(await it.settle(), key=lambda each: each["finished_at"])
    file = it.folder / "captures" / f"{row['id']}.jsonl"
    await until(lambda: '"closed":' in file.read_text()[-5000:] and file.read_text()[-1] == "\n")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    cut = list(_in_pieces(lines))
    assert any("b64" in line for line in cut)
    file.write_text("".join(json.dumps(line) + "\n" for line in cut))
    await seen.go(f"/requests/{row['id']}/frames")
    text = await seen.text()
    assert "✓ equal, worked out here" in text
    for side in ("client", "upstream"):
        table = seen.page.get_by_role("table", name=f"Frames, {side}")
        titles = await table.locator(".payload").evaluate_all("all => all.map(one => one.title)")
        assert "水位" in "".join(titles)
        assert not any(odd in "".join(titles) for odd in ("Ã", "æ", "\ufffd"))


def _in_pieces(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Cut each body in the middle of each of its characters, as a recorder may have got it."""
    for line in lines:
        if "data" not in line:
            yield line
            continue
        rest = {name: value for name, value in line.items() if name != "data"}
        raw = line["data"].encode()
        ends = [at for at in range(1, len(raw)) if raw[at] & 0xC0 == 0x80]
        for begin, end in itertools.pairwise([0, *ends, len(raw)]):
            yield rest | {"b64": base64.b64encode(raw[begin:end]).decode()}


async def test_a_single_thing_is_named_in_its_singular(seen: Sight) -> None:
    await seen.go("/")
    words = await seen.page.evaluate(
        """async () => {
            const { counted } = await import("/static/js/parts/format.js");
            return [0, 1, 2000, null].map((n) => counted(n, "stream"));
        }"""
    )
    assert words == ["0 streams", "1 stream", "2,000 streams", None]


@pytest.mark.parametrize("name", ["..", "-", "../a?b#c/"])
async def test_a_session_opens_whatever_its_name(seen: Sight, played: Played, name: str) -> None:
    await played.it.ask("gpt-5-mini", sim={"tokens": 1}, x_streamgauge_session=name)
    await played.it.settle()
    await seen.go("/requests")  # the list of sessions is read when it is opened
    await seen.go("/sessions")
    await seen.page.get_by_role("link", name=name, exact=True).click()
    shown = seen.page.locator("main .screen-session .mono.dim")
    await expect(shown).to_have_text(name)
    await seen.page.reload()
    await expect(shown).to_have_text(name)
    await seen.page.locator("table[aria-label='Turns'] tbody tr").first.click()
    link = seen.page.locator("main dd a.mono", has_text=name).first
    await expect(link).to_have_attribute("href", re.compile("^/sessions/"))
    await link.click()
    await expect(shown).to_have_text(name)


async def test_a_speed_that_is_not_known_is_not_blamed_on_a_gateway_that_answers(
    seen: Sight,
) -> None:
    await seen.go("/")
    reasons = await seen.page.evaluate(
        """async () => {
            const { drawStrip } = await import("/static/js/screens/strip.js");
            const summary = await (await fetch("/admin/api/v1/summary")).json();
            return [null, 0, 2].map((streams) => {
                const strip = document.createElement("dl");
                drawStrip(strip, { ...summary, streams, tokens_per_second: null }, null);
                const cells = [...strip.children];
                const cell = cells.find(({ textContent }) => textContent.startsWith("Tokens / s"));
                return cell.querySelector(".missing").title;
            });
        }"""
    )
    assert reasons == [
        "the gateway's data loop does not answer",
        "no stream is running",
        "no running stream's speed is known yet",
    ]


async def test_the_card_of_an_upstream_tells_its_slots_and_its_limits(seen: Sight) -> None:
    await seen.go("/upstreams")
    local, claude = [
        await seen.text(f"[aria-label='Upstream {name}']") for name in ("local", "claude")
    ]
    assert re.search(r"Slots\s+2, further calls wait there", local)
    assert re.search(r"Drains\s+0 of at most 100", local)
    assert re.search(r"Slots\s+–", claude)
    dash = seen.page.locator("[aria-label='Upstream claude'] .missing").first
    assert "not told" in (await dash.get_attribute("title") or "")


async def test_an_upstream_is_drained_and_enabled_after_a_question(
    seen: Sight, played: Played
) -> None:
    await seen.go("/upstreams")
    card = seen.page.get_by_role("region", name="Upstream cloud")
    question = seen.page.locator("dialog")
    await card.get_by_role("button", name="Drain").click()
    await question.get_by_role("button", name="Cancel").click()
    await expect(card).not_to_contain_text("Drained by an admin")
    await card.get_by_role("button", name="Drain").click()
    await question.get_by_role("button", name="Drain").click()
    await expect(card).to_contain_text("Drained by an admin")
    refused = await played.it.ask("gpt-5-mini", sim={"tokens": 2})
    await card.get_by_role("button", name="Enable").click()
    await question.get_by_role("button", name="Enable").click()
    await expect(card).not_to_contain_text("Drained by an admin")
    served = await played.it.ask("gpt-5-mini", sim={"tokens": 2})
    assert (refused.status, served.status) == (503, 200)


async def test_the_doctor_is_called_from_its_screen_and_his_report_stays(seen: Sight) -> None:
    await seen.go("/health")
    panel = seen.page.locator("section.panel", has=seen.page.get_by_role("heading", name="Doctor"))
    await panel.get_by_role("button", name="Examine").click()
    await expect(panel).to_contain_text("models_unmatched", timeout=30_000)
    await expect(panel).to_contain_text("<* fits none of the")
    await expect(panel.get_by_role("button", name="Examine")).to_be_enabled()
    await seen.go("/keys")
    await seen.go("/health")
    await expect(panel).to_contain_text("Examined")


async def test_the_health_screen_follows_a_configuration_that_was_changed_or_refused(
    browser: Browser, played: Played
) -> None:
    it = played.it
    file = it.folder / "streamgauge.yaml"
    before = file.read_text()
    async with sight(browser, it.origin) as page:
        await page.go("/health")
        try:
            file.write_text(before.replace('"max_streams": 400', '"max_streams": 399'))
            row = page.page.locator("tr", has_text="server.max_streams")
            await expect(row).to_contain_text("399")
            file.write_text("upstreams: 7")
            await expect(page.page.locator(".notice.bad")).to_contain_text("not in use")
        finally:
            file.write_text(before)
        await expect(row).to_contain_text("400")
        page.is_clean()


async def test_an_address_that_cannot_be_read_is_no_page(browser: Browser, played: Played) -> None:
    async with sight(browser, played.it.origin) as page:
        await page.page.goto(f"{played.it.origin}/requests/%zz")
        await expect(page.page.locator("main")).to_contain_text("There is no such page.")
        page.is_clean()


async def test_budgets_of_day_and_month_are_bars_beside_each_other(
    seen: Sight, played: Played
) -> None:
    await played.it.make_key("thrifty", per_day="1 USD", per_month="20 USD")
    await seen.go("/keys")
    row = seen.page.locator("tbody tr", has_text="thrifty")
    assert await row.locator(".meter").count() == 2
    await seen.go("/usage")
    bars = seen.page.get_by_role("table", name="Budgets").locator("tbody tr", has_text="thrifty")
    assert await bars.locator(".meter").count() == 2
    for told in ("of 1.00", "of 20.00"):
        await expect(bars).to_contain_text(told)


async def test_what_a_key_spent_in_two_currencies_stands_side_by_side(
    seen: Sight, played: Played
) -> None:
    await played.it.make_key("two currencies")
    for model in ("gpt-5-mini", "qwen3-32b"):
        await played.it.ask(model, sim={"tokens": 9}, **played.it.holding("two currencies"))
    await played.it.settle()
    await seen.go("/keys")
    row = await seen.page.inner_text("tr:has-text('two currencies')")
    assert row.count("21.00\u00a0sat") == row.count("USD") == 2, row


async def test_keys_of_one_label_are_told_apart_where_usage_is_by_key(
    seen: Sight, played: Played
) -> None:
    for words in (3, 5):  # each time another key of the same label
        await played.it.make_key("twins")
        await played.it.ask("gpt-5-mini", sim={"tokens": words}, **played.it.holding("twins"))
    rows = await played.it.settle()
    ids = {row["key_id"] for row in sorted(rows, key=lambda each: each["started_at"])[-2:]}
    assert len(ids) == 2
    await seen.go("/usage?by=key")
    named = await seen.page.locator("table[aria-label='Usage by key'] tbody th").all_inner_texts()
    assert {name for name in named if "twins" in name} == {f"twins ({key_id})" for key_id in ids}
    legend = await seen.page.locator("figure").first.inner_text()
    for key_id in ids:
        assert f"twins ({key_id})" in legend


@pytest.mark.parametrize("name", ["odd[q4", "odd*", "odd?"])
async def test_usage_leads_to_the_rows_of_its_model_whatever_the_name(
    seen: Sight, played: Played, name: str
) -> None:
    for model in (name, "oddity"):
        await played.it.ask(f"local/{model}", sim={"tokens": 2})
    await played.it.settle()
    await seen.go("/usage")
    page = seen.page
    (row,) = [
        each
        for each in await page.locator("tr.pick").all()
        if (await each.locator("th").inner_text()) == name
    ]
    await row.locator("th").click()
    await page.wait_for_selector("main .screen-requests tbody tr")
    assert await page.locator("tbody tr").count() == 1
    assert name in await page.inner_text("tbody tr")


async def test_a_session_s_estimated_cost_stands_beside_its_exact_one(
    seen: Sight, played: Played
) -> None:
    for sim in ({"tokens": 9}, {"tokens": 9, "usage": "none"}):
        await played.it.ask("qwen3-32b", sim=sim, x_streamgauge_session="once counted")
    await played.it.settle()
    await seen.go("/sessions")
    row = await seen.page.inner_text("tr:has-text('once counted')")
    assert row.count("21.00\u00a0sat") == 2, row
    await seen.go("/sessions/once%20counted")
    assert "21.00\u00a0sat estimated" in await seen.text("main dl.strip")


async def test_each_chart_has_a_sentence_and_a_table(seen: Sight, played: Played) -> None:
    paths = [
        "/sessions/docs-assistant",
        "/upstreams",
        "/usage",
        f"/requests/{played.id_of(upstream='local', status='completed')}",
    ]
    for path in paths:
        await seen.go(path)
        figures = seen.page.locator("figure.chart")
        assert await figures.count() >= 1, path
        for at in range(await figures.count()):
            figure = figures.nth(at)
            assert len(await figure.get_attribute("aria-label") or "") > 20
            assert await figure.locator("details table tbody tr").count() >= 1


async def test_a_model_asked_for_by_its_place_is_named_once(seen: Sight, played: Played) -> None:
    id = played.id_of(requested_model="local/llama-guard")
    await seen.go(f"/requests/{id}")
    assert await seen.text("main h1") == "llama-guard"
    assert "local/llama-guard" in await seen.text()
    other = played.id_of(requested_model="steady")
    await seen.go(f"/requests/{other}")
    assert await seen.text("main h1") == "steady → gpt-5-mini"


_CUT_OFF = """() => {
    const whole = document.querySelector(".gaps").getBoundingClientRect();
    const texts = [...document.querySelectorAll(".gaps text")];
    return texts.filter((text) => {
        const at = text.getBoundingClientRect();
        return at.left < whole.left || at.right > whole.right;
    }).map((text) => text.textContent);
}"""


async def test_the_shortest_and_the_longest_gap_are_named_in_full(
    seen: Sight, played: Played
) -> None:
    it = played.it
    await it.ask("gpt-5-mini", sim={"tokens": 9, "gap_ms": 0})
    short = max(await it.settle(), key=lambda each: each["finished_at"])
    longest = max(played.rows, key=lambda row: row["gap_max_ms"] or 0)
    for row in (short, longest):
        await seen.go(f"/requests/{row['id']}")
        assert await seen.page.evaluate(_CUT_OFF) == []


_LABELS = """async () => {
    const { durationAxis, countAxis } = await import("/static/js/parts/chart.js");
    const { incrs, values } = durationAxis();
    const labels = [4, 46, 700, 9000, 80000, 4e6].map((end) => {
        const step = incrs.find((each) => end / each <= 16);
        const marks = Array.from({ length: Math.floor(end / step) + 1 }, (_, at) => at * step);
        return values(null, marks);
    });
    return [labels, countAxis().incrs[0]];
}"""


async def test_no_two_marks_of_an_axis_have_the_same_label(seen: Sight) -> None:
    await seen.go("/")
    axes, least = await seen.page.evaluate(_LABELS)
    for labels in axes:
        assert len(set(labels)) == len(labels) > 4
    assert axes[1][:4] == ["0.0 ms", "5.0 ms", "10 ms", "15 ms"]
    assert least == 1


_NOTE_LABELS = """
    window.drawn = [];
    const draw = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...at) {
        window.drawn.push(text);
        return draw.call(this, text, ...at);
    };
"""


async def test_the_usage_of_one_day_stands_in_the_week_that_was_asked_for(
    browser: Browser, played: Played
) -> None:
    async with sight(browser, played.it.origin) as page:
        await page.page.add_init_script(_NOTE_LABELS)
        await page.go("/usage?range=7d")
        await page.page.wait_for_function("() => window.drawn.length > 0")
        drawn: list[str] = await page.page.evaluate("() => window.drawn")
        page.is_clean()
    today = datetime.now(UTC)
    week = {f"{today - timedelta(days=days):%m-%d}" for days in range(-1, 9)}
    days = {text for text in drawn if re.fullmatch(r"\d\d-\d\d", text)}
    assert len(days) > 3
    assert days <= week


async def test_keys_walk_open_filter_and_go_back(seen: Sight) -> None:
    press = seen.page.keyboard.press
    await seen.go("/")
    await press("2")
    await expect(seen.page.locator("main h1")).to_have_text("Requests")
    await expect(seen.page.locator("tbody tr.pick").first).to_be_visible()
    for key in ("j", "j", "j", "k"):
        await press(key)
    chosen = seen.page.locator('tr[aria-selected="true"]')
    assert await chosen.count() == 1
    id = await chosen.locator("td .mono").first.get_attribute("title")
    second = seen.page.locator("tbody tr.pick").nth(1)
    assert await second.get_attribute("aria-selected") == "true"
    await press("Enter")
    await expect(seen.page.locator(".tab-id")).to_have_text(id or "")
    await press("Escape")
    await expect(seen.page.locator("main h1")).to_have_text("Requests")
    await press("/")
    await seen.page.keyboard.type("sonnet")
    await expect(seen.page).to_have_url(f"{seen.origin}/requests?text=sonnet")
    await press("Escape")
    await expect(seen.page.locator("tbody tr.pick")).to_have_count(9)
    await press("j")
    assert await chosen.count() == 1
    await press("Enter")
    await expect(seen.page.locator(".tab-id")).to_be_visible()
    await press("Escape")
    await expect(seen.page).to_have_url(f"{seen.origin}/requests?text=sonnet")
    await press("?")
    await expect(seen.page.locator("dialog")).to_be_visible()
    await press("Escape")
    await expect(seen.page.locator("dialog")).to_have_count(0)
    await press("7")
    await expect(seen.page).to_have_url(f"{seen.origin}/health")


async def test_arrows_scroll_a_page_without_rows(browser: Browser, played: Played) -> None:
    async with sight(browser, played.it.origin, viewport={"width": 900, "height": 300}) as page:
        await page.go("/health")
        await page.page.keyboard.press("ArrowDown")
        await page.page.wait_for_function("() => scrollY > 0")
        page.is_clean()


async def test_what_ended_while_a_page_was_away_is_on_it_when_it_is_back(
    browser: Browser, played: Played
) -> None:
    async with sight(browser, played.it.origin) as live, sight(browser, played.it.origin) as list_:
        for page, path in ((live, "/"), (list_, "/requests")):
            await page.go(path)
            await expect(page.page.locator("#link-state")).to_contain_text("live updates")
            await page.page.evaluate("dispatchEvent(new Event('pagehide'))")
        await played.it.ask("gpt-5-mini", sim={"tokens": 2}, user_agent="meanwhile")
        await played.it.settle()
        for page in (live, list_):
            await page.page.evaluate(_BACK)
        await expect(live.page.locator("main")).to_contain_text("meanwhile")
        await list_.page.get_by_role("button", name="newer ones, show").click()
        row = list_.page.locator("tbody tr").first
        await expect(row).to_contain_text("gpt-5-mini")
        live.is_clean()
        list_.is_clean()


_BACK = "dispatchEvent(Object.assign(new Event('pageshow'), {persisted: true}))"
"""As a browser tells a page that it takes out of its cache again."""


@pytest.mark.parametrize("path", ["/requests", "/sessions"])
async def test_rows_of_a_list_have_a_link_for_tab_and_for_another_window(
    seen: Sight, path: str
) -> None:
    await seen.go(path)
    link = seen.page.locator("tbody tr").first.locator("a")
    target = await link.get_attribute("href") or ""
    assert target.startswith(f"{path}/")
    await link.focus()
    await seen.page.keyboard.press("Enter")
    await expect(seen.page).to_have_url(f"{seen.origin}{target}")


_CONTRAST = """() => {
    const light = (rgb) => rgb.match(/[\\d.]+/g).slice(0, 3).map(Number).map((part) => part / 255)
        .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const here = document.querySelector('#nav a[aria-current="page"]');
    const behind = light(getComputedStyle(here).backgroundColor);
    return [here, ...here.children].map((each) => light(getComputedStyle(each).color))
        .map((ink) => (Math.max(ink, behind) + 0.05) / (Math.min(ink, behind) + 0.05));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_chosen_screen_can_be_read_in_the_navigation(
    browser: Browser, played: Played, scheme: Any
) -> None:
    async with sight(browser, played.it.origin, color_scheme=scheme) as page:
        await page.go("/health")
        assert min(await page.page.evaluate(_CONTRAST)) >= 4.5, "WCAG 2.2, 1.4.3"
        page.is_clean()


async def test_filters_live_in_the_url_and_come_back_with_it(seen: Sight) -> None:
    rows, status = seen.page.locator("tbody tr.pick"), seen.page.locator("select").first
    await seen.go("/requests?status=stream_incomplete&upstream=local")
    await expect(rows).to_have_count(1)
    assert await status.input_value() == "stream_incomplete"
    await status.select_option("upstream_error")
    await expect(seen.page).to_have_url(
        f"{seen.origin}/requests?status=upstream_error&upstream=local"
    )
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("llama-guard")
    await seen.page.go_back()
    await expect(status).to_have_value("stream_incomplete")
    await expect(rows).to_contain_text("qwen3-32b")


async def test_the_dark_and_the_still_are_heeded(browser: Browser, played: Played) -> None:
    async def background(scheme: Any) -> str:
        async with sight(
            browser, played.it.origin, color_scheme=scheme, reduced_motion="reduce"
        ) as page:
            await page.go("/usage")
            page.is_clean()
            found: str = await page.page.evaluate(
                "getComputedStyle(document.documentElement).backgroundColor"
            )
            return found

    assert await background("light") != await background("dark")


async def test_a_filtered_list_is_saved_as_csv_with_the_ledgers_names(
    seen: Sight, played: Played
) -> None:
    await seen.go("/requests?model=claude-*")
    async with seen.page.expect_download() as waiting:
        await seen.page.get_by_role("button", name="CSV").click()
    saved = await (await waiting.value).path()
    rows = list(csv.DictReader(io.StringIO(saved.read_text())))
    wanted = {row["id"]: row for row in played.rows if row["upstream"] == "claude"}
    assert {row["id"] for row in rows} == set(wanted)
    assert all(row["cost_nano"] == str(wanted[row["id"]]["cost_nano"]) for row in rows)


async def test_a_request_is_copied_as_curl_for_its_own_dialect(
    browser: Browser, played: Played
) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    async with sight(browser, played.it.origin, permissions=allowed) as page:
        await page.go(f"/requests/{played.id_of(upstream='claude')}")
        await page.page.click("[data-curl]")
        await expect(page.page.locator("#toasts p")).to_contain_text("copied")
        command: str = await page.page.evaluate("navigator.clipboard.readText()")
        page.is_clean()
    assert "/v1/messages'" in command
    assert '"model":"claude-sonnet-4-5"' in command


async def test_a_curl_command_has_the_fields_of_its_endpoint(
    browser: Browser, played: Played
) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    bodies = {
        "embeddings": {"model": "gpt-5-mini", "input": "…"},
        "completions": {"model": "gpt-5-mini", "stream": False, "prompt": "…"},
    }
    async with sight(browser, played.it.origin, permissions=allowed) as page:
        for endpoint, body in bodies.items():
            asked = {name: body.get(name, "") for name in ("model", "input", "prompt")}
            answer = await played.it.gateway.ask(f"/v1/{endpoint}", asked)
            assert answer.status == 200
            played.it.expected += 1
            await played.it.settle()
            await page.go(f"/requests/{answer.id}")
            await page.page.click("[data-curl]")
            command = await _clipboard(page, f"/v1/{endpoint}'")
            assert json.loads(command.partition("-d '")[2].removesuffix("'")) == body
        page.is_clean()


async def _clipboard(page: Sight, wanted: str) -> str:
    """Return what was copied, once it has `wanted` in it."""
    async with asyncio.timeout(LENIENCY):
        while wanted not in (text := await page.page.evaluate("navigator.clipboard.readText()")):
            await asyncio.sleep(0.02)
    return str(text)


async def test_a_key_is_shown_once_and_its_limits_can_be_changed(seen: Sight) -> None:
    page = seen.page
    await seen.go("/keys")
    await page.get_by_role("button", name="New key").click()
    await page.fill("#key-label", LABEL)
    await page.fill("#key-rpm", "60")
    await page.fill("#key-per_month", "5 USD")
    await page.fill("#key-days", "30")
    await page.get_by_role("button", name="Create").click()
    key = await page.inner_text("output.secret")
    assert key.startswith("sk-sg-")
    await page.get_by_role("button", name="Done").click()
    row = page.locator("tbody tr", has_text=LABEL)
    await expect(row).to_contain_text("60")
    expires = time.strftime("%Y-%m-%d", time.localtime(time.time() + 30 * 86_400))
    await expect(row).to_contain_text(expires)
    assert key not in await page.content()
    await row.get_by_role("button", name="Limits").click()
    await page.fill("#key-rpm", "")
    await page.get_by_role("button", name="Set").click()
    await expect(row.get_by_text("60", exact=True)).to_have_count(0)
    await row.get_by_role("button", name="Revoke").click()
    await page.locator("dialog").get_by_role("button", name="Revoke").click()
    await expect(row).to_contain_text("revoked")
    assert await page.locator("b", has_text="bold").count() == 0


async def test_what_was_typed_for_a_key_stays_until_it_is_legal(
    browser: Browser, played: Played
) -> None:
    async with sight(browser, played.it.origin) as seen:
        page, question = seen.page, seen.page.locator("dialog")
        await seen.go("/keys")
        await page.get_by_role("button", name="New key").click()
        await page.fill("#key-label", "mistyped")
        await page.fill("#key-per_day", "5")
        await question.get_by_role("button", name="Create").click()
        await expect(question.get_by_role("alert")).to_contain_text('such as "5 USD"')
        assert await page.input_value("#key-label") == "mistyped"
        seen.errors.clear()  # the browser's own word for the 422
        await page.fill("#key-per_day", "5 apples")
        await question.get_by_role("button", name="Create").click()
        await expect(page.locator("output.secret")).to_contain_text("sk-sg-")
        warning = question.get_by_role("alert").filter(has_text="no price here is in apples")
        await expect(warning).to_be_visible()
        await page.get_by_role("button", name="Done").click()
        row = page.locator("tbody tr", has_text="mistyped")
        await row.get_by_role("button", name="Limits").click()
        await question.get_by_role("button", name="Set").click()
        await expect(warning).to_be_visible()
        await question.get_by_role("button", name="Close").click()
        await row.get_by_role("button", name="Limits").click()
        await page.fill("#key-per_day", "5 USD")
        await question.get_by_role("button", name="Set").click()
        await expect(row).to_contain_text("5")
        await expect(question).to_have_count(0)
        seen.is_clean()


async def test_a_mistyped_address_and_a_mistyped_filter_have_a_way_on(
    browser: Browser, played: Played
) -> None:
    async with sight(browser, played.it.origin) as seen:
        await seen.page.goto(f"{played.it.origin}/sesions")
        await expect(seen.page.locator("h1")).to_have_text("There is no such page.")
        await seen.page.get_by_role("link", name="To the dashboard").click()
        await expect(seen.page.locator("main h1")).to_have_text("Live")
        await seen.page.goto(f"{played.it.origin}/requests?model=%5B&status=completed")
        await expect(seen.page.locator("main")).to_contain_text("model must be a glob; a [ is not")
        await seen.page.get_by_role("link", name="Without filters").click()
        await expect(seen.page.locator("main h1")).to_have_text("Requests")
        assert seen.page.url.endswith("/requests")
        seen.errors.clear()  # the browser's own words for the 404 and the 422


async def test_a_running_stream_is_stopped_from_its_row(seen: Sight, played: Played) -> None:
    await seen.go("/")
    await played.it.begin("qwen3-32b", sim={"tokens": 4000, "gap_ms": 40}, user_agent="stopme/1")
    row = seen.page.locator("table.live-table tbody tr", has_text="stopme/1")
    await expect(row).to_contain_text("streaming")
    id = await row.get_attribute("data-id")
    await row.get_by_role("button", name="Stop").click()
    await seen.page.locator("dialog").get_by_role("button", name="End it").click()
    await expect(row).to_have_count(0)
    ended = seen.page.locator("section.panel tbody tr", has_text="stopme/1")
    await expect(ended).to_contain_text("cancelled")
    await seen.go(f"/requests/{id}")
    assert "cancelled" in await seen.text(".why")


_PART = """async (filter) => {
    const { LiveTable } = await import("/static/js/screens/live_table.js");
    const live = await (await fetch("/admin/api/v1/live")).json();
    const table = new LiveTable();
    await table.update({ ...live, streams: 700 }, filter, new AbortController().signal);
    return table.element.querySelector(".empty:not([hidden])").textContent;
}"""


async def test_a_table_of_part_of_the_streams_says_so(seen: Sight, played: Played) -> None:
    stream = await played.it.begin("qwen3-32b", sim={"tokens": 900, "gap_ms": 20})
    await seen.go("/")
    await expect(seen.page.locator(".live-table tbody tr").first).to_be_visible()
    told = [await seen.page.evaluate(_PART, filter) for filter in ("", "no such name")]
    stream.cancel()
    await played.it.settle()
    assert re.fullmatch(r"Only the oldest \d+ of 700 streams are looked at here\.", told[0])
    assert re.fullmatch(r"None of the oldest \d+ of 700 streams fits the filter\.", told[1])


async def test_rows_stay_where_they_are_and_a_selection_outlives_updates(
    seen: Sight, played: Played
) -> None:
    for name in ("one/1", "two/1", "three/1"):
        await played.it.begin("qwen3-32b", sim={"tokens": 4000, "gap_ms": 50}, user_agent=name)
    await seen.go("/")
    rows = seen.page.locator("table.live-table tbody tr")
    await expect(rows).to_have_count(3)
    await seen.page.keyboard.press("j")
    await seen.page.keyboard.press("j")
    chosen = seen.page.locator('table.live-table tr[aria-selected="true"]')
    id, text = await chosen.get_attribute("data-id"), await chosen.text_content()
    assert id == await rows.nth(1).get_attribute("data-id")
    await expect(chosen).not_to_have_text(text or "")
    assert await chosen.get_attribute("data-id") == id
    await seen.page.keyboard.press("/")
    await seen.page.keyboard.type("two/")
    await expect(rows).to_have_count(1)
    assert seen.page.url.endswith("/?q=two%2F")
    await seen.go(f"/requests/{id}")
    assert "in flight" in await seen.text(".why")
    await played.it.hang_up()


LONG = "a-model-whose-name-is-long/with-a-provider-and-a-quantisation-Q4_K_M-instruct-preview" * 2


WIDTHS = (1440, 900, 360)


async def test_no_screen_is_wider_than_the_window_whatever_names_are_long(
    browser: Browser, played: Played
) -> None:
    it = played.it
    headers = {"x_streamgauge_session": LONG[:120], "user_agent": "u" * 300}
    await it.ask(f"cloud/{LONG}", sim={"tokens": 3}, **headers)
    row = max(await it.settle(), key=lambda each: each["finished_at"])
    screens = ["/", "/requests", f"/requests/{row['id']}", f"/requests/{row['id']}/frames"]
    screens += ["/sessions", f"/sessions/{LONG[:120]}".replace("/with", "%2Fwith"), "/upstreams"]
    screens += ["/usage?by=app", "/usage?by=model&metric=cost", "/keys", "/health"]
    beyond = {}
    async with sight(browser, it.origin) as page:
        for path in screens:
            await page.go(path)
            for width in WIDTHS:
                await page.page.set_viewport_size({"width": width, "height": 800})
                wide = await page.page.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    beyond[path, width] = wide
                # Old numbers look like new ones: whether they are renewed is told at any width.
                await expect(page.page.locator("#link-state")).to_be_visible()
        page.is_clean()
    assert beyond == {}


async def test_the_page_of_the_admin_api_can_be_read_on_a_phone(
    browser: Browser, played: Played
) -> None:
    phone = {"viewport": {"width": 360, "height": 700}, "is_mobile": True}
    async with sight(browser, played.it.origin, **phone) as page:
        await page.page.goto(f"{played.it.origin}/admin/api")
        assert await page.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [
            360,
            360,
        ]
        cells = page.page.locator("tbody tr").first.locator("td")
        tops = [(await cell.bounding_box() or {})["y"] for cell in await cells.all()]
        assert tops == sorted(set(tops)), "beneath each other"
        page.is_clean()


async def test_scripts_in_texts_of_others_stay_text(browser: Browser, tmp_path: Path) -> None:
    said = json.dumps({"error": {"message": HOSTILE, "type": "x"}}).encode()
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n"
    async with scripted(lambda _: [head.encode() + said]) as evil, world(tmp_path) as it:
        evil_one = {"name": "evil", "kind": "sim", "base_url": evil.url}
        config = json.loads((tmp_path / "streamgauge.yaml").read_text())
        config["upstreams"].append(evil_one)
        (tmp_path / "streamgauge.yaml").write_text(json.dumps(config))
        assert (await admin(it.gateway, "POST", "/admin/reload")).status == 200
        hostile = {"user_agent": HOSTILE, "x_streamgauge_session": "x<svg/onload=window.pwned=3>"}
        await it.ask(HOSTILE, sim={"tokens": 4}, **hostile)
        answer = await it.ask(f"evil/{HOSTILE}", **hostile)
        await it.begin(HOSTILE, sim={"tokens": 4000, "gap_ms": 60}, **hostile)
        assert answer.status == 400
        async with sight(browser, it.origin) as page:
            await _plant_a_key(page)
            paths = ["/", "/requests", f"/requests/{answer.id}", f"/requests/{answer.id}/frames", "/sessions",
                     "/sessions/x%3Csvg%2Fonload%3Dwindow.pwned%3D3%3E", "/upstreams", "/usage", "/usage?by=app",
                     "/usage?by=key", "/keys", "/health", "/requests?text=%3Cimg%20src=x%3E"]  # fmt: skip
            shown = ""
            for path in paths:
                await page.go(path)
                await asyncio.sleep(0)
                shown += await page.text()
                assert await page.page.evaluate("window.pwned") is None, path
                strange = "main img, main script, main [onerror], main [onload]"
                assert await page.page.locator(strange).count() == 0, path
            page.is_clean()
    assert "onerror=window.pwned=1" in shown


async def _plant_a_key(page: Sight) -> None:
    await page.go("/keys")
    await page.page.get_by_role("button", name="New key").click()
    await page.page.fill("#key-label", "<img src=x onerror=window.pwned=4>")
    await page.page.get_by_role("button", name="Create").click()
    await page.page.get_by_role("button", name="Done").click()


async def test_the_token_opens_the_dashboard_and_logging_out_closes_it(
    browser: Browser, tmp_path: Path
) -> None:
    async with world(tmp_path, control={"token": TOKEN}) as it, sight(browser, it.origin) as page:
        await page.page.goto(f"{it.origin}/requests?status=completed")
        await expect(page.page.locator("h1")).to_have_text("streamgauge")
        page.errors.clear()  # the browser's own word for the 401 that carries the login page
        await _show(page, "wrong")
        await expect(page.page.locator("#said")).to_have_text("That is not the token.")
        page.errors.clear()
        await _show(page, TOKEN)
        await expect(page.page.locator("main h1")).to_have_text("Requests")
        assert page.page.url.endswith("/requests?status=completed"), "where the person wanted to go"
        assert TOKEN not in await page.page.evaluate("document.cookie")
        await page.go("/health")
        assert TOKEN not in await page.page.content()
        page.is_clean()
        await page.page.context.clear_cookies()
        await page.page.evaluate("dispatchEvent(new Event('pagehide'))")
        await page.page.evaluate(_BACK)
        await expect(page.page.locator("#token")).to_be_visible()
        await _show(page, TOKEN)
        await expect(page.page.locator("main h1")).to_have_text("Health and configuration")
        await page.page.click("#logout")
        await expect(page.page.locator("#token")).to_be_visible()
        async with sight(browser, it.origin, java_script_enabled=False) as early:
            await early.page.goto(f"{it.origin}/requests")
            # Sent by the browser itself, the token would stand in the address.
            await expect(early.page.get_by_role("button", name="Log in")).to_be_disabled()
            assert await early.page.get_attribute("#token", "name") is None


async def _show(page: Sight, token: str) -> None:
    await expect(page.page.get_by_role("button", name="Log in")).to_be_enabled()
    await page.page.fill("#token", token)
    await page.page.keyboard.press("Enter")
