"""A gateway with three simulated upstreams and the traffic of a busy day, for whoever looks at the dashboard."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from streamgauge.tools.simulator import Simulator

from .process import GatewayProcess, closed_rows, serving
from .stand import Answer, Client

__all__ = ["HOSTILE", "World", "world"]

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
HOSTILE = "<img src=x onerror=window.pwned=1><script>window.pwned=2</script>"
"""Put wherever a client or an upstream chooses a text. As markup it would set `window.pwned`."""

CLAUDE_CODE = "claude-cli/2.1.4 (external, cli)"
OPENCODE = "opencode/1.0.12"
SDK = "OpenAI/Python 2.8.0"


@dataclass
class World:
    """A running gateway, its upstreams and how many rows it must have."""

    gateway: GatewayProcess
    folder: Path
    simulators: Sequence[Simulator]
    expected: int = 0
    keys: dict[str, str] = field(default_factory=dict)
    _talks: list[asyncio.Task[Any]] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """Where the dashboard is."""
        return f"http://127.0.0.1:{self.gateway.control_port}"

    async def ask(self, model: str, *, path: str = CHAT, sim: Any = None, **headers: str) -> Answer:
        """Send one streaming request and read its answer."""
        self.expected += 1
        return await self.gateway.ask(path, body(model, path, dict(sim or {})), **headers)

    async def leave(self, model: str, frames: int, *, sim: Any = None, **headers: str) -> None:
        """Begin a stream and go after so many chunks of it."""
        self.expected += 1
        async with self.gateway.client() as client:
            await client.post(CHAT, body(model, CHAT, dict(sim or {})), **headers)
            await client.head()
            for _ in range(frames):
                await client.chunk()

    async def begin(
        self, model: str, *, path: str = CHAT, sim: Any = None, **headers: str
    ) -> asyncio.Task[None]:
        """Start a stream that goes on; its task reads it."""
        self.expected += 1
        opened = asyncio.open_connection("127.0.0.1", self.gateway.port, limit=1 << 22)
        client = Client(*await opened)
        await client.post(path, body(model, path, dict(sim or {})), **headers)
        talk = asyncio.create_task(_drink(client))
        self._talks.append(talk)
        return talk

    async def make_key(self, label: str, **limits: Any) -> None:
        """Make a client key that `play` and `holding` use; it goes on in a later world on its ledger."""
        async with httpx.AsyncClient(base_url=self.origin) as client:
            answer = await client.post("/admin/api/v1/keys", json={"label": label, **limits})
        self.keys[label] = answer.raise_for_status().json()["key"]

    def holding(self, label: str) -> dict[str, str]:
        """Return the header that shows the key `label`; none without such a key."""
        key = self.keys.get(label)
        return {} if key is None else {"authorization": f"Bearer {key}"}

    async def settle(self) -> list[dict[str, Any]]:
        """Wait until every exchange so far is closed; return the rows."""
        return await closed_rows(self.folder, self.expected)

    async def hang_up(self) -> None:
        """End what still goes on."""
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def play(self) -> None:
        """Play one of each: sessions, tools, cuts, refusals, fallbacks, estimates, every dialect."""
        await asyncio.gather(self._coding(), self._chatting(), self._trouble())

    async def _coding(self) -> None:
        grown = itertools.count(900, 2600)
        for turn in range(9):
            read = next(grown)
            sim = {"tokens": 36 + 9 * turn, "gap_ms": 3, "first_ms": 20, "cached": int(read * 0.8)}
            usage = {"input_tokens": read // 5, "cache_read_input_tokens": read * 4 // 5}
            sim = {**sim, "usage": {**usage, "output_tokens": 36 + 9 * turn}}
            session = {"x_claude_code_session_id": "7b1d9c52-checkout-refactor"}
            session |= self.holding("anna")
            await self.ask(
                "claude-sonnet-4-5", path=MESSAGES, sim=sim, user_agent=CLAUDE_CODE, **session
            )

    async def _chatting(self) -> None:
        for turn in range(8):
            sim = {
                "tokens": 30 + 5 * turn,
                "gap_ms": 4,
                "first_ms": 30,
                "reasoning": 6 * (turn % 3),
            }
            sim |= {"prompt": 60 + 70 * turn, "cached": 280 * turn}
            session = {"x_streamgauge_session": "docs-assistant", "user_agent": OPENCODE}
            await self.ask("qwen3-32b", sim=sim, **session)
        for _ in range(4):
            sim = {"tokens": 24, "gap_ms": 2}
            await self.ask("gpt-5-mini", sim=sim, user_agent=SDK, **self.holding("nightly jobs"))

    async def _trouble(self) -> None:
        await self.ask("qwen3-32b", sim={"fault": "cut", "after": 9, "gap_ms": 2}, user_agent=SDK)
        await self.ask("steady", sim={"tokens": 20, "gap_ms": 2}, user_agent=OPENCODE)
        await self.ask("qwen3-32b", sim={"tokens": 22, "usage": "none", "gap_ms": 2})
        await self.ask("gpt-5-mini", sim={"fault": "http_429"}, user_agent=SDK)
        await self.ask("local/llama-guard", sim={"fault": "error_mid", "after": 5})
        await self.ask("qwen3-32b", sim={"fault": "double_done", "tokens": 12})
        await self.leave("qwen3-32b", 6, sim={"tokens": 400, "gap_ms": 8}, user_agent=SDK)
        sim = {"tokens": 6, "gap_ms": 260}
        await self.ask("qwen3-32b", sim=sim, user_agent=CLAUDE_CODE)


async def _drink(client: Client) -> None:
    try:
        await client.head()
        while await client.chunk():
            pass
    finally:
        client.abort()


def body(model: str, path: str, sim: dict[str, Any]) -> dict[str, Any]:
    """Return a streaming request."""
    words = " ".join(["how does this river rise"] * sim.pop("prompt", 40))
    asked: dict[str, Any] = {
        "model": model,
        "stream": True,
        "messages": [{"role": "user", "content": words}],
        "sim": sim,
    }
    return asked | ({"max_tokens": 1024} if path == MESSAGES else {})


def _config(folder: Path, simulators: Sequence[Simulator], more: dict[str, Any]) -> dict[str, Any]:
    local, cloud, claude = simulators
    return {
        "upstreams": [
            {
                "name": "local",
                "kind": "llamacpp",
                "base_url": local.url,
                "models": ["qwen3-32b", "llama-guard", "<*"],
            },
            {"name": "cloud", "kind": "sim", "base_url": cloud.url, "models": ["gpt-5-mini"]},
            {"name": "claude", "kind": "sim", "base_url": claude.url, "models": ["claude-*"]},
            {"name": "flaky", "kind": "sim", "base_url": f"{cloud.url}/fault/http_503"},
        ],
        "routing": {
            "breaker": {"failures": 1000},
            "models": [{"match": "steady", "to": ["flaky/gpt-5-mini", "cloud/gpt-5-mini"]}],
        },
        "prices": [
            {
                "upstream": "cloud",
                "input": 0.25,
                "output": 2,
                "cache_read": 0.025,
                "currency": "USD",
            },
            {
                "upstream": "claude",
                "input": 3,
                "output": 15,
                "cache_read": 0.3,
                "cache_write": 3.75,
                "currency": "USD",
            },
            {
                "upstream": "local",
                "model": "qwen3*",
                "input": 0,
                "output": 0,
                "fee": 21,
                "currency": "sat",
            },
        ],
        "keys": {"required": False},
        "capture": {"dir": str(folder / "captures"), "routes": ["models:cloud"]},
        "server": {"max_streams": 400},
        "metadata": "off",
        **more,
    }


@contextlib.asynccontextmanager
async def world(folder: Path, **more: Any) -> AsyncIterator[World]:
    """Run the gateway and its upstreams. `more`: further sections of the configuration."""
    async with contextlib.AsyncExitStack() as stack:
        simulators = []
        for flavour in ("llamacpp", "openai", "anthropic"):
            simulator = Simulator()
            await simulator.start(flavour=flavour)
            stack.push_async_callback(simulator.aclose)
            simulators.append(simulator)
        config = _config(folder, simulators, more)
        running = serving(folder, simulators[0], config=config, control=0)
        gateway = await stack.enter_async_context(running)
        built = World(gateway, folder, simulators)
        stack.push_async_callback(built.hang_up)
        yield built
