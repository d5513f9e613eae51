"""The configuration: one frozen model, read from files, environment and flags."""

from __future__ import annotations

from streamgauge.config.environment import Flag
from streamgauge.config.load import Loaded, LoadOptions, load
from streamgauge.config.problems import ConfigError, Problem
from streamgauge.config.schema import Config
from streamgauge.config.upstream import Kind, Upstream

__all__ = [
    "Config",
    "ConfigError",
    "Flag",
    "Kind",
    "LoadOptions",
    "Loaded",
    "Problem",
    "Upstream",
    "load",
]
