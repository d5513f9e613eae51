"""Puts the transformers of one upstream together, as its configuration says. Reads no request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from streamgauge.config.transformers import ON_BY_DEFAULT, Transformer
from streamgauge.core.transform.body import BodyTransformer, PromptTransformer
from streamgauge.core.transform.chain import Chain, TextTransform
from streamgauge.core.transform.max_tokens import MaxTokens
from streamgauge.core.transform.mid_system import MidSystem
from streamgauge.core.transform.num_ctx import NumCtx
from streamgauge.core.transform.openrouter_prefix import OpenRouterPrefix
from streamgauge.core.transform.reasoning import ReasoningOverride
from streamgauge.core.transform.sampling import SamplingOverrides
from streamgauge.core.transform.strip_attribution import StripAttribution
from streamgauge.core.transform.strip_cache_control import StripCacheControl
from streamgauge.core.transform.system_to_messages import SystemToMessages

__all__ = ["chain_of"]


def chain_of(kind: str, transformers: Sequence[Transformer]) -> Chain:
    """Return the chain of an upstream of `kind`: what is on by default, then its own, in order."""
    stated = {
        transformer.name: getattr(transformer, transformer.name) for transformer in transformers
    }
    defaults = {name: True for name in ON_BY_DEFAULT.get(kind, ()) if name not in stated}
    wanted = {name: value for name, value in (defaults | stated).items() if value is not False}
    steps = list(_steps(wanted))
    reasoning, prefix = wanted.get("reasoning"), wanted.get("openrouter_prefix")
    return Chain(
        prompt=tuple(step for step in steps if isinstance(step, PromptTransformer)),
        written=tuple(step for step in steps if not isinstance(step, PromptTransformer)),
        body=tuple(steps),
        model=None if prefix is None else OpenRouterPrefix(prefix.prefix).name,
        think_tags=reasoning is not None and reasoning.think_tags,
        tool_call_repair="tool_call_repair" in wanted,
        text=_markdown_html() if "markdown_html" in wanted else None,
        output=next((step for step in steps if isinstance(step, MaxTokens)), None),
    )


_STEPS: Mapping[str, Callable[[Any], BodyTransformer]] = {
    "system_to_messages": lambda given: SystemToMessages(given.role),
    "mid_system": lambda _: MidSystem(),
    "strip_attribution": lambda _: StripAttribution(),
    "strip_cache_control": lambda _: StripCacheControl(),
    "max_tokens": lambda given: MaxTokens(given.cap, given.default),
    "sampling": lambda given: SamplingOverrides(given.values, given.drop),
    "reasoning": lambda given: ReasoningOverride(given.enabled, given.effort, given.budget),
    "num_ctx": NumCtx,
}
"""What each makes of its parameters; the others change no request."""


def _steps(wanted: Mapping[str, Any]) -> Iterator[BodyTransformer]:
    for name, given in wanted.items():
        if name in _STEPS and (name != "reasoning" or given.asks):
            yield _STEPS[name](given)


def _markdown_html() -> Callable[[], TextTransform]:
    # Needs an extra, which only those install who ask for it.
    from streamgauge.core.transform.markdown_html import MarkdownHtml

    return MarkdownHtml
