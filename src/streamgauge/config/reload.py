"""What of a new configuration can take effect in a running gateway (SPEC §2.6). Knows no gateway."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from streamgauge.config.fields import RESTART, Section
from streamgauge.config.load import Loaded, LoadOptions, load, version_of
from streamgauge.config.positions import Place
from streamgauge.config.problems import ConfigError, Problem
from streamgauge.config.schema import Config

__all__ = ["Reloaded", "reload", "restart_keys"]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A configuration that may take effect now.

    `needs_restart` names the keys whose new values were left aside. `changed` is False where
    everything is as it was, secrets included.
    """

    loaded: Loaded
    changed: bool
    needs_restart: tuple[str, ...]


def reload(options: LoadOptions, running: Config) -> Reloaded:
    """Read everything again and keep of `running` what holds until a restart. Raises ConfigError."""
    fresh = load(options)
    if not fresh.config.upstreams:
        place = Place.in_file(str(fresh.origin)) if fresh.origin else Place.flag("--upstream")
        raise ConfigError([Problem.at(place, ("upstreams",), "no upstream is configured")])
    config, needs_restart = _effective(fresh.config, running)
    version = version_of(config)
    loaded = replace(fresh, config=config, version=version)
    return Reloaded(loaded, config != running, needs_restart)


def restart_keys() -> tuple[str, ...]:
    """Return the keys that a reload leaves as they are, in the order of the schema."""
    return tuple(f"{section}.{key}" for section in _sections() for key in _fixed(section))


def _effective(fresh: Config, running: Config) -> tuple[Config, tuple[str, ...]]:
    """Lay the values of `running` that hold until a restart over `fresh`; name those that differ."""
    kept: dict[str, Section] = {}
    differ: list[str] = []
    for name in _sections():
        old, new = getattr(running, name), getattr(fresh, name)
        fixed = {key: getattr(old, key) for key in _fixed(name)}
        differ += [f"{name}.{key}" for key, value in fixed.items() if getattr(new, key) != value]
        kept[name] = new.model_copy(update=fixed)
    return fresh.model_copy(update=kept), tuple(differ)


def _sections() -> list[str]:
    return [name for name, field in Config.model_fields.items() if _is_section(field.annotation)]


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _fixed(section: str) -> list[str]:
    """Return the keys of a section that the schema marks as holding until a restart."""
    model: Any = Config.model_fields[section].annotation
    fields = model.model_fields.items()
    return [key for key, field in fields if field.json_schema_extra == RESTART]
