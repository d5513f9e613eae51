"""`streamgauge top`: on a terminal of its own, off one, with a gateway and without (SPEC §17.2)."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamgauge.cli.top import top as top_verb
from streamgauge.cli.top_screen import Speeds
from streamgauge.cli.top_sources import GatewaySource, View
from streamgauge.control.schemas import SCHEMAS
from streamgauge.core.record import Status

from .books import ENVIRONMENT, RUN, an_attempt, an_exchange, write
from .control_fake import (
    DEADLINE,
    FakeControl,
    Terminal,
    a_stream,
    a_summary,
    fake_control,
    on_a_terminal,
)

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"

pytestmark = pytest.mark.xdist_group("sockets")


@pytest.fixture
def fake() -> Iterator[FakeControl]:
    with fake_control() as fake:
        fake.streams = [a_stream("aaaa1111-one"), a_stream("bbbb2222-two", state="prefill")]
        done = an_exchange("cccc3333-done")
        fake.ended = [{**vars_of(done), "key_label": None}]
        yield fake


def vars_of(record: Any) -> dict[str, Any]:
    """Return a record as a row."""
    return {name: getattr(record, name) for name in type(record).__dataclass_fields__}


def top(*arguments: str, **environment: str) -> Result:
    """Run the verb off a terminal, to its end."""
    return CliRunner().invoke(top_verb, list(arguments), env=environment)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# -- on a terminal


def restored(terminal: Terminal, before: list[Any]) -> bool:
    """Whether the terminal is as it was: the other screen, the cursor, the modes."""
    tail = terminal.seen[terminal.seen.rindex(ENTER) :]
    return LEAVE in tail and tail.rindex(SHOW) > tail.rindex(HIDE) and terminal.modes() == before


@pytest.mark.parametrize("keys", [b"jjq", b"\x1b", b"\x03"])
def test_a_key_quits_and_leaves_the_terminal_as_it_was(
    fake: FakeControl, tmp_path: Path, keys: bytes
) -> None:
    with on_a_terminal("top", "--control", fake.url, cwd=tmp_path) as terminal:
        before = terminal.modes()
        terminal.until("aaaa1111")
        assert not terminal.modes()[3] & (termios.ICANON | termios.ECHO)
        terminal.press(keys)
        assert terminal.process.wait(DEADLINE) == 0
        terminal.read(0.5)
        assert restored(terminal, before)


def test_a_signal_leaves_the_terminal_as_it_was_too(fake: FakeControl, tmp_path: Path) -> None:
    with on_a_terminal("top", "--control", fake.url, cwd=tmp_path) as terminal:
        before = terminal.modes()
        terminal.until("aaaa1111")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(DEADLINE) == 0
        terminal.read(0.5)
        assert restored(terminal, before)


def test_it_shows_what_comes_and_what_goes(fake: FakeControl, tmp_path: Path) -> None:
    with on_a_terminal("top", "--control", fake.url, "--interval", "0.2", cwd=tmp_path) as terminal:
        at = terminal.until("aaaa1111")
        fake.streams = [a_stream("dddd4444-new", output_tokens=99, usage_source="provider")]
        at = terminal.until("dddd4444", at)
        screen = "\n".join(terminal.screen())
        assert "aaaa1111" not in screen
        assert re.search(r"dddd4444.* 99 ", screen), "an exact count has no sign"
        terminal.press(b"q")
        assert terminal.process.wait(DEADLINE) == 0


def test_another_size_is_drawn_at_once_and_nothing_is_wider_or_longer(
    fake: FakeControl, tmp_path: Path
) -> None:
    fake.streams = [a_stream(f"{n:04d}-stream") for n in range(50)]
    # An hour between two looks: what is drawn anew is drawn for the size alone.
    with on_a_terminal(
        "top", "--control", fake.url, "--interval", "3600", cwd=tmp_path
    ) as terminal:
        at = terminal.until("of 50 streams")
        assert "dialect" in "\n".join(terminal.screen())
        for columns, lines in ((60, 20), (40, 12), (200, 50)):
            terminal.resize(columns, lines)
            at = terminal.until("of 50 streams", at)
            screen = terminal.screen()
            assert len(screen) <= lines
            assert max(map(len, screen)) <= columns
        assert fake.looks == 1
        assert any("context" in line for line in terminal.screen())


def test_j_and_k_move_over_more_streams_than_there_are_lines(
    fake: FakeControl, tmp_path: Path
) -> None:
    fake.streams = [a_stream(f"{n:04d}-stream") for n in range(200)]
    with on_a_terminal("top", "--control", fake.url, cwd=tmp_path, lines=20) as terminal:
        at = terminal.until("1 to ")
        assert not any("0150-str" in line for line in terminal.screen())
        terminal.press(b"j" * 40)
        at = terminal.until("41 to ", at)
        assert any("0040-str" in line for line in terminal.screen())
        terminal.press(b"\x1b[A")
        at = terminal.until("40 to ", at)
        terminal.press(b"j" * 60 + b"\x1b[B")
        terminal.until("of 200 streams", at)
        terminal.press(b"q")
        assert terminal.process.wait(DEADLINE) == 0


def test_a_gateway_that_goes_is_told_and_asked_again(fake: FakeControl, tmp_path: Path) -> None:
    with on_a_terminal("top", "--control", fake.url, "--interval", "0.2", cwd=tmp_path) as terminal:
        at = terminal.until("aaaa1111")
        fake.refusals["summary"] = 500
        at = terminal.until("summary is refused; trying again", at)
        assert any("aaaa1111" in line for line in terminal.screen()), "the last view stays"
        fake.refusals = {"live": 503}
        at = terminal.until("the streams are not known at present", at)
        assert not any("trying again" in line for line in terminal.screen()), "what is over"
        fake.refusals.clear()
        terminal.until("aaaa1111", at)


def test_a_listener_that_wants_another_token_is_not_asked_for_ever(
    fake: FakeControl, tmp_path: Path
) -> None:
    with on_a_terminal("top", "--control", fake.url, "--interval", "0.2", cwd=tmp_path) as terminal:
        terminal.until("aaaa1111")
        fake.refusals["summary"] = 401
        assert terminal.process.wait(DEADLINE) == 1
        terminal.read(0.5)
        assert b"summary is refused" in terminal.seen[terminal.seen.rindex(LEAVE) :]


@pytest.mark.parametrize("colour", [True, False])
def test_colours_are_left_out_where_no_color_is_set(
    fake: FakeControl, tmp_path: Path, colour: bool
) -> None:
    more = {} if colour else {"NO_COLOR": "1"}
    with on_a_terminal("top", "--control", fake.url, cwd=tmp_path, **more) as terminal:
        terminal.until("aaaa1111")
        assert bool(re.search(rb"\x1b\[[0-9;]*3[0-7]m", terminal.seen)) == colour


# -- off a terminal


def test_off_a_terminal_it_looks_once_and_sends_no_control_sequence(fake: FakeControl) -> None:
    done = top("--control", fake.url)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[1].split() == "streams 1 req/min 12 tok/s 81.5 queue 0 ledger ok".split()
    assert lines[2].split() == "today 0.5 + 0.1~ USD failed 1 of 9 unpriced 2".split()
    row = next(line for line in lines if "aaaa1111-one" in line)
    for told in ("▶ streaming", "1.50 s", "curl/8", "anthropic→openai", "claude→qwen", "local",
                 "41 ms", "17~", "52.0", "50 %", "12 ms"):  # fmt: skip
        assert told in row
    assert any("cccc3333-done" in line and "✓ completed" in line for line in lines)
    assert fake.looks == 1


def test_a_model_asked_for_by_its_place_is_named_once(fake: FakeControl) -> None:
    row = fake.streams[0]
    row |= {"upstream": "local", "requested_model": "local/qwen", "upstream_model": "qwen"}
    lines = top("--control", fake.url).stdout.splitlines()
    words = next(line for line in lines if row["id"] in line).split()
    assert "qwen" in words
    assert not any("local/" in word for word in words)


def test_once_json_is_one_object_with_the_pages_of_the_api(fake: FakeControl) -> None:
    done = top("--once", "--json", "--control", fake.url)
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert list(told) == ["source", "gateway", "summary", "live", "ended", "note"]
    assert (told["source"], told["gateway"], told["note"]) == (fake.url, True, None)
    assert told["summary"] == fake.summary
    assert [row["id"] for row in told["live"]["rows"]] == ["aaaa1111-one", "bbbb2222-two"]
    assert [row["id"] for row in told["ended"]] == ["cccc3333-done"]


def test_json_goes_on_with_an_object_a_look(fake: FakeControl, tmp_path: Path) -> None:
    command = [*RUN, "top", "--json", "--interval", "0.2", "--control", fake.url]
    with subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        looks = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    assert [look["live"]["streams"] for look in looks] == [2, 2, 2]


def test_names_with_control_bytes_do_not_reach_the_terminal(fake: FakeControl) -> None:
    evil = "a\x1b[31mb\nc\x07"
    names = ("id", "client_app", "key_label", "session_id", "requested_model", "upstream", "state")
    fake.streams = [{**a_stream("x"), **dict.fromkeys(names, evil)}]
    done = top("--control", fake.url)
    assert done.exit_code == 0
    assert not {"\x1b", "\x07"} & set(done.stdout)
    assert "a?[31mb?c?" in done.stdout


def test_unknown_is_a_dash_and_never_a_zero(fake: FakeControl) -> None:
    known = {"id": "eeee5555", "state": "connecting", "age_ms": 3.0, "started_at": 1}
    fake.streams = [{**dict.fromkeys(a_stream("x")), **known}]
    fake.summary = a_summary(streams=None, tokens_per_second=None)
    lines = top("--control", fake.url).stdout.splitlines()
    assert lines[1].split()[:6] == ["streams", "–", "req/min", "12", "tok/s", "–"]
    row = next(line for line in lines if "eeee5555" in line)
    assert row.split("3.0 ms")[1].split() == ["–"] * (len(row.split("3.0 ms")[1].split()))


def test_upstreams_that_an_admin_drained_are_named(fake: FakeControl) -> None:
    assert "drained" not in top("--control", fake.url).stdout
    fake.summary = a_summary(drained=["local", "far\x1b[31m"])
    assert "drained by an admin local, far?[31m" in top("--control", fake.url).stdout


def test_an_ascii_terminal_gets_ascii(fake: FakeControl, tmp_path: Path) -> None:
    done = subprocess.run(
        [*RUN, "top", "--control", fake.url], cwd=tmp_path, capture_output=True, check=True,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}, timeout=DEADLINE,
    )  # fmt: skip
    assert done.stdout.isascii()
    assert b"> streaming" in done.stdout
    assert b"claude->qwen" in done.stdout


# -- who is asked


def test_the_admin_token_is_shown(fake: FakeControl) -> None:
    top("--once", "--control", fake.url, STREAMGAUGE_ADMIN_TOKEN="adm-1")
    assert set(fake.shown_tokens) == {"Bearer adm-1"}


def test_a_refused_token_leads_to_where_this_verb_takes_it_from(fake: FakeControl) -> None:
    fake.refusals["summary"] = 401
    without = top("--once", "--control", fake.url)
    wrong = top("--once", "--control", fake.url, STREAMGAUGE_ADMIN_TOKEN="adm-2\n")
    assert fake.shown_tokens == [None, "Bearer adm-2"]
    assert (without.exit_code, wrong.exit_code) == (1, 1)
    assert f"{fake.url}: summary is refused; neither control.token" in without.output
    assert "summary is refused; it came from control.token" in wrong.output


def ledger_of(folder: Path) -> Path:
    done = an_exchange("aaaaaaaa-done", 60)
    live = an_exchange("bbbbbbbb-live", 5, status=Status.IN_FLIGHT, success=None, finished_at=None,
                       output_tokens=None, price=None, cost_nano=None)  # fmt: skip
    write(folder / "streamgauge.db", (done, [an_attempt(done)]), (live, []))
    return folder / "streamgauge.db"


NOBODY = {"STREAMGAUGE_CONTROL__PORT": "9"}
"""A port where nobody listens."""


@pytest.mark.parametrize("named", [True, False])
def test_without_a_gateway_it_reads_the_ledger_and_says_so(tmp_path: Path, named: bool) -> None:
    path = ledger_of(tmp_path)
    arguments = ["--ledger", str(path)] if named else []
    told = json.loads(top("--once", "--json", *arguments, **NOBODY).stdout)
    assert told["gateway"] is False
    (stream,) = told["live"]["rows"]
    assert (stream["id"], stream["state"], stream["output_tokens"]) == ("bbbbbbbb-live", None, None)
    assert [row["id"] for row in told["ended"]] == ["aaaaaaaa-done"]
    assert told["summary"]["tokens_per_second"] is None
    assert (told["note"] is None) == named
    shown = top("--once", *arguments, **NOBODY).stdout
    assert "in flight" in shown
    assert ("! no gateway's control listener answers at http://127.0.0.1:9" in shown) != named


def test_with_neither_gateway_nor_ledger_it_says_what_to_name() -> None:
    done = top("--once", **NOBODY)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "there is no ledger at streamgauge.db" in done.stderr
    assert "--control URL" in done.stderr


def test_a_gateway_that_is_named_is_not_replaced_by_a_ledger(tmp_path: Path) -> None:
    ledger_of(tmp_path)
    done = top("--once", "--control", "http://127.0.0.1:9")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no gateway's control listener answers at http://127.0.0.1:9" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--control", "ftp://x"], ["--control", "http://x", "--ledger", "y.db"], ["--interval", "0"],
     ["--ledger", "postgresql://x/y"], ["surplus"]],
)  # fmt: skip
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    assert top(*arguments).exit_code == 2


def test_another_program_on_that_port_is_named(fake: FakeControl) -> None:
    fake.refusals["summary"] = 404
    done = top("--once", "--control", fake.url)
    assert done.exit_code == 1
    assert fake.url in done.stderr


# -- speeds


def test_the_speeds_of_a_stream_that_is_gone_are_forgotten() -> None:
    def view(*ids: str) -> View:
        rows = [a_stream(id, generation_tps=float(n)) for n, id in enumerate(ids)]
        return View("x", True, a_summary(), {"at": 1, "streams": len(rows), "rows": rows}, [])

    speeds = Speeds()
    for _ in range(20):
        speeds.note(view("a", "b"))
    assert (len(speeds.of("a")), speeds.of("b")[-1]) == (10, 1.0)
    speeds.note(View("x", True, a_summary(), None, []))
    assert len(speeds.of("a")) == 10, "while a gateway does not answer"
    speeds.note(view("b"))
    assert speeds.of("a") == ()


def test_the_source_asks_for_three_pages(fake: FakeControl) -> None:
    from streamgauge.cli.admin_client import AdminClient

    view = GatewaySource(AdminClient(fake.url + "/", None)).look()
    assert view.live is not None
    assert len(fake.shown_tokens) == 3


def test_the_fake_tells_what_the_admin_api_promises() -> None:
    rows = SCHEMAS["Live"]["properties"]["rows"]["items"]
    assert set(a_stream("x")) == set(rows["required"])
    assert set(a_summary()["today"]) == set(SCHEMAS["Sum"]["required"])


@pytest.mark.parametrize(
    "state", SCHEMAS["Live"]["properties"]["rows"]["items"]["properties"]["state"]["enum"]
)
def test_each_state_has_a_sign(fake: FakeControl, state: str) -> None:
    fake.streams = [a_stream("x", state=state)]
    shown = top("--control", fake.url).stdout
    assert f" {state} " in shown
    assert "?" not in shown
