"""What Ollama's pages tell of models and context sizes, odd ones included."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.gateway.ollama_pages import listed_models, running_context, shown_context


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ({"models": [{"name": "a:latest", "model": "x"}, {"model": "b:1b"}]}, ("a:latest", "b:1b")),
        ({"models": []}, ()),
        ({"models": [7, {"name": 7}, {}]}, ()),
        ({"models": None}, None),
        ({"data": []}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_names_are_those_on_the_page(tags: Any, names: tuple[str, ...] | None) -> None:
    assert listed_models(tags) == names


def loaded(name: object, size: object, key: str = "name") -> dict[str, Any]:
    return {
        "models": [{key: "other:latest", "context_length": 9}, {key: name, "context_length": size}]
    }


@pytest.mark.parametrize(
    ("ps", "model", "size"),
    [
        (loaded("q:latest", 4096), "q", 4096),
        (loaded("q:latest", 4096), "q:latest", 4096),
        (loaded("q:latest", 4096, "model"), "q", 4096),
        (loaded("q:8b", 4096), "q:8b", 4096),
        (loaded("q:8b", 4096), "q", None),
        (loaded("hf.co:443/a/q:latest", 4096), "hf.co:443/a/q", 4096),
        (loaded("q:latest", 0), "q", None),
        (loaded("q:latest", "4096"), "q", None),
        (loaded("q:latest", True), "q", None),
        (loaded("q:latest", 2**64 - 1), "q", None),
        ({"models": [{"name": "q:latest"}]}, "q", None),
        ({"models": [None, {"name": 3}]}, "q", None),
        ({"models": {}}, "q", None),
        ([], "q", None),
        (None, "q", None),
    ],
)
def test_the_size_is_that_of_the_loaded_model(ps: Any, model: str, size: int | None) -> None:
    assert running_context(ps, model) == size


def shown(parameters: object = None, **info: object) -> dict[str, Any]:
    return {"parameters": parameters, "model_info": info}


ARCHITECTURE = {"general.architecture": "q3", "q3.context_length": 40960, "v.context_length": 7}


@pytest.mark.parametrize(
    ("page", "size"),
    [
        (shown(**ARCHITECTURE), 40960),
        (shown('stop   "x"\nnum_ctx                        8192\ntop_k 4', **ARCHITECTURE), 8192),
        (shown("num_ctx 0", **ARCHITECTURE), 40960),
        (shown("my_num_ctx 8192\nnum_ctx 8k", **ARCHITECTURE), 40960),
        (shown(7, **ARCHITECTURE), 40960),
        (shown(**{"q3.context_length": 40960}), None),
        (shown(**{**ARCHITECTURE, "q3.context_length": "40960"}), None),
        (shown(**{**ARCHITECTURE, "q3.context_length": 2**64}), None),
        ({"parameters": "num_ctx 8192"}, 8192),
        ({"model_info": None}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_a_model_that_is_not_loaded_shows_its_own_size(page: Any, size: int | None) -> None:
    assert shown_context(page) == size
