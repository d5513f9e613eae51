"""The unit and the Dockerfile of deploy/: sound as far as can be seen without starting either."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

import pytest

from streamgauge.cli.main import VERBS
from streamgauge.config.schema import Server
from streamgauge.tools.simulator import Simulator

from .process import serving

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "streamgauge.service"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"

LEDGER_SECONDS = 10
"""What `serve` gives its ledger after the drain."""


def unit() -> ConfigParser:
    """Return the unit; of a key that stands twice, the last."""
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(UNIT)
    return parser


# -- systemd


def test_systemd_finds_no_fault_and_little_exposure(
    tmp_path: Path, real_program: Callable[[str], Path]
) -> None:
    program = real_program("systemd-analyze")
    command = unit()["Service"]["ExecStart"].split()[0]
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(command, sys.executable))
    checks = (["verify", str(copy)], ["security", "--offline=yes", "--threshold=20", str(copy)])
    for check in checks:
        done = subprocess.run(
            [program, *check], capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if check[0] == "verify":
            assert UNIT.name not in done.stderr


def test_a_stop_leaves_time_for_the_drain_and_the_ledger() -> None:
    service = unit()["Service"]
    assert int(service["TimeoutStopSec"]) >= Server().drain_seconds + LEDGER_SECONDS + 5
    assert int(service["LimitNOFILE"]) >= 65_536
    assert service["ExecReload"].endswith("kill -HUP $MAINPID")


def test_the_command_line_of_the_unit_and_of_the_image_is_understood() -> None:
    in_unit = shlex.split(unit()["Service"]["ExecStart"])[1:]
    in_image = json.loads(instruction("CMD ["))
    assert in_unit == in_image
    verb = VERBS[in_unit[0]].load()
    context = verb.make_context("serve", in_unit[1:])
    assert context.params["config"] == Path("/etc/streamgauge/streamgauge.yaml")


# -- the image


def instructions() -> list[str]:
    """Return the Dockerfile's instructions, each on one line, comments left out."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text())
    return re.sub(r"\\\n\s*", "", text).splitlines()


def instruction(begin: str) -> str:
    (found,) = [line for line in instructions() if line.startswith(begin)]
    return found[len(begin) - 1 :]


def copied() -> list[str]:
    """Return what is copied from the project."""
    lines = [line for line in instructions() if line.startswith("COPY ") and "--from" not in line]
    return [name for line in lines for name in line.split()[1:-1]]


def test_the_image_is_built_from_hashes_and_runs_without_rights() -> None:
    lines = instructions()
    installs = [line for line in lines if "pip install" in line]
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
    assert len(installs) == 2
    last_stage = lines[max(n for n, line in enumerate(lines) if line.startswith("FROM")) :]
    assert "USER 10001" in last_stage
    assert not any("sudo" in line or "chmod 777" in line for line in lines)


def test_the_images_context_holds_what_is_copied_and_nothing_else() -> None:
    ignore = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignore[1] == "*"
    assert sorted(line[1:] for line in ignore if line.startswith("!")) == sorted(copied())


def test_what_the_project_is_built_from_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hatch = project["tool"]["hatch"]
    needed = [
        "pyproject.toml",
        project["project"]["readme"],
        *project["project"]["license-files"],
        hatch["version"]["path"],
        *hatch["build"]["targets"]["wheel"]["packages"],
    ]
    assert [name for name in needed if not name.startswith(tuple(copied()))] == []


if os.environ.get("STREAMGAUGE_FULL"):

    def test_the_builds_last_step_needs_no_more_and_no_index(tmp_path: Path) -> None:
        context = tmp_path / "context"
        context.mkdir()
        for name in copied():
            source, target = ROOT / name, context / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        command = (
            "-m pip wheel --no-index --no-deps --no-build-isolation --quiet -w wheels .".split()
        )
        subprocess.run([sys.executable, *command], cwd=context, check=True, timeout=50)
        (wheel,) = (context / "wheels").glob("streamgauge-*.whl")
        names = subprocess.run(
            [sys.executable, "-m", "zipfile", "-l", str(wheel)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "streamgauge/cli/main.py" in names
        assert "streamgauge/ledger/migrations/0001_initial.sql" in names


@pytest.mark.asyncio
async def test_the_health_check_passes_a_gateway_and_no_other(tmp_path: Path) -> None:
    program, *words = json.loads(instruction("HEALTHCHECK ").partition("CMD ")[2])
    assert program == "python"
    async with Simulator() as simulator:
        await simulator.start("127.0.0.1", 0)
        async with serving(tmp_path, simulator) as gateway:
            here = [word.replace(":8066", f":{gateway.port}") for word in words]
            assert here != words
            assert await checked(here) == 0
        assert await checked(here) != 0


async def checked(words: list[str]) -> int:
    """Run the health check beside the loop, which serves the simulator."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stderr=asyncio.subprocess.DEVNULL
    )
    return await asyncio.wait_for(process.wait(), 20)
