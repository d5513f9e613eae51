"""From files, environment and flags to one checked configuration (SPEC §2.1 to §2.3)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streamgauge.config.checks import cross_problems, host_warnings, literal_key_warnings
from streamgauge.config.document import Document
from streamgauge.config.environment import (
    Flag,
    apply_admin_token,
    apply_environment,
    apply_flags,
)
from streamgauge.config.expand import expand_document
from streamgauge.config.explain import problems_of
from streamgauge.config.otel_environment import apply_otel_variables
from streamgauge.config.positions import Path as PathOfValue
from streamgauge.config.positions import Place
from streamgauge.config.problems import ConfigError, Problem
from streamgauge.config.schema import Config
from streamgauge.config.toml_reader import read_toml
from streamgauge.config.unserved import drop_unserved, known_keys
from streamgauge.config.upstream import Kind
from streamgauge.config.watch import Stamp, stamp_of
from streamgauge.config.yaml_reader import read_yaml
from streamgauge.config.zero import add_upstream_flags, add_upstreams_from_keys

__all__ = ["LoadOptions", "Loaded", "find_file", "load", "read_document", "version_of"]

_NAMES = ("streamgauge.yaml", "streamgauge.yml", "streamgauge.toml")
_VARIABLE = "STREAMGAUGE_CONFIG"
_MAX_BYTES = 4 * 1024 * 1024
"""A configuration is some kilobytes; a path that names a database or a device stops here."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What the command line says, and the surroundings it says it in.

    `upstreams`: the values of `--upstream`. `flags`: other settings; they win over variables,
    which win over the file.
    """

    config: Path | None = None
    upstreams: tuple[str, ...] = field(default=(), repr=False)
    flags: tuple[Flag, ...] = ()
    insecure_no_auth: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    cwd: Path | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration, the file it came from, lines worth a warning, and its version.

    `origins`: the places of the values that were given; what is missing there is a default.
    `version`: the first 12 hex digits of the SHA-256 of the settings without their secrets.
    `stamp`: of the file, from just before it was read.
    """

    config: Config
    origin: Path | None
    warnings: list[str]
    version: str
    origins: Mapping[PathOfValue, Place] = field(default_factory=dict, repr=False)
    stamp: Stamp = None


def load(options: LoadOptions) -> Loaded:
    """Find, read, merge, expand and check. Raises ConfigError with every problem found."""
    origin, place = find_file(options)
    stamp = _stamp((options.cwd or Path()) / origin) if origin else None
    document = read_document(origin, place, options.cwd) if origin else Document("configuration")
    problems = [*document.problems, *_merge(document, options, has_file=origin is not None)]
    document.root, more, literals = expand_document(document, options.environ)
    document.root = _without_nulls(document.root)
    warnings = literal_key_warnings(document, literals) + host_warnings(document)
    problems += more
    problems += drop_unserved(document)
    config = _validated(document, problems, options)
    return Loaded(config, origin, warnings, version_of(config), document.origins(), stamp)


def find_file(options: LoadOptions) -> tuple[Path | None, Place | None]:
    """Return the first file of SPEC §2.1's search order, and who named it if it was named."""
    environ = options.environ
    if options.config is not None:
        return options.config, None
    if named := environ.get(_VARIABLE):
        return Path(named), Place.variable(_VARIABLE)
    folders = [Path()]
    if base := environ.get("XDG_CONFIG_HOME"):
        folders.append(Path(base) / "streamgauge")
    elif home := environ.get("HOME"):
        folders.append(Path(home) / ".config" / "streamgauge")
    candidates = (folder / name for folder in folders for name in _NAMES)
    here = options.cwd or Path()
    return next((path for path in candidates if os.path.isfile(here / path)), None), None


def _stamp(file: Path) -> Stamp:
    """Return the stamp of a file; that of a pipe changes as it is read."""
    return stamp_of(file) if os.path.isfile(file) else None


def read_document(origin: Path, place: Place | None, cwd: Path | None) -> Document:
    """Return the file as it is written. `place`: who named it. Raises ConfigError."""
    source = str(origin)
    try:
        with ((cwd or Path()) / origin).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        where = place or Place.in_file(source)
        message = f"cannot read {source}: {error.strerror}"
        raise ConfigError([Problem.at(where, (), message)]) from None
    text = _decoded(data, source)
    return read_toml(text, source) if origin.suffix == ".toml" else read_yaml(text, source)


def _decoded(data: bytes, source: str) -> str:
    if len(data) > _MAX_BYTES:
        message = f"is larger than {_MAX_BYTES} bytes"
        raise ConfigError([Problem.at(Place.in_file(source), (), message)])
    bad: int | None = None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = error.start
    before = data[:bad].decode("utf-8-sig")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    raise ConfigError([Problem.at(Place.in_file(source, line, column), (), "is not UTF-8 text")])


def _merge(document: Document, options: LoadOptions, *, has_file: bool) -> list[Problem]:
    """Lay flags and variables over the file; upstreams from keys only where there is no file."""
    environ = options.environ
    kinds = [kind.value for kind in Kind]
    problems = add_upstream_flags(document, options.upstreams, environ, kinds)
    if not has_file:
        add_upstreams_from_keys(document, environ)
    sections = [*Config.model_fields, *known_keys(())]
    problems += apply_environment(document, environ, sections)
    apply_admin_token(document, environ)
    problems += apply_flags(document, options.flags)
    return problems + apply_otel_variables(document, environ)


def _without_nulls(value: Any) -> Any:
    """A key without a value asks for its default."""
    if isinstance(value, dict):
        return {k: _without_nulls(item) for k, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _validated(document: Document, problems: list[Problem], options: LoadOptions) -> Config:
    config: Config | None = None
    try:
        config = Config.model_validate(document.root)
    except ValidationError as error:
        problems += problems_of(error, document)
    problems += cross_problems(document, options.insecure_no_auth, options.cwd or Path())
    if config is None or problems:
        # Raised outside the handler: the validation error it would carry along holds the input.
        raise ConfigError(_first_of_each(problems))
    return config


def _first_of_each(problems: list[Problem]) -> list[Problem]:
    """Of one value the first problem says enough: what could not be expanded is blank later."""
    seen: dict[tuple[Place, str], Problem] = {}
    for problem in problems:
        seen.setdefault((problem.place, problem.path), problem)
    return list(seen.values())


def version_of(config: Config) -> str:
    """Return the first 12 hex digits of the SHA-256 of the settings without their secrets."""
    plain = json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()[:12]
