"""Load a configuration from text, in a folder of its own and with nothing from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from streamgauge.config import ConfigError, Loaded, LoadOptions, load


@pytest.fixture
def load_text(tmp_path: Path) -> Callable[..., Loaded]:
    def run(
        text: str,
        environ: Mapping[str, str] | None = None,
        *,
        name: str = "streamgauge.yaml",
        **options: Any,
    ) -> Loaded:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return load(LoadOptions(config=Path(name), environ=environ or {}, cwd=tmp_path, **options))

    return run


@pytest.fixture
def error_lines(load_text: Callable[..., Loaded]) -> Callable[..., list[str]]:
    def run(
        text: str,
        environ: Mapping[str, str] | None = None,
        *,
        name: str = "streamgauge.yaml",
        **options: Any,
    ) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, environ or {}, name=name, **options)
        return str(caught.value).splitlines()

    return run
