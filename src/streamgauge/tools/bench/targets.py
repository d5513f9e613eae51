"""What can be measured: this gateway, nginx, no proxy at all, any command. Starts nothing itself."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

__all__ = [
    "CHAT",
    "DIRECT",
    "NGINX",
    "STREAMGAUGE",
    "BadTarget",
    "Target",
    "TargetFailed",
    "find_nginx",
    "target",
]

STREAMGAUGE, NGINX, DIRECT = "streamgauge", "nginx", "direct"
CHAT = "/v1/chat/completions"
_SYSTEM_PATHS = ("/usr/sbin", "/usr/local/sbin")  # where Debian keeps nginx, off many PATHs
_NGINX_CONFIG = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream bench { server {address}; keepalive 64; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:{port} backlog=4096;
    location / {
      proxy_pass http://bench;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
"""


class BadTarget(Exception):
    """A target that cannot be measured as it was asked; the text says why and what to do."""


class TargetFailed(Exception):
    """A target, or the bench's own part, that did not start, answer or last; the text says how."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to measure. `command` is empty for `direct`: the client asks the upstream itself.

    In `command` and header values `{port}` is where it must listen, `{upstream}` the upstream's URL
    (`{address}`: its host and port), `{folder}` a directory of its own.
    `files` are written there first, with the same words filled in.
    """

    name: str
    command: tuple[str, ...]
    path: str = CHAT
    model: str = "bench"
    headers: tuple[tuple[str, str], ...] = ()
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    environment: Mapping[str, str] | None = None

    @property
    def is_process(self) -> bool:
        """Whether there is a process whose CPU can be read."""
        return bool(self.command)


def target(text: str) -> Target:
    """Return the target that `text` names: a known name, or NAME=COMMAND. Raises BadTarget."""
    name, has_command, command = text.partition("=")
    if has_command:
        return _command_target(name, command)
    if name == STREAMGAUGE:
        return _streamgauge()
    if name == NGINX:
        return _nginx()
    if name == DIRECT:
        return Target(DIRECT, ())
    known = f"{STREAMGAUGE}, {NGINX}, {DIRECT}"
    raise BadTarget(f"there is no target '{name}'; it must be {known} or NAME=COMMAND")


def find_nginx() -> str | None:
    """Return nginx' file: what `STREAMGAUGE_NGINX` names, else one on the PATH or where Debian has it."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_PATHS])
    return shutil.which(os.environ.get("STREAMGAUGE_NGINX", "nginx"), path=path)


def _streamgauge() -> Target:
    # The defaults, whatever configuration and keys the caller has: metering on, ledger on.
    sources = str(Path(__file__).parents[3])
    return Target(
        STREAMGAUGE,
        (
            *(sys.executable, "-m", "streamgauge", "serve"),
            *("--upstream", "openai={upstream}", "--port", "{port}"),
            *("--ledger", "sqlite:///{folder}/ledger.db"),
        ),
        environment=MappingProxyType(
            {
                "PATH": os.defpath,
                "HOME": "{folder}",
                "PYTHONPATH": sources,
                "OPENAI_API_KEY": "bench",
                # Served as by default, but where no other gateway's can be.
                "STREAMGAUGE_CONTROL__PORT": "0",
            }
        ),
    )


def _nginx() -> Target:
    program = find_nginx()
    if program is None:
        raise BadTarget("nginx is not installed; install it, or name its file in STREAMGAUGE_NGINX")
    return Target(
        NGINX,
        (program, "-e", "{folder}/error.log", "-c", "{folder}/nginx.conf", "-p", "{folder}"),
        files=MappingProxyType({"nginx.conf": _NGINX_CONFIG}),
    )


def _command_target(name: str, command: str) -> Target:
    if not name or name in (STREAMGAUGE, NGINX, DIRECT):
        raise BadTarget(f"'{name}=' needs a name of its own before the command")
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise BadTarget(f"{name}: the command cannot be split into words: {error}") from None
    if not words:
        raise BadTarget(f"{name}: there is no command after the '='")
    if not any("{port}" in word for word in words):
        raise BadTarget(
            f"{name}: the command must say {{port}} where it takes the port to listen on"
        )
    return Target(name, words)
