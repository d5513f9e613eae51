"""The image of deploy/, built and run by Podman: a stream through its port, its books, its stop. In `--full` alone."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

ROOT = Path(__file__).parents[2]
BASE = "docker.io/library/python:3.13-slim"
SIM_PORT = 8099
CONFIG = f"upstreams:\n  - {{name: sim, kind: sim, base_url: 'http://127.0.0.1:{SIM_PORT}'}}\n"
CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
LIMITS = ("--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096")
"""Podman's own are higher than a machine may be allowed."""


class Podman:
    """Podman, with what was made under `name` and in the volume of that name."""

    def __init__(self, program: Path, name: str) -> None:
        self._program, self.name = str(program), name

    def __call__(self, *words: str, ends: int = 0) -> str:
        """Return what a command printed; it must end with `ends`."""
        done = subprocess.run(
            [self._program, *words], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == ends, (
            f"podman {words[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
        return done.stdout.strip()

    def has_image(self, name: str) -> bool:
        words = [self._program, "image", "exists", name]
        return subprocess.run(words, check=False, timeout=60).returncode == 0

    def build(self) -> None:
        recipe = ROOT / "deploy" / "Dockerfile"
        ignored = f"--ignorefile={recipe}.dockerignore"
        how = (
            "--format=docker",
            "--isolation=chroot",
            "--network=host",
            "--pull=never",
            "--layers=false",
            ignored,
        )
        self("build", *how, f"--tag={self.name}", f"--file={recipe}", str(ROOT))

    @contextmanager
    def running(self, config: Path) -> Iterator[str]:
        """Start the image as docs/operations.md says, an upstream in it; yield the URL it is reached at."""
        mounts = (
            f"--volume={self.name}:/var/lib/streamgauge",
            f"--volume={config}:/etc/streamgauge/streamgauge.yaml:ro",
        )
        serve = ["serve", "--config", "/etc/streamgauge/streamgauge.yaml"]
        host = ["--host", "0.0.0.0", "--insecure-no-auth"]
        port = "--publish=127.0.0.1::8066"
        self(
            "run",
            "--detach",
            f"--name={self.name}",
            *LIMITS,
            port,
            *mounts,
            self.name,
            *serve,
            *host,
        )
        sim = [self._program, "exec", self.name, "streamgauge", "sim", "--port", str(SIM_PORT)]
        try:
            with subprocess.Popen(sim, stdout=subprocess.PIPE, text=True) as upstream:
                try:
                    assert upstream.stdout is not None
                    assert upstream.stdout.readline().startswith("ready sim=")
                    url = "http://" + self("port", self.name, "8066/tcp")
                    answers(f"{url}/healthz")
                    yield url
                finally:
                    upstream.kill()
        finally:
            self("rm", "--force", "--time=45", self.name)

    def inside(self, *words: str, ends: int = 0) -> str:
        return self("exec", self.name, *words, ends=ends)

    def clean(self) -> None:
        self("volume", "rm", "--force", self.name)
        self("rmi", "--force", self.name)


def asked(url: str, body: dict[str, Any] | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"content-type": "application/json"}), timeout=20) as answer:
        return bytes(answer.read())


def answers(url: str) -> None:
    """Wait until `url` answers; before that its port refuses or resets."""
    end = time.monotonic() + 20
    while True:
        try:
            asked(url)
            return
        except OSError:
            assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def podman(real_program: Callable[[str], Path]) -> Iterator[Podman]:
    made = Podman(real_program("podman"), f"streamgauge-test-{os.getpid()}")
    if not made.has_image(BASE):
        pytest.skip(f"{BASE} is not here; `podman pull` brings it, or .ci/base-image a stand-in")
    made.build()
    yield made
    made.clean()


if os.environ.get("STREAMGAUGE_FULL"):

    def test_the_image_serves_and_its_books_outlive_it(podman: Podman, tmp_path: Path) -> None:
        config = tmp_path / "streamgauge.yaml"
        config.write_text(CONFIG)
        with podman.running(config) as url:
            assert asked(f"{url}/v1/chat/completions", CHAT).endswith(b"data: [DONE]\n\n")
            podman("healthcheck", "run", podman.name)
            assert podman.inside("id", "--user") == "10001"
            podman.inside("touch", "/opt/streamgauge/own", ends=1)
            podman("stop", "--time=45", podman.name)
            assert podman("inspect", "--format={{.State.ExitCode}}", podman.name) == "0"
        with podman.running(config):
            row = json.loads(podman.inside("streamgauge", "ls", "--json"))
        assert (row["status"], row["upstream"], row["output_tokens"]) == ("completed", "sim", 16)
