"""The schema's complaints in our words, with place and suggestion. Shows no value of a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streamgauge.config.document import Document
from streamgauge.config.expand import Expanded
from streamgauge.config.positions import Path
from streamgauge.config.problems import Problem, did_you_mean, one_of, shown
from streamgauge.config.schema import Config
from streamgauge.config.unserved import known_keys

__all__ = ["problems_of"]

_MAX_DIGITS = 12


def problems_of(error: ValidationError, document: Document) -> list[Problem]:
    """Return one problem for each complaint in `error`, at its place in `document`."""
    details = error.errors(include_url=False, include_input=False)
    return [_problem(detail, document) for detail in details]


def _problem(detail: ErrorDetails, document: Document) -> Problem:
    path: Path = detail["loc"]
    explain = _EXPLANATIONS.get(detail["type"], _as_said)
    message = explain(path, detail.get("ctx", {}), document)
    return Problem.at(document.place_of(path), path, message or detail["msg"])


def _as_said(path: Path, ctx: dict[str, Any], document: Document) -> str:
    return str(ctx.get("text", ""))


def _unknown_key(path: Path, ctx: dict[str, Any], document: Document) -> str:
    if path[-1] == "<<":
        return "merging with << is not supported; write the keys out"
    section = _section_at(path[:-1])
    served = list(section.model_fields) if section else []
    hint = did_you_mean(path[-1], [*served, *known_keys(path[:-1])])
    return f"unknown key; must be {one_of(served)}{hint}"


def _wrong_word(path: Path, ctx: dict[str, Any], document: Document) -> str:
    words = re.findall(r"'([^']*)'|\b(True|False|\d+)\b", str(ctx["expected"]))
    allowed = [word or switch.lower() for word, switch in words]
    value = document.get(path)
    return f"must be {one_of(allowed)}{_got(value)}{_hint(value, allowed)}"


def _limit(phrase: str, name: str) -> Callable[[Path, dict[str, Any], Document], str]:
    def explain(path: Path, ctx: dict[str, Any], document: Document) -> str:
        bound = ctx[name]
        whole = int(bound) if bound == int(bound) else bound
        return f"must be {phrase} {whole}{_got(document.get(path))}"

    return explain


def _fixed(message: str) -> Callable[[Path, dict[str, Any], Document], str]:
    return lambda path, ctx, document: message


def _no_mapping(path: Path, ctx: dict[str, Any], document: Document) -> str:
    value = document.get(path)
    pair = isinstance(value, str) and re.match(r"\w+[:=](?!//)", value)
    hint = "; write a space behind the colon" if pair else ""
    return f"must be a mapping of keys to values{hint}"


def _no_list(path: Path, ctx: dict[str, Any], document: Document) -> str:
    if isinstance(document.get(path), dict):
        return "must be a list; write '- ' before each item, in TOML [[name]]"
    return "must be a list; write [item]"


_EXPLANATIONS = {
    "extra_forbidden": _unknown_key,
    "enum": _wrong_word,
    "literal_error": _wrong_word,
    "greater_than": _limit("more than", "gt"),
    "greater_than_equal": _limit("at least", "ge"),
    "less_than_equal": _limit("at most", "le"),
    "missing": _fixed("is required"),
    "model_type": _no_mapping,
    "model_attributes_type": _no_mapping,
    "dict_type": _no_mapping,
    "tuple_type": _no_list,
    "string_type": _fixed("must be text (in quotes if it looks like a number)"),
    "too_long": _fixed("has too many items; one is served"),
    "finite_number": _fixed("must be a finite number"),
}


def _got(value: Any) -> str:
    """Tell what was given, if it stands in the file and can be no secret."""
    if isinstance(value, bool):
        return f"; got {str(value).lower()}"
    if isinstance(value, (int, Decimal)) and len(str(value)) <= _MAX_DIGITS:
        return f"; got {value}"
    if isinstance(value, str) and not isinstance(value, Expanded) and shown(value):
        return f"; got '{value}'"
    return ""


def _hint(value: Any, allowed: Sequence[str]) -> str:
    visible = isinstance(value, str) and not isinstance(value, Expanded)
    return did_you_mean(value, allowed) if visible else ""


def _section_at(path: Path) -> type[BaseModel] | None:
    section: type[BaseModel] | None = Config
    for step in path:
        if isinstance(step, str) and section is not None:
            field = section.model_fields.get(step)
            section = _model_in(field.annotation) if field else None
    return section


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model), None)
