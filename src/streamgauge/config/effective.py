"""The settings in force, each with where it came from. Shows no secret and reads no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from streamgauge.config.fields import RESTART, Section
from streamgauge.config.load import Loaded
from streamgauge.config.positions import Path, Place, path_text

__all__ = ["MASK", "Setting", "settings_of"]

MASK = "********"
_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `value` as JSON has it, None where there is none, MASK for any secret.

    `origin`: `file:line:column`, `environment:NAME`, a flag, or `default`; where single items of a
    list were overridden, all of these. `reload`: whether it follows a reload (SPEC §2.6).
    """

    path: str
    value: Any
    origin: str
    reload: bool


def settings_of(loaded: Loaded) -> list[Setting]:
    """Return every setting of `loaded`, in the order of the schema."""
    return [
        Setting(path_text(path), value, _origin(path, loaded.origins), reload)
        for path, value, reload in _leaves(loaded.config, ())
    ]


def _leaves(section: Section, at: Path) -> Iterator[tuple[Path, Any, bool]]:
    plain = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        value, path = getattr(section, name), (*at, name)
        match value:
            case Section():
                yield from _leaves(value, path)
            case (Section(), *_):
                for index, item in enumerate(value):
                    yield from _leaves(item, (*path, index))
            case dict() if value:
                yield from (((*path, key), _shown(item), True) for key, item in value.items())
            case _:
                shown = _shown(value) if isinstance(value, SecretStr) else plain[name]
                yield path, shown, field.json_schema_extra != RESTART


def _shown(value: Any) -> Any:
    return MASK if isinstance(value, SecretStr) else value


def _origin(path: Path, origins: Mapping[Path, Place]) -> str:
    if path not in origins:
        return _DEFAULT
    overrides = {
        place
        for other, place in origins.items()
        if other[: len(path)] == path and place.rank > origins[path].rank
    }
    return ", ".join(str(place) for place in sorted({origins[path], *overrides}))
