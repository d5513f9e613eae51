"""Whole requests of both dialects that use everything, and every way to write one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from streamgauge.config.transformer_chain import chain_of
from streamgauge.core.conversation import Conversation
from streamgauge.core.dialects.anthropic.read_request import read_conversation as read_anthropic
from streamgauge.core.dialects.anthropic.write_request import write_request as write_anthropic
from streamgauge.core.dialects.base import Wish, Written
from streamgauge.core.dialects.ollama.write_request import write_request as write_ollama
from streamgauge.core.dialects.openai.read_request import read_conversation as read_openai
from streamgauge.core.dialects.openai.write_request import write_request as write_openai

RECORDED = Path(__file__).parents[2] / "data" / "recorded"
MARK = {"type": "ephemeral"}
PNG = "iVBORw0KGgo="

Write = Callable[[Conversation, Wish], Written]

WRITERS: Mapping[str, tuple[str, str, Write]] = {
    "openai": ("openai", "gpt-4o", write_openai),
    "openai (thinking model)": ("openai", "gpt-5", write_openai),
    "openrouter": ("openrouter", "m", write_openai),
    "llamacpp": ("llamacpp", "m", write_openai),
    "vllm": ("vllm", "m", write_openai),
    "sim": ("sim", "m", write_openai),
    "ollama": ("ollama", "m", write_ollama),
    "ollama (OpenAI route)": ("ollama", "m", write_openai),
    "anthropic": ("anthropic", "m", write_anthropic),
    "anthropic (since 4.7)": ("anthropic", "claude-opus-4-8", write_anthropic),
}
"""Column of the documentation's table to kind, model and writer."""


def write(target: str, conversation: Conversation) -> Written:
    """Write `conversation` for a target as the gateway does by default."""
    kind, model, writer = WRITERS[target]
    return writer(chain_of(kind, ()).conversation(conversation), Wish(kind, model, True))


def read(path: str, body: Mapping[str, Any]) -> Conversation:
    """Read a request by the path it came on."""
    if path.startswith("/v1/messages"):
        return read_anthropic(body, counting="count_tokens" in path)
    return read_openai(body)


def recorded() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield file name, path and body of each recorded request that has one."""
    for file in sorted(RECORDED.glob("*.jsonl")):
        for number, line in enumerate(file.read_text().splitlines()):
            request = json.loads(line)
            if request["body"]:
                yield f"{file.stem}[{number}]", request["path"], request["body"]


def full_anthropic() -> dict[str, Any]:
    """Return an Anthropic request that uses everything which can be carried or lost."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    text_file = {"type": "text", "media_type": "text/plain", "data": "file"}
    return {
        "model": "m",
        "max_tokens": 4000,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: v=1"},
            {"type": "text", "text": "be good", "cache_control": MARK},
        ],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi", "citations": [{"type": "x"}]},
                    image,
                    {
                        "type": "document",
                        "source": text_file,
                        "title": "T",
                        "context": "C",
                        "citations": {"enabled": True},
                    },
                    {
                        "type": "search_result",
                        "source": "s",
                        "title": "t",
                        "content": [{"type": "text", "text": "found"}],
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "S"},
                    {"type": "redacted_thinking", "data": "R"},
                    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                    {"type": "text", "text": "let me see"},
                    {"type": "tool_use", "id": "t1", "name": "ls", "input": {"p": "."}},
                    {"type": "tool_use", "id": "t2", "name": "cat", "input": {}},
                ],
            },
            {"role": "system", "content": "mid"},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t2",
                        "is_error": True,
                        "content": "bad",
                    },
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": [{"type": "text", "text": "a"}, image],
                    },
                    {"type": "text", "text": "go on"},
                ],
            },
        ],
        "tools": [
            {
                "name": "ls",
                "description": "lists",
                "input_schema": {"type": "object"},
                "strict": True,
                "defer_loading": True,
            },
            {"name": "cat", "input_schema": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "tool_choice": {"type": "tool", "name": "ls", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "output_config": {
            "format": {"type": "json_schema", "schema": {"type": "object"}},
            "task_budget": {"a": 1},
        },
        "stop_sequences": ["a", "b", "c", "d", "e"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "metadata": {"user_id": "ann"},
        "service_tier": "standard_only",
        "cache_control": MARK,
        "container": "c",
        "context_management": {"edits": []},
        "diagnostics": {"a": 1},
        "inference_geo": "eu",
        "mcp_servers": [{"a": 1}],
        "speed": "fast",
        "something_new": 1,
        "stream": True,
    }


def full_openai() -> dict[str, Any]:
    """Return an OpenAI request that uses everything which can be carried or lost."""
    image = {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"},
    }
    text_file = {
        "type": "file",
        "file": {"file_data": "data:text/plain;base64,YQ==", "filename": "a.txt"},
    }
    function = {
        "name": "ls",
        "description": "lists",
        "parameters": {"type": "object"},
        "strict": True,
    }
    return {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be good"},
            {
                "role": "user",
                "name": "Ann",
                "content": [
                    {"type": "text", "text": "hi", "cache_control": MARK},
                    image,
                    text_file,
                ],
            },
            {
                "role": "assistant",
                "content": "let me see",
                "audio": {"id": "a"},
                "reasoning": "hm",
                "reasoning_details": [
                    {"type": "reasoning.summary", "summary": "hm"},
                    {"type": "reasoning.text", "text": "so", "signature": "S"},
                    {"type": "reasoning.encrypted", "data": "R"},
                ],
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "ls", "arguments": "no JSON"},
                    },
                    {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "select"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "out"},
            {"role": "tool", "tool_call_id": "c2", "content": "out"},
            {"role": "developer", "content": "mid"},
            {"role": "user", "content": "go on"},
        ],
        "tools": [
            {"type": "function", "function": function},
            {"type": "custom", "custom": {"name": "sql"}},
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "max_completion_tokens": 4000,
        "reasoning_effort": "high",
        "response_format": {"type": "json_object"},
        "temperature": 1.5,
        "top_p": 0.9,
        "top_k": 4,
        "seed": 5,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.5,
        "stop": ["a", "b", "c", "d"],
        "user": "ann",
        "audio": {"voice": "x"},
        "logit_bias": {"5": 1},
        "logprobs": True,
        "modalities": ["text", "audio"],
        "moderation": {"a": 1},
        "prediction": {"a": 1},
        "service_tier": "flex",
        "verbosity": "low",
        "web_search_options": {"a": 1},
        "something_new": 1,
        "stream": True,
    }
