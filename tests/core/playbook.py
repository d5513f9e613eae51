"""Plays one exchange by hand: inputs with a clock of its own, and everything that came of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from streamgauge.core.actions import (
    Action,
    CloseUpstream,
    Commit,
    EndClient,
    OpenUpstream,
    SendAnswer,
    SendData,
    SendHead,
    SendRequest,
    WakeAt,
)
from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.chat import ChatRequest, DialectName, read_chat_request
from streamgauge.core.dialects.codecs import CLIENTS
from streamgauge.core.exchange import Exchange
from streamgauge.core.pricing import Price
from streamgauge.core.record import ExchangeRecord

__all__ = [
    "DONE",
    "FINISH",
    "MARK",
    "PRICE",
    "ROLE",
    "SSE",
    "START",
    "USAGE",
    "Play",
    "chat_request",
    "chunk",
    "request_of",
    "text",
]

START = 1000.0
STARTED_AT = 1_700_000_000_000_000
SSE = "text/event-stream; charset=utf-8"
PRICE = Price("config", "USD", input=3_000_000_000, output=15_000_000_000)


def chunk(**members: Any) -> bytes:
    """Return an OpenAI frame."""
    return b"data: " + json.dumps({"id": "c", "model": "m", **members}).encode() + b"\n\n"


def text(said: str) -> bytes:
    """Return an OpenAI frame with a piece of text."""
    return chunk(choices=[{"index": 0, "delta": {"content": said}}])


ROLE = chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
FINISH = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = chunk(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13})
DONE = b"data: [DONE]\n\n"
MARK = b": streamgauge "


def chat_request(
    endpoint: str = "chat/completions", *, stream: bool = True, **more: Any
) -> ChatRequest:
    """Return a request as the gateway reads it."""
    body = {"model": "m", "stream": stream, "messages": [], **more}
    return read_chat_request(endpoint, json.dumps(body).encode(), lambda name: None)


def request_of(client: DialectName, *, stream: bool = True, **more: Any) -> ChatRequest:
    """Return a request of a client's dialect that can be translated: one turn, usage asked for."""
    body = {"model": "asked", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    if client == "anthropic":
        raw = json.dumps({**body, "max_tokens": 100, **more}).encode()
        return read_chat_request("messages", raw, lambda name: None)
    options = {"stream_options": {"include_usage": True}} if stream else {}
    raw = json.dumps({**body, **options, **more}).encode()
    return read_chat_request("chat/completions", raw, lambda name: None, client)


class Play:
    """One exchange with `now` in seconds since its start. `log`: every action so far.

    An attempt with a `dialect` is translated: the conversation is read from the request. `others`:
    the attempts that may follow the first one.
    """

    def __init__(
        self,
        request: ChatRequest | None = None,
        *,
        kind: str = "openai",
        attempt: dict[str, Any] | None = None,
        others: Sequence[Attempt] = (),
        **facts: Any,
    ) -> None:
        built = Attempt("up", kind, "m", **(attempt or {}))
        asked = chat_request() if request is None else request
        told = {"metadata": "off", **facts}
        planned = (built, *others)
        if any(each.dialect is not None for each in planned):
            told.setdefault("conversation", CLIENTS[asked.dialect].read(asked.fields))
        self.facts = Facts("exchange-id-00001", "boot", STARTED_AT, asked, planned, "r", **told)
        self.exchange = Exchange(self.facts, START)
        self.log: list[Action] = []
        self.now = 0.0

    def do(self, name: str, *args: Any, at: float | None = None, **named: Any) -> list[Action]:
        """Give one input, at `at` seconds or now, and return its actions."""
        if at is not None:
            self.now = at
        actions: list[Action] = getattr(self.exchange, name)(*args, START + self.now, **named)
        self.log += actions
        return actions

    def look(self, name: str) -> Any:
        """Ask something of the exchange that is no input."""
        return getattr(self.exchange, name)(START + self.now)

    def connect(self) -> list[Action]:
        """Start, commit the open row and connect."""
        self.do("start")
        self.do("begun")
        return self.do("connected")

    def head(
        self, status: int = 200, content_type: str | None = SSE, wait: str | None = None
    ) -> None:
        """Connect, and let the head of an answer come."""
        self.connect()
        self.do("attempt_head", status, content_type, wait)

    def data(self, *pieces: bytes) -> None:
        """Let body bytes come, a read each, as the gateway gives them."""
        for piece in pieces:
            self.read(piece)

    def read(self, piece: bytes) -> list[Action]:
        """Let body bytes come as the gateway gives them: as what passes, where it does."""
        said = self.exchange.passes(piece, START + self.now)
        if said is None:
            return self.do("upstream_data", piece)
        self.log.append(SendData(said))
        return [SendData(said)]

    def stream(self, *pieces: bytes, end: str | None = None) -> None:
        """Connect and let a stream come, to its end where `end` names one."""
        self.head()
        self.data(*pieces)
        if end is not None:
            self.do("upstream_end", end)

    def answer(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        wait: str | None = None,
    ) -> None:
        """Connect and let a whole answer come."""
        self.head(status, content_type, wait)
        self.data(*([body] if body else []))
        self.do("upstream_end", "complete")

    # --- what came of it -------------------------------------------------------------------------

    def of(self, *kinds: type) -> list[Any]:
        """Return the actions of these kinds, in order."""
        return [action for action in self.log if isinstance(action, kinds)]

    @property
    def body(self) -> bytes:
        """What the client was sent of a stream."""
        return b"".join(action.data for action in self.of(SendData))

    @property
    def whole(self) -> SendAnswer:
        """The one answer that is no stream."""
        (answer,) = self.of(SendAnswer)
        assert isinstance(answer, SendAnswer)
        assert not self.of(SendHead, SendData, EndClient)
        return answer

    @property
    def row(self) -> ExchangeRecord:
        """The row, once it is closed."""
        (commit,) = self.of(Commit)
        assert isinstance(commit, Commit)
        assert self.log[-1] is commit
        return commit.record

    @property
    def told(self) -> str:
        """The client's side in a word each: head, data, answer, end."""
        words: dict[type, str] = {
            SendHead: "head",
            SendData: "data",
            SendAnswer: "answer",
            EndClient: "end",
        }
        return " ".join(words[type(a)] for a in self.log if type(a) in words)

    @property
    def closes(self) -> int:
        """How often the upstream was closed."""
        return len(self.of(CloseUpstream))

    @property
    def requests(self) -> list[bytes]:
        """The bodies sent upstream."""
        return [action.body for action in self.of(SendRequest)]

    @property
    def opens(self) -> int:
        """How many upstream calls were begun."""
        return len(self.of(OpenUpstream))

    @property
    def wakes(self) -> list[float]:
        """When the machine asked to be woken, in seconds since the start."""
        return [round(action.when - START, 6) for action in self.of(WakeAt)]


def last_payload(body: bytes) -> Any:
    """Return the JSON of the last data line of `body`."""
    lines: Sequence[bytes] = [line for line in body.split(b"\n") if line.startswith(b"data: ")]
    return json.loads(lines[-1][6:])
