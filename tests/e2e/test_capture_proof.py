"""`verify` finds whatever is wrong with a captured stream, in every mode, and names its place."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamgauge.cli.verify import verify
from streamgauge.tools.capture.proof import prove_lines

from .captured import SPOILS, WAYS, Captured, asking, capturing, file_of
from .stand import until

MODES = ("off", "ledger", "comment", "field")
TIMES = 1000
CASES = [(mode, "openai") for mode in MODES] + [("ledger", "anthropic"), ("field", "anthropic"),
         ("ledger", "simple"), ("ledger", "frames")]  # fmt: skip


async def captured(folder: Path, mode: str, protocol: str) -> Path:
    """Return the file of a whole capture."""
    async with capturing(folder, config={"integrity": mode}) as it:
        answer = await it.ask(WAYS[protocol], asking(tokens=9))
        return await file_of(it, answer.id)


@pytest.mark.parametrize(("mode", "protocol"), CASES)
@pytest.mark.asyncio
async def test_a_thousand_times_spoilt_each_way_and_every_time_the_frame_is_named(
    mode: str, protocol: str, tmp_path: Path
) -> None:
    it = Captured.read(await captured(tmp_path, mode, protocol))
    assert len(it.frames) == it.closing.frames == it.closing.row["frames_out"]
    assert prove_lines(it.opening, it.lines(), it.closing).holds
    for name, spoil in SPOILS.items():
        for seed in range(TIMES if protocol == "openai" else TIMES // 5):
            frames, wanted = spoil(it, random.Random(seed))
            proof = prove_lines(it.opening, it.lines(frames), it.closing)
            named = {finding.seq for finding in proof.findings}
            assert named & wanted, f"{name} seed {seed}: {wanted} of {proof.findings}"


@pytest.mark.parametrize("mode", ["comment", "field"])
@pytest.mark.asyncio
async def test_the_altered_frame_is_told_before_what_follows_from_it(
    mode: str, tmp_path: Path
) -> None:
    it = Captured.read(await captured(tmp_path, mode, "openai"))
    for seed in range(TIMES // 5):
        frames, wanted = SPOILS["flip"](it, random.Random(seed))
        (seq,) = wanted
        findings = prove_lines(it.opening, it.lines(frames), it.closing).findings
        assert findings[0].offset == len(b"".join(it.frames[: seq - 1])), findings


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.asyncio
async def test_one_fault_is_told_once(mode: str, tmp_path: Path) -> None:
    config = {"integrity": mode}
    async with capturing(tmp_path, config=config, prefix="/fault/no_done", odd=True) as it:
        answer = await it.ask(WAYS["openai"], asking(tokens=9))
        spoilt = Captured.read(await file_of(it, answer.id))
    frames = [*spoilt.frames[:3], *spoilt.frames[4:]]
    found = prove_lines(spoilt.opening, spoilt.lines(frames), spoilt.closing).findings
    assert [one.kind.value for one in found] == ["missing", "incomplete"]


@pytest.mark.parametrize(("mode", "protocol"), [("comment", "openai"), ("ledger", "frames")])
@pytest.mark.asyncio
async def test_a_first_frame_of_another_stream_is_the_foreign_one(
    mode: str, protocol: str, tmp_path: Path
) -> None:
    it = Captured.read(await captured(tmp_path / "a", mode, protocol))
    other = Captured.read(await captured(tmp_path / "b", mode, protocol))
    found = prove_lines(
        it.opening, it.lines([other.frames[0], *it.frames[1:]]), it.closing
    ).findings
    assert [one.seq for one in found if one.kind.value == "foreign"] == [1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.asyncio
async def test_the_verb_says_it_with_its_exit_code(mode: str, tmp_path: Path) -> None:
    path = await captured(tmp_path, mode, "openai")
    done = CliRunner().invoke(verify, [str(path)])
    assert (done.exit_code, done.stdout) == (0, f"openai: holds by {mode}, 12 frames, 0 findings\n")
    it = Captured.read(path)
    spoilt = tmp_path / "spoilt.jsonl"
    for name, spoil in SPOILS.items():
        frames, wanted = spoil(it, random.Random(name))
        it.write(spoilt, it.lines(frames))
        done = CliRunner().invoke(verify, ["--json", "-"], input=spoilt.read_bytes())
        *findings, summary = [json.loads(line) for line in done.stdout.splitlines()]
        assert (done.exit_code, summary["holds"], summary["id"]) == (1, False, it.opening.id)
        assert {finding["seq"] for finding in findings} & wanted, name


@pytest.mark.parametrize("metadata", ["chunk", "event", "after_done"])
@pytest.mark.asyncio
async def test_our_record_is_no_harm_to_a_capture_nor_to_a_saved_body(
    metadata: str, tmp_path: Path
) -> None:
    for mode in MODES:
        config = {"integrity": mode, "metadata": metadata}
        async with capturing(tmp_path / mode, config=config, odd=True) as it:
            for protocol in WAYS.values():
                answer = await it.ask(protocol, asking(tokens=5))
                done = CliRunner().invoke(verify, [str(await file_of(it, answer.id))])
                assert done.exit_code == 0, (mode, protocol, done.output)
                done = CliRunner().invoke(verify, ["-"], input=answer.body)
                assert done.exit_code == 0, (mode, protocol, done.output)


@pytest.mark.asyncio
async def test_a_row_of_the_ledger_can_be_the_witness(tmp_path: Path) -> None:
    path = await captured(tmp_path, "ledger", "openai")
    ledger = ("--ledger", str(tmp_path / "ledger.db"))
    command = (sys.executable, "-m", "streamgauge", "verify", *ledger)
    good = subprocess.run(
        [*command, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (good.returncode, good.stderr) == (0, "")
    it = Captured.read(path)
    body = tmp_path / "body.sse"
    body.write_bytes(b"".join([*it.frames, it.rest]))
    assert CliRunner().invoke(verify, [*ledger, "--id", it.opening.id, str(body)]).exit_code == 0
    body.write_bytes(b"".join([*it.frames, it.rest]).replace(b"w3", b"w4"))
    done = CliRunner().invoke(verify, [*ledger, "--id", it.opening.id, str(body)])
    assert (done.exit_code, "totals" in done.stdout) == (1, True)
    assert CliRunner().invoke(verify, [*ledger, str(body)]).exit_code == 2
    assert CliRunner().invoke(verify, [*ledger, "--id", "x" * 20, str(body)]).exit_code == 1


@pytest.mark.parametrize("fault", ["cut", "reset", "error_mid", "no_done", "http_500", "gzip"])
@pytest.mark.parametrize("mode", ["off", "field"])
@pytest.mark.asyncio
async def test_what_an_upstream_spoils_is_captured_as_it_passed_and_holds(
    mode: str, fault: str, tmp_path: Path
) -> None:
    async with capturing(
        tmp_path, config={"integrity": mode}, prefix=f"/fault/{fault}", odd=True
    ) as it:
        for protocol in WAYS.values():
            for stream in (True, False):
                answer = await it.ask(protocol, asking(stream, tokens=5))
                done = CliRunner().invoke(verify, [str(await file_of(it, answer.id))])
                assert done.exit_code == 0, done.output
                assert "holds by" in done.stdout


@pytest.mark.asyncio
async def test_a_capture_without_its_end_is_not_whole(tmp_path: Path) -> None:
    path = await captured(tmp_path, "ledger", "openai")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    done = CliRunner().invoke(verify, [str(path)])
    assert (done.exit_code, "no closing line" in done.stdout) == (1, True)
    path.write_bytes(b"".join(lines[:4]) + b"{nonsense}\n")
    done = CliRunner().invoke(verify, [str(path)])
    assert (done.exit_code, "line 5: this is no JSON object" in done.stderr) == (1, True)
    path.write_bytes(lines[0].replace(b'_capture":1', b'_capture":2'))
    assert "this release reads format 1" in CliRunner().invoke(verify, [str(path)]).stderr


@pytest.mark.asyncio
async def test_of_a_whole_answer_with_a_secret_the_size_is_proved_and_the_rest_is_said(
    tmp_path: Path,
) -> None:
    secret = "sk-" + "a1" * 12
    async with capturing(tmp_path) as it:
        answer = await it.ask(WAYS["openai"], asking(False, text=f"the key {secret} is it"))
        path = await file_of(it, answer.id)
    note = "note: seq 1: something is masked there, and not proved\n"
    done = CliRunner().invoke(verify, [str(path)])
    assert (done.exit_code, done.stdout) == (0, note + "whole: holds by row, 1 frame, 0 findings\n")
    path.write_bytes(path.read_bytes().replace(b"*" * len(secret) + b" is it", b"*" * len(secret)))
    done = CliRunner().invoke(verify, [str(path), "--ledger", str(tmp_path / "ledger.db")])
    assert (done.exit_code, "bytes; the row says" in done.stdout) == (1, True)


@pytest.mark.asyncio
async def test_a_client_that_left_before_anything_was_sent_has_no_frame(tmp_path: Path) -> None:
    async with capturing(tmp_path, prefix="/fault/stall_head") as it:
        async with it.client() as client:
            await client.post(WAYS["openai"], asking())
            await until(lambda: bool(it.gateway.relays))
            (name,) = it.gateway.relays
        done = CliRunner().invoke(verify, [str(await file_of(it, name))])
    assert (done.exit_code, done.stdout) == (0, "whole: holds by sha1, 0 frames, 0 findings\n")
