"""Puts the maker's name before a model's, as OpenRouter wants it (SPEC §14.6, WIRE §7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ["OpenRouterPrefix"]

_MAKERS: Mapping[str, str] = {
    "claude-*": "anthropic",
    "gpt-*": "openai",
    "chatgpt-*": "openai",
    "o[134]*": "openai",
    "codex-*": "openai",
    "gemini-*": "google",
    "gemma-*": "google",
    "llama-*": "meta-llama",
    "mistral-*": "mistralai",
    "mixtral-*": "mistralai",
    "codestral-*": "mistralai",
    "devstral-*": "mistralai",
    "deepseek-*": "deepseek",
    "qwen*": "qwen",
    "grok-*": "x-ai",
    "glm-*": "z-ai",
    "kimi-*": "moonshotai",
}


@dataclass(frozen=True, slots=True)
class OpenRouterPrefix:
    """`prefix` for every model; without one, the maker's as far as the model's name tells it."""

    prefix: str | None = None

    def name(self, model: str) -> str:
        """Return the model's name there. One that has a prefix keeps it, as does an unknown one."""
        if "/" in model:
            return model
        maker = self.prefix or _maker(model)
        return model if maker is None else f"{maker.rstrip('/')}/{model}"


def _maker(model: str) -> str | None:
    fitting = (maker for glob, maker in _MAKERS.items() if fnmatchcase(model, glob))
    return next(fitting, None)
