"""`streamgauge demo` as a process, and its audit with faults planted in either set of books."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner

from streamgauge.cli.demo import demo, run
from streamgauge.cli.keys import keys
from streamgauge.core.record import AttemptRecord, ExchangeRecord
from streamgauge.ledger.base import Done
from streamgauge.ledger.reader import Filter, LedgerReader
from streamgauge.ledger.sqlite import SqliteLedger
from streamgauge.tools.demo import Audit, Setting, Stage, audit
from streamgauge.tools.simulator import Ending, Entry

from .books import ENVIRONMENT, RUN, an_attempt, an_exchange, write

pytestmark = pytest.mark.xdist_group("sockets")

DEADLINE = 30.0
LINE = re.compile(
    r" {2}(\w+) +-> (\S+(?: \(.*\))?) +(\w+) +in +(\S+)  out +(\d+|-)(~?)(?: +(.+))?$"
)
STATUSES = [
    ("openai", "sim", "completed"),
    ("anthropic", "sim", "completed"),
    ("openai", "sim-drain", "client_disconnected"),
    ("openai", "sim", "client_disconnected"),
    ("openai", "sim (cut)", "stream_incomplete"),
    ("openai", "sim (no usage)", "completed"),
    ("openai", "sim", "cancelled"),
]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return every row, oldest first."""
    with LedgerReader(path) as reader:
        return list(reader.newest(Filter()))[::-1]


def shown(count: int | None) -> str:
    return "-" if count is None else str(count)


# -- as a process


def finished(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a demo in `folder` to its end."""
    return subprocess.run(
        [*RUN, "demo", *options],
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip


def test_the_demo_shows_seven_exchanges_and_books_that_balance(tmp_path: Path) -> None:
    former = an_exchange("former", owner="demo-former")
    write(tmp_path / "demo.db", (former, [an_attempt(former)]))
    done = finished(tmp_path, "--once", "--port", "0")
    assert (done.returncode, done.stderr) == (0, "")
    header, first, second, *exchanges, last = done.stdout.splitlines()
    assert re.fullmatch(r"streamgauge \S+  http://127\.0\.0\.1:\d+   ledger \./demo\.db", header)
    assert first == "upstream sim (built-in simulator)  ok"
    assert second == "upstream sim-drain (built-in simulator)  ok"

    found = [LINE.fullmatch(line) for line in exchanges]
    texts = [match.groups() for match in found if match is not None]
    assert [text[:3] for text in texts] == STATUSES
    rows = rows_of(tmp_path / "demo.db")
    assert "former" not in [row["id"] for row in rows], "the default ledger is made anew"
    pairs = [(shown(row["input_tokens"]), shown(row["output_tokens"])) for row in rows]
    assert [text[3:5] for text in texts] == pairs
    exact = [row for row in rows if row["usage_source"] == "provider"]
    assert [text[5] for text in texts] == ["" if row in exact else "~" for row in rows]
    assert len(exact) == 3

    booked = f"{sum(r['input_tokens'] for r in exact)}/{sum(r['output_tokens'] for r in exact)}"
    assert last == f"audit requests=7 rows=7 booked={booked} simulator={booked} balanced=yes"
    remarks = [str(text[6]) for text in texts]
    assert "ttft" in remarks[0]
    assert remarks[2] == "drained: the provider's numbers"
    assert re.fullmatch(r"cancelled: upstream closed after \d+ ms", remarks[3])
    assert remarks[4:] == [
        "the client got an error end",
        "counted, not in exact totals",
        "stopped by the stop endpoint",
    ]


def test_it_goes_on_serving_until_interrupted_and_keeps_the_rows_of_others(tmp_path: Path) -> None:
    others = an_exchange("others", owner="boot-1")
    write(tmp_path / "demo.db", (others, [an_attempt(others)]))
    command = [*RUN, "demo", "--port", "0"]
    with running(command, tmp_path) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("running"):
            lines.append(process.stdout.readline().rstrip("\n"))
            assert lines[-1], f"it ended too soon: {lines}"
        assert lines[-1] == "running; Ctrl-C stops"
        assert re.fullmatch(r"audit requests=7 rows=7 .* balanced=yes", lines[-2])
        check_dashboard(lines[0].split("   dashboard ")[1].split("   ")[0])
        url = lines[0].split()[2]
        stream = ask(f"{url}/v1/chat/completions")
        after = process.stdout.readline()
        assert re.fullmatch(r"  openai +-> sim +completed +in +3  out +16 .*\n", after)
        with urlopen(f"{url}/v1/streams/{stream}", timeout=5) as answer:
            assert json.load(answer)["state"] == "done"
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    rows = rows_of(tmp_path / "demo.db")
    assert rows[0]["id"] == "others"
    assert len(rows) == 1 + 7 + 1


def check_dashboard(url: str) -> None:
    """It answers with the demo's numbers, and reloads nothing that lies about here."""
    api = f"{url}/admin/api/v1"
    with urlopen(f"{api}/usage", timeout=5) as answer:
        assert json.load(answer)["total"]["exchanges"] == 8
    with urlopen(f"{api}/config", timeout=5) as answer:
        assert json.load(answer)["file"] is None
    with urlopen(f"{url}/metrics", timeout=5) as answer:
        assert b'streamgauge_requests_total{dialect="anthropic"' in answer.read()
    order = Request(f"{url}/admin/reload", b"{}", {"content-type": "application/json"})
    with pytest.raises(HTTPError, match=r"409|422") as refused:
        urlopen(order, timeout=5)
    assert b"a demo reads no configuration" in refused.value.read()


@contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(url: str, key: str = "none") -> str:
    """Ask for a stream, read it to its end, and return its id."""
    body = b'{"model":"sim","stream":true,"messages":[{"role":"user","content":"count to 5"}]}'
    fields = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    with urlopen(Request(url, body, fields), timeout=5) as answer:
        assert answer.read().endswith(b"data: [DONE]\n\n")
        return str(answer.headers["x-streamgauge-stream-id"])


def test_its_gateway_follows_the_keys_that_the_dashboard_makes(tmp_path: Path) -> None:
    with running([*RUN, "demo", "--port", "0"], tmp_path) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        while not process.stdout.readline().startswith("running"):
            assert process.poll() is None
        chat = f"{first.split()[2]}/v1/chat/completions"
        page = f"{first.split('   dashboard ')[1].split('   ')[0]}/admin/api/v1/keys"
        ask(chat)
        order = Request(page, b'{"label": "ann"}', {"content-type": "application/json"})
        with urlopen(order, timeout=5) as answer:
            made = json.load(answer)
        with pytest.raises(HTTPError, match="401"):
            ask(chat)
        ask(chat, made["key"])
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    assert [row["key_id"] for row in rows_of(tmp_path / "demo.db")[7:]] == [None, made["id"]]


def test_the_keys_of_a_ledger_that_is_named_hold_when_the_scenes_are_over(tmp_path: Path) -> None:
    path = str(tmp_path / "own.db")
    made = CliRunner().invoke(keys, ["create", "--label", "ann", "--ledger", path])
    with running([*RUN, "demo", "--port", "0", "--ledger", path], tmp_path) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while not lines[-1].startswith("running"):
            lines.append(process.stdout.readline())
            assert lines[-1], f"it ended too soon: {lines}"
        assert lines[-2].endswith("balanced=yes\n")
        chat = f"{lines[0].split()[2]}/v1/chat/completions"
        with pytest.raises(HTTPError, match="401"):
            ask(chat)
        ask(chat, made.stdout.strip())


def test_a_named_ledger_whose_keys_cannot_be_known_exits_4(tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    CliRunner().invoke(keys, ["create", "--label", "ann", "--ledger", str(path)])
    path.with_name("own.db.keys-secret").unlink()
    done = finished(tmp_path, "--port", "0", "--ledger", str(path))
    assert done.returncode == 4
    assert "streamgauge cannot start" in done.stderr
    assert "keys-secret" in done.stderr


def test_a_signal_before_the_audit_ends_it_at_once(tmp_path: Path) -> None:
    with running([*RUN, "demo", "--once", "--port", "0"], tmp_path) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("  openai"):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(DEADLINE) == 1
    assert "audit" not in rest
    assert all(row["status"] != "in_flight" for row in rows_of(tmp_path / "demo.db"))


# -- what keeps it from starting


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_named_port_that_is_taken_exits_4(tmp_path: Path, taken: int) -> None:
    arguments = ["--once", "--port", str(taken), "--ledger", str(tmp_path / "a.db")]
    result = CliRunner().invoke(demo, arguments)
    assert result.exit_code == 4
    assert f"cannot listen on 127.0.0.1:{taken}" in result.output


def test_a_file_that_is_no_ledger_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo.db").write_text("somebody's notes")
    result = CliRunner().invoke(demo, ["--once", "--port", "0"])
    assert result.exit_code == 4
    assert (tmp_path / "demo.db").read_text() == "somebody's notes"


def test_a_ledger_in_use_exits_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = SqliteLedger("demo.db", owner="boot-1", now_us=lambda: 1, post=lambda call: call())
    try:
        result = CliRunner().invoke(demo, ["--once", "--port", "0"])
    finally:
        ledger.stop(5.0)
    assert result.exit_code == 4
    assert "in use by another gateway" in result.output
    assert "--ledger" in result.output, "what a demo has no setting for has an option"


# -- a ledger that books wrongly


class Miscounting(SqliteLedger):
    """Books one output token too many in every third provider row."""

    seen = 0

    def close(self, record: ExchangeRecord, attempts: Sequence[AttemptRecord], done: Done) -> None:
        if record.usage_source == "provider" and record.output_tokens is not None:
            self.seen += 1
            if self.seen % 3 == 0:
                record = replace(record, output_tokens=record.output_tokens + 1)
        super().close(record, attempts, done)


@dataclass(frozen=True)
class AllRows:
    """The rows of a ledger that only this run writes to."""

    path: Path

    def row(self, id: str) -> dict[str, Any] | None:
        return next((row for row in rows_of(self.path) if row["id"] == id), None)

    def of_this_run(self) -> list[dict[str, Any]]:
        return rows_of(self.path)


@pytest.mark.asyncio
async def test_one_wrong_row_unbalances_the_books_and_exits_1(tmp_path: Path, taken: int) -> None:
    path, said = tmp_path / "wrong.db", list[str]()
    post = asyncio.get_running_loop().call_soon_threadsafe

    def now_us() -> int:
        return time.time_ns() // 1000

    ledger = Miscounting(path, owner="demo-test", now_us=now_us, post=post)
    ports = (taken, 0)
    stage = Stage(
        Setting(ledger, AllRows(path), "wrong.db", ports, "demo-test", now_us, said.append)
    )
    try:
        await stage.start()
        code = await run(stage, once=True)
    finally:
        await stage.stop()
        await asyncio.to_thread(ledger.stop, 5.0)
    assert f":{taken} " not in said[0], "a taken port falls back to the next"
    match = re.fullmatch(
        r"audit requests=7 rows=7 booked=(\d+)/(\d+) simulator=(\d+)/(\d+) balanced=no", said[-1]
    )
    assert match is not None, said
    assert match[1] == match[3]
    assert int(match[2]) == int(match[4]) + 1
    assert code == 1


# -- the audit


def a_row(call: str = "c1", **values: Any) -> dict[str, Any]:
    plain = {
        "client_request_id": call,
        "status": "completed",
        "usage_source": "provider",
        "input_tokens": 12,
        "output_tokens": 64,
    }
    return {**plain, **values}


def an_entry(call: str = "c1", **values: Any) -> Entry:
    plain: dict[str, Any] = {
        "prompt_tokens": 12,
        "completion_tokens": 64,
        "ending": Ending.COMPLETE,
        "usage_sent": True,
    }
    return Entry(call, "/v1/chat/completions", "demo", True, **{**plain, **values})


def counted(output: int | None, **values: Any) -> dict[str, Any]:
    return a_row(
        "c2",
        status="client_disconnected",
        usage_source="counted",
        input_tokens=None,
        output_tokens=output,
        **values,
    )


CUT = an_entry("c2", completion_tokens=17, ending=Ending.CLIENT_CLOSED, usage_sent=False)


def of(
    rows: Sequence[dict[str, Any]],
    journal: Sequence[Entry],
    sent: Sequence[str] = ("c1", "c2"),
) -> Audit:
    return audit(sent, rows, journal)


@pytest.mark.parametrize("output", [0, 16, 17, None])
def test_exact_rows_are_summed_and_counted_ones_only_bounded(output: int | None) -> None:
    found = of([a_row(), counted(output)], [an_entry(), CUT])
    assert found.line == "audit requests=2 rows=2 booked=12/64 simulator=12/64 balanced=yes"
    assert found.faults == ()


FAULTY = {
    "an output off by one": ([a_row(output_tokens=63), counted(17)], [an_entry(), CUT]),
    "an input off by one": ([a_row(input_tokens=13), counted(17)], [an_entry(), CUT]),
    "an exact row without a count": ([a_row(input_tokens=None), counted(17)], [an_entry(), CUT]),
    "a count above the simulator's": ([a_row(), counted(18)], [an_entry(), CUT]),
    "a count without a call": ([a_row(), counted(1)], [an_entry()]),
    "an exact row without a call": ([a_row(), counted(1)], [CUT]),
    "a row missing": ([a_row()], [an_entry(), CUT]),
    "a row too many": ([a_row(), a_row(), counted(1)], [an_entry(), CUT]),
    "a second call": ([a_row(), counted(1)], [an_entry(), an_entry(), CUT]),
    "a row nobody asked for": ([a_row(), counted(1), a_row("c3")], [an_entry(), CUT]),
    "a call nobody asked for": ([a_row(), counted(1)], [an_entry(), CUT, an_entry("c3")]),
    "an open row": ([a_row(), counted(17) | {"status": "in_flight"}], [an_entry(), CUT]),
    "usage that was sent and not booked": (
        [a_row(usage_source="counted"), counted(1)],
        [an_entry(), CUT],
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_any_fault_in_either_book_is_seen(name: str) -> None:
    rows, journal = FAULTY[name]
    found = of(rows, journal)
    assert found.faults
    assert found.line.endswith("balanced=no")


def test_faults_that_cancel_out_in_the_sums_are_seen_all_the_same() -> None:
    rows = [a_row(output_tokens=63), a_row("c2", output_tokens=65)]
    found = of(rows, [an_entry(), an_entry("c2")])
    assert found.booked == found.simulator
    assert found.line == "audit requests=2 rows=2 booked=24/128 simulator=24/128 balanced=no"


def test_an_unknown_count_makes_the_sum_unknown_not_smaller() -> None:
    found = of([a_row(output_tokens=None), a_row("c2")], [an_entry(), an_entry("c2")])
    assert found.line == "audit requests=2 rows=2 booked=24/- simulator=24/128 balanced=no"
