"""Sets Ollama's context size with each request (SPEC §14.6). It knows no model's own limit."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.core.transform.body import Changes, Form, Members

__all__ = ["NumCtx"]


@dataclass(frozen=True, slots=True)
class NumCtx:
    """`options.num_ctx` in tokens. Only Ollama's own API has it: its OpenAI route has no options."""

    tokens: int

    def change(self, body: Members, form: Form) -> Changes:
        """Return the options with the size, for a body of Ollama's own API."""
        if form.dialect != "ollama":
            return {}
        options = body.get("options")
        given = options if isinstance(options, dict) else {}
        return {"options": {**given, "num_ctx": self.tokens}}
