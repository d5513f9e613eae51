"""Client keys and captures over the admin API: made, changed, gone; what is not legal is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.ledger.keys import list_keys

from .admin import Admin, admin_stand, chat
from .schema_check import problems

CHAT = "/v1/chat/completions"
HOUR_US = 3_600_000_000


@pytest.mark.asyncio
async def test_a_key_is_shown_once_and_lives_through_its_changes(tmp_path: Path) -> None:
    expires = time.time_ns() // 1000 + HOUR_US
    wanted = {
        "label": " ci ", "models": ["sim*"], "max_streams": 4, "rpm": 60, "tpm": None,
        "per_day": "5 USD", "per_month": None, "expires_at": expires,
    }  # fmt: skip
    async with admin_stand(tmp_path) as admin:
        made = await admin.post("keys", wanted)
        key = made.json()
        (listed,) = (await admin.get("keys")).json()["keys"]
        changes = {
            "label": "new",
            "rpm": None,
            "per_day": None,
            "per_month": "7.5 eur",
            "models": [],
        }
        changed = await admin.post(f"keys/{key['id']}", changes, method="PATCH")
        rotated = (await admin.post(f"keys/{key['id']}/rotate", {"grace_seconds": 60})).json()
        (after,) = (await admin.get("keys")).json()["keys"]
        revoked = await admin.post(f"keys/{key['id']}/revoke")
        again = [
            await admin.post(f"keys/{key['id']}/rotate"),
            await admin.post(f"keys/{key['id']}", {"rpm": 1}, method="PATCH"),
        ]
        (dead,) = (await admin.get("keys")).json()["keys"]
        pages = [await admin.get(path) for path in ("keys", "config", "health")]
    assert (made.status, key["label"], key["key"][:6]) == (201, "ci", "sk-sg-")
    assert {name: listed[name] for name in wanted} == {**wanted, "label": "ci"}
    assert key["warnings"] == []
    assert (changed.status, changed.json()["id"], changed.json()["changed"]) == (
        200,
        key["id"],
        True,
    )
    assert (after["label"], after["rpm"], after["per_day"]) == ("new", None, None)
    assert (after["per_month"], after["models"], after["max_streams"]) == ("7.5 EUR", [], 4)
    assert rotated["id"] == key["id"]
    assert rotated["key"] != key["key"]
    assert (revoked.status, dead["state"]) == (200, "revoked")
    assert [answer.status for answer in again] == [409, 409]
    shown = b"".join(page.body for page in pages).decode()
    assert key["key"] not in shown
    assert rotated["key"] not in shown


@pytest.mark.asyncio
async def test_a_limit_in_a_currency_that_no_price_is_in_is_warned_of(tmp_path: Path) -> None:
    prices = {"prices": [{"model": "a", "input": 1, "output": 2, "currency": "eur"}]}
    async with admin_stand(tmp_path, config=prices) as admin:
        said = [
            (await admin.post("keys", {"label": "a", "per_month": amount})).json()
            for amount in (None, "5 euro", "5 USD", "5 apples")
        ]
        path = f"keys/{said[0]['id']}"
        changed = (await admin.post(path, {"per_day": "3 GBP"}, method="PATCH")).json()
        unchanged = (await admin.post(path, {"rpm": 3}, method="PATCH")).json()
        document = (await admin.get("/admin/openapi.json")).json()
    told = "no price here is in {}, only in EUR, USD: a call in another currency than its key's limit is refused"
    assert [made["warnings"] for made in said] == [[], [], [], [told.format("apples")]]
    assert (changed["warnings"], unchanged["warnings"]) == ([told.format("GBP")], [])
    for method, path, status, answer in (
        ("post", "/keys", "201", said[3]),
        ("patch", "/keys/{id}", "200", changed),
    ):
        schema = document["paths"][path][method]["responses"][status]["content"]
        assert problems(answer, schema["application/json"]["schema"], document) == []
        assert "warnings" in schema["application/json"]["schema"]["required"]


NOT_LEGAL: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "label"), ({"label": ""}, "label"), ({"label": 7}, "label"), ({"label": "a\nb"}, "label"),
    ({"label": "x" * 101}, "label"), ({"label": "a", "rpm": 0}, "rpm"), ({"label": "a", "rpm": True}, "rpm"),
    ({"label": "a", "rpm": "60"}, "rpm"), ({"label": "a", "tpm": 1.5}, "tpm"),
    ({"label": "a", "max_streams": 10**13}, "max_streams"), ({"label": "a", "models": "sim"}, "models"),
    ({"label": "a", "models": [""]}, "models"), ({"label": "a", "models": ["x"] * 101}, "models"),
    ({"label": "a", "per_day": 5}, "per_day"), ({"label": "a", "per_day": "5"}, "per_day"),
    ({"label": "a", "per_day": "-5 USD"}, "per_day"), ({"label": "a", "per_day": "5 U$D"}, "per_day"),
    ({"label": "a", "per_month": "1e999 USD"}, "per_month"), ({"label": "a", "expires_at": 1}, "expires_at"),
    ({"label": "a", "per_day": "5 USD", "per_month": "5 EUR"}, "one currency"),
    ({"label": "a", "models": ["gpt-[5"]}, "'gpt-[5' is no glob: a [ is not closed"), ({"label": "a", "expires_at": "30d"}, "expires_at"), ({"label": "a", "digest": "00"}, "digest"),
    ({"label": "a", "expires_at": 2**63 - 1}, "expires_at"),
)  # fmt: skip


@pytest.mark.asyncio
async def test_what_is_not_legal_makes_and_changes_no_key(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin:
        key = (await admin.post("keys", {"label": "one"})).json()
        (before,) = list_keys(tmp_path / "ledger.db")
        for body, word in NOT_LEGAL:
            made = await admin.post("keys", body)
            assert (made.status, word in made.json()["error"]["message"]) == (422, True), made.body
            changed = await admin.post(f"keys/{key['id']}", body, method="PATCH")
            assert changed.status == 422, (body, changed.body)
        for grace in (-1, "60", True, 10**9):
            told = await admin.post(f"keys/{key['id']}/rotate", {"grace_seconds": grace})
            assert told.status == 422, grace
        unknown = [
            await admin.post("keys/key_none/rotate"), await admin.post("keys/key_none/revoke"),
            await admin.post("keys/key_none", {"rpm": 1}, method="PATCH"),
        ]  # fmt: skip
        paid = (await admin.post("keys", {"label": "paid", "per_day": "5 USD"})).json()
        unlike = await admin.post(f"keys/{paid['id']}", {"per_month": "5 EUR"}, method="PATCH")
        raw = await admin.send("POST", "keys", b"[1]", content_type="application/json")
        large = await admin.send("POST", "keys", b" " * 70_000, content_type="application/json")
    first, second = list_keys(tmp_path / "ledger.db")
    assert (first, second.key.caller.limits.per_month) == (before, None)
    assert (unlike.status, "one currency" in unlike.json()["error"]["message"]) == (409, True)
    assert {answer.status for answer in unknown} == {404}
    assert (raw.status, large.status) == (400, 413)


@pytest.mark.asyncio
async def test_what_a_key_spent_this_month_stands_beside_it(tmp_path: Path) -> None:
    prices = {"prices": [{"input": 0, "output": 1_000_000, "currency": "USD"}]}
    async with admin_stand(tmp_path, config=prices) as admin:
        key = (await admin.post("keys", {"label": "ci"})).json()
        admin.on.gateway.callers.apply(_ring(tmp_path))
        await admin.on.ask(CHAT, chat(tokens=3), authorization=f"Bearer {key['key']}")
        await admin.on.rows()
        (listed,) = (await admin.get("keys")).json()["keys"]
        (row,) = (await admin.get(f"requests?key={key['id']}")).json()["rows"]
        groups = (await admin.get("usage?by=key")).json()["groups"]
    assert listed["month"]["costs"]["USD"]["exact"] == "3"
    assert listed["day"] == listed["month"]
    assert (row["key_id"], row["key_label"]) == (key["id"], "ci")
    assert [each["group"] for each in groups] == [{"key": key["id"], "key_label": "ci"}]


def _ring(folder: Path) -> Any:
    from streamgauge.ledger.keys import RingReader

    reader = RingReader(folder / "ledger.db")
    try:
        return reader.read()[1]
    finally:
        reader.close()


async def _capture(admin: Admin, folder: Path) -> str:
    """Capture an exchange; return its id once the file is whole."""
    await admin.post("/admin/captures", {"count": 1})
    id = (await admin.on.ask(CHAT, chat(tokens=3))).id
    await admin.on.rows()
    return id


@pytest.mark.asyncio
async def test_captures_are_listed_read_and_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    async with admin_stand(tmp_path, config={"capture": {"dir": str(folder)}}) as admin:
        id = await _capture(admin, folder)
        while not (listed := (await admin.get("captures")).json())["captures"]:
            pass
        file = await admin.get(f"captures/{id}")
        elsewhere = [
            await admin.get(f"captures/{name}")
            for name in ("..%2Fledger.db", "x" * 32, ".", "%00", f"{id}.jsonl")
        ]
        deleted = await admin.post(f"captures/{id}", method="DELETE")
        again = await admin.post(f"captures/{id}", method="DELETE")
        outside = await admin.post("captures/..%2Fledger.db", method="DELETE")
        left = (await admin.get("captures")).json()
    assert (listed["enabled"], [each["id"] for each in listed["captures"]]) == (True, [id])
    assert file.headers["content-type"] == "application/x-ndjson"
    assert json.loads(file.body.splitlines()[0])["id"] == id
    assert {answer.status for answer in elsewhere} == {404}
    assert (deleted.status, again.status, outside.status) == (200, 404, 404)
    assert left == {"enabled": True, "captures": []}
    assert (tmp_path / "ledger.db").is_file()


def _spoil(capture: Path) -> None:
    """Change a text in the last frame with content that the client was sent."""
    lines = [json.loads(line) for line in capture.read_text().splitlines()]
    sent = [each for each in lines if each.get("side") == "client" and each.get("dir") == "out"]
    told = next(each for each in reversed(sent) if '"content":"' in (each.get("data") or ""))
    told["data"] = told["data"].replace('"content":"', '"content":"x')
    capture.write_text("".join(json.dumps(each) + "\n" for each in lines))


@pytest.mark.asyncio
async def test_a_capture_is_proved_and_what_was_spoilt_in_it_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    config = {"capture": {"dir": str(folder)}, "integrity": "comment"}
    async with admin_stand(tmp_path, config=config) as admin:
        id = await _capture(admin, folder)
        while (whole := (await admin.get(f"captures/{id}/proof"))).json().get("holds") is not True:
            assert whole.status in (200, 404)  # the file is written beside the answer
        document = (await admin.get("/admin/openapi.json")).json()
        (path,) = folder.iterdir()
        _spoil(path)
        bad = (await admin.get(f"captures/{id}/proof")).json()
        path.write_text("no capture\n")
        illegible = await admin.get(f"captures/{id}/proof")
        with path.open("wb") as file:
            file.truncate((17 << 20) + 1)
        large = await admin.get(f"captures/{id}/proof")
        gone = await admin.get(f"captures/{'x' * 32}/proof")
    proof = whole.json()
    schema = {"$ref": "#/components/schemas/Proof"}
    assert problems(proof, schema, document) == problems(bad, schema, document) == []
    assert (proof["id"], proof["witness"], proof["findings"]) == (id, "comment", [])
    assert proof["frames"] == 6
    assert bad["holds"] is False
    assert "altered" in {each["kind"] for each in bad["findings"]}
    assert {each["seq"] for each in bad["findings"] if each["kind"] == "altered"} <= set(
        range(1, 7)
    )
    assert (illegible.status, large.status, gone.status) == (422, 422, 404)
    message = large.json()["error"]["message"]
    assert "17 MiB" in message
    assert "streamgauge verify" in message


@pytest.mark.asyncio
async def test_a_folder_that_others_may_read_is_said_to_be_so(tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    folder.mkdir(mode=0o755)
    async with admin_stand(tmp_path, config={"capture": {"dir": str(folder)}}) as admin:
        answer = await admin.get("captures")
    assert answer.status == 503
    assert "chmod 700" in answer.json()["error"]["message"]
