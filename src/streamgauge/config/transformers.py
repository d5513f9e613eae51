"""The `transformers` of an upstream: which, in which order, how set. Knows no request (SPEC §14.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from streamgauge.config.expand import Expanded
from streamgauge.config.fields import Count, Section, Switch, Text, refuse
from streamgauge.config.problems import did_you_mean, one_of
from streamgauge.config.yaml_reader import plain_scalar

__all__ = ["ON_BY_DEFAULT", "Transformer", "Transformers"]

ON_BY_DEFAULT: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("llamacpp", "ollama", "vllm"), ("strip_attribution", "mid_system")
)
"""By kind of upstream; a leading minus switches one off."""
_EFFORTS = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
_SHAPE = "must be a name, or one name with its parameters"


def _number(value: Any) -> float:
    value = plain_scalar(value.strip()) if isinstance(value, Expanded) else value
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return float(value)
    raise refuse("must be a number")


Number = Annotated[float, BeforeValidator(_number)]
Tokens = Annotated[Count, Field(ge=1)]


class SystemRole(Section):
    """How the system prompt is said as a message."""

    role: Literal["user", "system"] = Field(default="user", description="Who says it.")


class TokenBounds(Section):
    """How long an answer may become, in tokens."""

    cap: Tokens | None = Field(default=None, description="Most tokens that are asked for.")
    default: Tokens | None = Field(
        default=None, description="What is asked for where the client states nothing."
    )

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.cap is None and self.default is None:
            raise refuse("needs cap, default or both")
        return self


class Sampling(Section):
    """How answers are drawn, whatever the client says."""

    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    top_k: Count | None = None
    seed: Count | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    stop: tuple[Annotated[str, Field(min_length=1)], ...] | None = None
    drop: tuple[
        Literal[
            "temperature",
            "top_p",
            "top_k",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "stop",
        ],
        ...,
    ] = Field(default=(), description="Settings that are never sent.")

    @property
    def values(self) -> dict[str, Any]:
        """The settings that are stated."""
        return self.model_dump(exclude_none=True, exclude={"drop"})

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        both = sorted(set(self.drop) & set(self.values))
        if both:
            raise refuse(f"sets and drops {both[0]}; keep one")
        if not self.values and not self.drop:
            raise refuse("needs a setting, such as {temperature: 0.2}")
        return self


class Reasoning(Section):
    """How much the model shall think, and where its answer says what it thought."""

    enabled: Switch | None = Field(default=None, description="Whether it thinks at all.")
    effort: _EFFORTS | None = Field(default=None, description="How much, in a word.")
    budget: Tokens | None = Field(default=None, description="How much, in tokens.")
    drop: Switch = Field(default=False, description="true: nothing is said of it to the upstream.")
    think_tags: Switch = Field(
        default=False, description="true: text in <think> tags becomes reasoning."
    )

    @property
    def asks(self) -> bool:
        """Whether requests are changed."""
        return self.drop or (self.enabled, self.effort, self.budget) != (None, None, None)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        stated = (self.enabled, self.effort, self.budget) != (None, None, None)
        if self.drop and stated:
            raise refuse("drop stands alone, without enabled, effort and budget")
        if self.enabled is False and (self.effort is not None or self.budget is not None):
            raise refuse("enabled: false stands alone, without effort and budget")
        if not self.asks and not self.think_tags:
            raise refuse("needs a parameter, such as {think_tags: true}")
        return self


class Prefix(Section):
    """What stands before a model's name at OpenRouter."""

    prefix: Text | None = Field(
        default=None, description="For every model; left out: the maker's, by the model's name."
    )


class Transformer(BaseModel):
    """One transformer with its parameters: exactly one member is set."""

    model_config = Section.model_config

    system_to_messages: SystemRole | None = None
    mid_system: Switch | None = None
    strip_attribution: Switch | None = None
    strip_cache_control: Switch | None = None
    max_tokens: TokenBounds | None = None
    sampling: Sampling | None = None
    reasoning: Reasoning | None = None
    openrouter_prefix: Prefix | None = None
    tool_call_repair: Switch | None = None
    markdown_html: Switch | None = None
    num_ctx: Tokens | None = None

    @property
    def name(self) -> str:
        """Which one it is."""
        return next(iter(self.model_fields_set))

    @model_serializer
    def _as_written(self) -> Any:
        value = getattr(self, self.name)
        if isinstance(value, bool):
            return self.name if value else f"-{self.name}"
        told = value.model_dump(exclude_defaults=True) if isinstance(value, Section) else value
        return {self.name: told} if told else self.name

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        if self.markdown_html and find_spec("markdown_it") is None:
            raise refuse("markdown_html needs the extra: pip install 'streamgauge[markdown]'")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        whole = handler.resolve_ref_schema(handler(core_schema))
        off = sorted({f"-{name}" for names in ON_BY_DEFAULT.values() for name in names})
        object_form = {**whole, "minProperties": 1, "maxProperties": 1}
        return {"oneOf": [{"enum": [*_NAMED, *off]}, object_form]}


_NAMES = tuple(Transformer.model_fields)
_SWITCHES = frozenset(
    {"mid_system", "strip_attribution", "strip_cache_control", "tool_call_repair", "markdown_html"}
)
"""Those without parameters."""
_NAMED = tuple(
    name for name in _NAMES if name not in ("max_tokens", "sampling", "reasoning", "num_ctx")
)
"""Those that need no parameter."""


def _item(value: Any) -> Any:
    if isinstance(value, str):
        return _named(value)
    if isinstance(value, Transformer) or (isinstance(value, dict) and len(value) == 1):
        return value
    raise refuse(_SHAPE)


def _named(text: str) -> Any:
    name = text.strip().removeprefix("-")
    if name not in _NAMES:
        hint = "" if isinstance(text, Expanded) else did_you_mean(name, _NAMES)
        raise refuse(f"no such transformer; must be {one_of(_NAMES)}{hint}")
    if text.strip() == name:
        return {name: True if name in _SWITCHES else {}}
    defaults = sorted({name for names in ON_BY_DEFAULT.values() for name in names})
    if name not in defaults:
        raise refuse(f"only {' and '.join(defaults)} are ever on by default; leave it out")
    return {name: False}


def _once_each(transformers: tuple[Transformer, ...]) -> tuple[Transformer, ...]:
    names = [transformer.name for transformer in transformers]
    twice = _first_twice(names)
    if twice is not None:
        raise refuse(f"names {twice} twice; keep one")
    return transformers


def _first_twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


Transformers = Annotated[
    tuple[Annotated[Transformer, BeforeValidator(_item)], ...], AfterValidator(_once_each)
]
