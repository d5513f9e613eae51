"""The usage and timings objects of each server, and what they state. No frames here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from streamgauge.core.usage import TokenUsage
from streamgauge.tools.simulator.flavours import Flavour
from streamgauge.tools.simulator.plan import Plan

__all__ = [
    "anthropic_delta_usage",
    "anthropic_start_usage",
    "ollama_counts",
    "openai_usage",
    "stated_anthropic",
    "stated_ollama",
    "stated_openai",
    "stated_responses",
    "timings",
]

_INPUT_PRICE = Decimal("0.0000002")
_OUTPUT_PRICE = Decimal("0.0000008")
_LOAD_NS = 10_000_000
"""Nanoseconds that loading the model is said to have taken."""
_PARTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def openai_usage(flavour: Flavour, plan: Plan, completion: int) -> dict[str, Any]:
    """Return the usage of `completion` output tokens, the control's own values laid over it."""
    usage: dict[str, Any] = {
        "completion_tokens": completion,
        "prompt_tokens": plan.prompt,
        "total_tokens": plan.prompt + completion,
    }
    reasoning = len(plan.reasoning) * plan.choices
    match flavour:
        case Flavour.LLAMACPP:
            usage["prompt_tokens_details"] = {"cached_tokens": plan.cached}
        case Flavour.OLLAMA:
            pass  # no parts at all
        case Flavour.VLLM:
            if plan.cached:
                usage["prompt_tokens_details"] = {"cached_tokens": plan.cached}
            if reasoning:
                usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
        case _:
            usage["prompt_tokens_details"] = {"cached_tokens": plan.cached, "audio_tokens": 0}
            usage["completion_tokens_details"] = {"reasoning_tokens": reasoning, "audio_tokens": 0}
    if flavour is Flavour.OPENROUTER:
        usage |= _openrouter_cost(plan.prompt, completion)
    return _laid_over(usage, plan.stated)


def _laid_over(usage: dict[str, Any], stated: dict[str, Any]) -> dict[str, Any]:
    """Return `usage` with the stated values; the total follows the parts unless stated too."""
    merged = usage | stated
    prompt, completion = _count(merged["prompt_tokens"]), _count(merged["completion_tokens"])
    if "total_tokens" not in stated and prompt is not None and completion is not None:
        merged["total_tokens"] = prompt + completion
    return merged


def _openrouter_cost(prompt: int, completion: int) -> dict[str, Any]:
    read, written = prompt * _INPUT_PRICE, completion * _OUTPUT_PRICE
    details = {
        "upstream_inference_cost": None,
        "upstream_inference_prompt_cost": float(read),
        "upstream_inference_completions_cost": float(written),
    }
    return {"cost": float(read + written), "is_byok": False, "cost_details": details}


def timings(plan: Plan, predicted: int) -> dict[str, Any]:
    """Return llama.cpp's timings after `predicted` tokens; rates count gaps (WIRE.md §6.5)."""
    usage = stated_openai(plan.stated)
    predicted = predicted if usage.output is None else usage.output
    prompt = (plan.prompt if usage.input is None else usage.input) - plan.cached
    gaps = predicted - 1
    took = plan.ms_per_token * gaps if gaps > 0 else 0.001
    return {
        "cache_n": plan.cached,
        "prompt_n": prompt,
        "prompt_ms": plan.prompt_ms,
        "prompt_per_token_ms": plan.prompt_ms / prompt if prompt > 0 else 0.0,
        "prompt_per_second": 1e3 * prompt / plan.prompt_ms,
        "predicted_n": predicted,
        "predicted_ms": took,
        "predicted_per_token_ms": took / gaps if gaps > 0 else 0.0,
        "predicted_per_second": 1e3 * gaps / took if gaps > 0 else 0.0,
    }


def anthropic_start_usage(flavour: Flavour, plan: Plan) -> dict[str, Any]:
    """Return `message_start`'s usage, whose output count is a placeholder (WIRE.md §4.5)."""
    if flavour is Flavour.OLLAMA:  # an estimate: the count comes with the end
        estimate = {"input_tokens": plan.prompt + 1, "output_tokens": 0}
        return estimate | {k: v for k, v in plan.stated.items() if k in _PARTS}
    fresh = plan.prompt - plan.cached
    usage: dict[str, Any] = {"cache_read_input_tokens": plan.cached, "input_tokens": fresh}
    if flavour is Flavour.LLAMACPP:
        usage["output_tokens"] = 0
    else:
        usage |= {"cache_creation_input_tokens": 0, "output_tokens": 1, "service_tier": "standard"}
    return usage | {k: v for k, v in plan.stated.items() if k in _PARTS}


def anthropic_delta_usage(flavour: Flavour, plan: Plan) -> dict[str, Any]:
    """Return `message_delta`'s usage: the final output count, and what the control states."""
    usage: dict[str, Any] = {"output_tokens": plan.each}
    if flavour is Flavour.OLLAMA:
        usage = {"input_tokens": plan.prompt} | usage
    elif plan.reasoning and flavour is not Flavour.LLAMACPP:
        usage["output_tokens_details"] = {"thinking_tokens": len(plan.reasoning)}
    return usage | plan.stated


def ollama_counts(plan: Plan) -> dict[str, Any]:
    """Return the counts and durations of a last line, in nanoseconds; what is 0 is left out.

    Where the whole prompt was cached there is no count of it either.
    """
    prompt = 0 if plan.cached == plan.prompt else plan.prompt
    prompt_ns, eval_ns = int(plan.prompt_ms * 1e6), int(plan.ms_per_token * 1e6) * plan.each
    counts = {
        "total_duration": _LOAD_NS + prompt_ns + eval_ns,
        "load_duration": _LOAD_NS,
        "prompt_eval_count": prompt,
        "prompt_eval_duration": prompt_ns,
        "eval_count": plan.each,
        "eval_duration": eval_ns,
    }
    return {key: count for key, count in counts.items() if count} | plan.stated


def stated_ollama(counts: dict[str, Any]) -> TokenUsage:
    """Return the counts that Ollama's last line states."""
    return TokenUsage(_count(counts.get("prompt_eval_count")), _count(counts.get("eval_count")))


def stated_openai(usage: dict[str, Any]) -> TokenUsage:
    """Return the counts that an OpenAI usage object states."""
    return TokenUsage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def stated_responses(usage: dict[str, Any]) -> TokenUsage:
    """Return the counts that a Responses usage object states."""
    return TokenUsage(_count(usage.get("input_tokens")), _count(usage.get("output_tokens")))


def stated_anthropic(start: dict[str, Any], delta: dict[str, Any]) -> TokenUsage:
    """Return the counts of both Anthropic usage objects; input is the sum of its three parts."""
    merged = start | delta
    parts = [n for n in (_count(merged.get(key)) for key in _PARTS) if n is not None]
    return TokenUsage(sum(parts) if parts else None, _count(delta.get("output_tokens")))


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
