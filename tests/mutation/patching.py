"""Puts a mutant in the place of its original, in this process: nothing on the disk changes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_loader
from types import CodeType, FunctionType

from mutation.mutants import CORE, Mutant

__all__ = ["can_swap", "import_mutated", "module_name", "swap_code"]


def module_name(path: str) -> str:
    """Return the import name of a file of the core."""
    return "streamgauge.core." + path.removesuffix(".py").replace("/", ".")


def can_swap(mutant: Mutant) -> bool:
    """Return whether `swap_code` works: the function is found, and its closure is the same."""
    function, code = _function(mutant), _changed(mutant)
    if function is None or code is None:
        return False
    return code.co_freevars == function.__code__.co_freevars


def swap_code(mutant: Mutant) -> None:
    """Give the function that holds the mutant its changed code, wherever it is already known."""
    function, code = _function(mutant), _changed(mutant)
    assert function is not None
    assert code is not None
    function.__code__ = code


def _changed(mutant: Mutant) -> CodeType | None:
    compiled = compile(mutant.source, str(CORE / mutant.path), "exec", dont_inherit=True)
    found = [code for code in _codes(compiled) if code.co_qualname == mutant.scope]
    return found[0] if len(found) == 1 else None


def _function(mutant: Mutant) -> FunctionType | None:
    found: object = importlib.import_module(module_name(mutant.path))
    for name in mutant.scope.split("."):
        found = vars(found).get(name)
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    return found if isinstance(found, FunctionType) else None


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, source: str) -> None:
        super().__init__(fullname, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        if fullname != module_name(self._mutant.path):
            return None
        loader = _Loader(fullname, str(CORE / self._mutant.path), self._mutant.source)
        return spec_from_loader(fullname, loader)


def import_mutated(mutant: Mutant) -> None:
    """Have the mutant imported where its original would be, later in this process."""
    sys.meta_path.insert(0, _Finder(mutant))
