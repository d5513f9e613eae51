"""The bench's own parts on real processes: CPU of a tree, targets that do not come up, the paced upstream."""

from __future__ import annotations

import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.tools.bench.load import Count, loading
from streamgauge.tools.bench.processes import running, sockets_allowed, upstream_process
from streamgauge.tools.bench.procfs import machine, tree_of
from streamgauge.tools.bench.profiles import Profile
from streamgauge.tools.bench.system_calls import tally
from streamgauge.tools.bench.targets import BadTarget, TargetFailed, find_nginx, target
from streamgauge.tools.bench.upstream import Plan, first_due, next_due

from ..e2e.stand import until
from ..timed import in_time

SPIN = "import time\nwhile time.process_time() < {seconds}: pass\n"


def python(program: str) -> str:
    """Return a command line that runs `program`, as NAME=COMMAND takes it."""
    return shlex.join([sys.executable, "-c", program, "{port}"])


# -- /proc


def _until(condition: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, why


@contextmanager
def spinning(*, own_session: bool, ends: bool) -> Iterator[int]:
    """Run a process whose child spins for 0.15 s; yield its pid when the child has done so."""
    child = SPIN.format(seconds=0.15) + "print(flush=True)\n" + ("" if ends else "input()")
    parent = (
        "import subprocess as s, sys\n"
        f"child = s.Popen([sys.executable, '-c', {child!r}], stdin=s.PIPE, stdout=s.PIPE, "
        f"start_new_session={own_session})\n"
        "child.stdout.readline()\n" + ("child.wait()\n" if ends else "") + "print(flush=True)\n"
        "input()"
    )
    command = [sys.executable, "-c", parent]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.communicate()  # its input ends, so it ends, and its child with it


@pytest.mark.parametrize("own_session", [False, True], ids=["one-session", "own-session"])
@pytest.mark.parametrize("ends", [False, True], ids=["living-child", "ended-child"])
def test_the_cpu_of_a_tree_counts_children_that_live_and_that_ended(
    ends: bool, own_session: bool
) -> None:
    with spinning(own_session=own_session, ends=ends) as pid:
        tree = tree_of(pid)
        assert tree.cpu_seconds >= 0.15
        in_time(tree.cpu_seconds, 0.15 * 10)
        assert len(tree.pids) == (1 if ends else 2)
        assert tree.rss_bytes > 1 << 20
    _until(lambda: not tree_of(pid).pids, "what has ended is still taken for a process")


def test_the_machine_has_a_name() -> None:
    here = machine()
    assert here.cores >= 1
    assert all((here.cpu, here.kernel, here.python))


# -- targets


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ngnix", "there is no target 'ngnix'"),
        ("x=", "no command"),
        ("=run {port}", "needs a name"),
        ("nginx=run {port}", "needs a name of its own"),
        ("x=run", "must say {port}"),
        ("x=run '{port}", "cannot be split"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(BadTarget, match=why.replace("{", r"\{")):
        target(text)


def test_a_missing_nginx_is_named_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STREAMGAUGE_NGINX", str(tmp_path / "nginx"))
    assert find_nginx() is None
    with pytest.raises(BadTarget, match="STREAMGAUGE_NGINX"):
        target("nginx")


@pytest.mark.asyncio
async def test_a_target_that_ends_at_once_is_told_with_its_last_words() -> None:
    it = target("x=" + python("raise SystemExit('no licence')"))
    with pytest.raises(TargetFailed, match=r"x: it ended with 1; its last words:\nno licence"):
        async with running(it, 1):
            pass


@pytest.mark.asyncio
async def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(TargetFailed, match="cannot start"):
        async with running(target("x=./nowhere {port}"), 1):
            pass


@pytest.mark.asyncio
async def test_the_words_of_a_command_are_filled_in_and_all_its_processes_end(
    tmp_path: Path,
) -> None:
    file = tmp_path / "told"
    program = (
        "import socket, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "open(sys.argv[2], 'w').write(sys.argv[3])\n"
        "listener.accept(); input()"
    )
    command = shlex.join([sys.executable, "-c", program, "{port}", str(file), "{upstream} {x}"])
    async with running(target(f"x={command}"), 4711) as it:
        pids = tree_of(it.pid).pids
        await until(file.exists)
    assert len(pids) == 2
    assert file.read_text() == "http://127.0.0.1:4711 {x}"
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_the_limit_of_open_files_is_raised_for_the_run_only() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = 512
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        with sockets_allowed(low):
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 2 * low
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (low, hard)
        with pytest.raises(BadTarget, match="open files"), sockets_allowed(hard):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- upstream and client, nothing between them


async def straight(profile: Profile) -> dict[str, object]:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(upstream_process(profile))
        it = await stack.enter_async_context(running(target("direct"), port))
        load = await stack.enter_async_context(loading(profile, it))
        return await load.figures()


@given(st.integers(1, 300), st.integers(300, 10**9), st.integers(0, 10**18))
def test_the_events_of_all_streams_are_spread_evenly_over_a_gap(
    streams: int, gap_ns: int, now_ns: int
) -> None:
    plan = Plan(streams, gap_ns)
    due = [first_due(plan, order, now_ns) for order in range(streams)]
    assert all(gap_ns // 2 <= each - now_ns < gap_ns // 2 + gap_ns for each in due)
    phases = sorted(each % gap_ns for each in due)
    steps = [later - earlier for earlier, later in pairwise([*phases, phases[0] + gap_ns])]
    assert max(steps) - min(steps) <= 1


def test_a_stream_that_is_late_keeps_its_phase_and_sends_no_two_events_at_once() -> None:
    plan = Plan(streams=1, gap_ns=100)
    assert next_due(plan, 1_000, 1_003) == 1_100
    assert next_due(plan, 1_000, 1_049) == 1_100
    assert next_due(plan, 1_000, 1_051) == 1_200
    assert next_due(plan, 1_000, 1_790) == 1_900


@pytest.mark.asyncio
async def test_paced_events_come_one_by_one_and_at_their_time() -> None:
    seen = await straight(Profile("p", streams=20, events=20, gap_ns=50_000_000))
    assert (seen["events"], seen["lost"], seen["reordered"], seen["failed"]) == (400, 0, 0, 0)
    assert seen["reads"] >= 300, "events came in bursts"
    assert seen["elapsed_s"] >= 0.9
    assert seen["delay_p50_ms"] < 2 * 5


@pytest.mark.parametrize(
    "profile",
    [Profile("f", streams=5, events=2000), Profile("s", streams=8, requests=100)],
    ids=["flood", "short"],
)
@pytest.mark.asyncio
async def test_everything_that_is_asked_for_comes(profile: Profile) -> None:
    seen = await straight(profile)
    assert (seen["lost"], seen["reordered"], seen["failed"]) == (0, 0, 0)
    assert seen["events"] == profile.streams * profile.events
    assert seen["requests"] == (profile.requests or profile.streams)


@pytest.mark.asyncio
async def test_a_load_can_be_counted_while_it_runs() -> None:
    profile = Profile("p", streams=4, events=40, gap_ns=20_000_000)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(upstream_process(profile))
        it = await stack.enter_async_context(running(target("direct"), port))
        load = await stack.enter_async_context(loading(profile, it))
        await load.opened()
        first, last = await load.count(), await load.count()
        seen = await load.figures()
    assert 4 <= first.events <= last.events < seen["events"] == 160
    assert first.at < last.at


# -- system calls


def test_only_calls_that_began_between_the_two_counts_are_counted() -> None:
    lines = [
        "7 10.0 write(3, ...) = 1",
        "7 10.5 read(3, ...) = 1",
        "8 10.6 epoll_wait(4,  <unfinished ...>",
        "8 10.7 <... epoll_wait resumed>) = 1",
        "7 10.8 write(3, ...) = 1",
        "7 10.9 --- SIGTERM ---",
        "7 11.5 write(3, ...) = 1",
    ]
    calls = tally(lines, Count(10, 10.2), Count(13, 11.0))
    assert (calls.events, dict(calls.by_name)) == (3, {"read": 1, "epoll_wait": 1, "write": 1})
    assert calls.per_event == 1.0
