"""The bytes both ends of the bench agree on: events that carry their number and send time. No sockets."""

from __future__ import annotations

import json
import re

__all__ = [
    "COMPLETION",
    "LAST",
    "MODELS",
    "STAMP",
    "chunk",
    "event_frame",
    "first_frames",
    "json_answer",
    "last_frames",
    "request",
]

STAMP = re.compile(rb"@(\d{8}):(\d{19})\.")
"""An event's number and send time in monotonic ns, in the text of the answer: the one field that every
gateway must pass on, whatever it does to the rest. Always of the same length."""

_CHUNK = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"bench","system_fingerprint":"fp_bench","choices":[{"index":0,"delta":%b,'
    b'"logprobs":null,"finish_reason":%b}]}\n\n'
)
_ROLE = _CHUNK % (b'{"role":"assistant","content":""}', b"null")
_EVENT = (_CHUNK % (b'{"content":"@0:1."}', b"null")).replace(b"@0:1.", b"@%08d:%019d.")
_FINISH = _CHUNK % (b"{}", b'"stop"')
_USAGE = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"bench","system_fingerprint":"fp_bench","choices":[],"usage":{"prompt_tokens":9,'
    b'"completion_tokens":%d,"total_tokens":%d}}\n\n'
)
_DONE = b"data: [DONE]\n\n"
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_PROMPT_TOKENS = 9
LAST = b"0\r\n\r\n"
"""The end of a chunked body."""


def chunk(body: bytes) -> bytes:
    """Return `body` as one chunk of a chunked body (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def _event_template() -> bytes:
    size = len(_EVENT % (0, 0))
    return b"%x\r\n" % size + _EVENT + b"\r\n"


_EVENT_CHUNK = _event_template()


def event_frame(number: int, sent_ns: int) -> bytes:
    """Return event `number` of a stream as one chunk, stamped with its send time in monotonic ns."""
    return _EVENT_CHUNK % (number, sent_ns)


def first_frames() -> bytes:
    """Return the head of a streamed answer and its role frame."""
    return _STREAM_HEAD + chunk(_ROLE)


def last_frames(events: int) -> bytes:
    """Return finish reason, usage, end marker and the end of the body of a stream of `events`."""
    usage = _USAGE % (events, events + _PROMPT_TOKENS)
    return chunk(_FINISH) + chunk(usage) + chunk(_DONE) + LAST


def json_answer(body: bytes) -> bytes:
    """Return a whole answer that is not streamed."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


COMPLETION = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"four words of answer"},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4,'
    b'"total_tokens":13}}'
)
MODELS = (
    b'{"object":"list","data":[{"id":"bench","object":"model","created":0,"owned_by":"bench"}]}'
)


def request(
    path: str, *, events: int, model: str = "bench", headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """Return a chat request that OpenAI's and Anthropic's endpoints both take; 0 `events`: not streamed.

    The number of events is asked for as the most tokens: a field that every gateway passes on.
    """
    body = json.dumps(
        {
            "model": model,
            "stream": events > 0,
            "max_tokens": events or 1,
            "messages": [{"role": "user", "content": "Count, and say when."}],
        }
    )
    lines = [
        f"POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
