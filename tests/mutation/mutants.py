"""Makes the mutants of a module with mutmut's operators. It runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

__all__ = ["CORE", "Mutant", "MutatedModule", "modules"]

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "streamgauge" / "core"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault planted in one place.

    `scope`: the function or method it stands in, with its class, "" where it is run at import:
    constants, tables, fields, defaults, decorators. `before` and `after`: the lines that differ.
    """

    path: str
    scope: str
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """Names the mutant in reports and in the list of equivalent ones; line numbers move."""
        return f"{self.path} {self.scope or '-'}: {self.before} => {self.after}"


class _Visitor(MutationVisitor):
    """Mutates the bodies of properties as well, which mutmut's own runner cannot reach."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef):
            return False
        if isinstance(node, cst.Assign) and _assigns_all(node):
            return True
        return super()._skip_node_and_children(node)


def _assigns_all(node: cst.Assign) -> bool:
    target = node.targets[0].target
    return isinstance(target, cst.Name) and target.value == "__all__"


class MutatedModule:
    """The mutants of one file, made one by one: their sources together would be large.

    `imports`: also those in what is run at import.
    """

    def __init__(self, path: Path, *, imports: bool = False) -> None:
        self.path = path
        self.name = path.relative_to(CORE).as_posix()
        self.code = path.read_text(encoding="utf-8")
        visitor = _Visitor(mutation_operators, IgnoredCode(set(), set(), set()))
        wrapper = MetadataWrapper(cst.parse_module(self.code))
        self._module = wrapper.visit(visitor)
        self._positions = wrapper.resolve(PositionProvider)
        self._scopes = dict(_scopes(wrapper.module))
        self._mutations = [
            mutation
            for mutation in visitor.mutations
            if imports or mutation.original_node in self._scopes
        ]

    def __len__(self) -> int:
        return len(self._mutations)

    def mutant(self, number: int) -> Mutant | None:
        """Return mutant `number`, None where it is the same program (an operator may do nothing)."""
        mutation = self._mutations[number]
        changed = self._module.deep_replace(mutation.original_node, mutation.mutated_node)
        assert isinstance(changed, cst.Module)
        if changed.code == self.code:
            return None
        line, before, after = _difference(self.code, changed.code)
        place = self._positions.get(mutation.original_node)
        if isinstance(place, CodeRange):
            line = place.start.line
        scope = self._scopes.get(mutation.original_node, "")
        return Mutant(self.name, scope, line, before, after, changed.code)


def _scopes(module: cst.Module) -> Iterator[tuple[cst.CSTNode, str]]:
    """Yield each node inside the body of a function with the function's qualified name."""
    for statement in module.body:
        if isinstance(statement, cst.FunctionDef):
            yield from ((node, statement.name.value) for node in _walk(statement.body))
        elif isinstance(statement, cst.ClassDef):
            for method in statement.body.body:
                if isinstance(method, cst.FunctionDef):
                    name = f"{statement.name.value}.{method.name.value}"
                    yield from ((node, name) for node in _walk(method.body))


def _walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _difference(old: str, new: str) -> tuple[int, str, str]:
    """Return the first line that differs, counted from 1, and the differing lines of both."""
    mine, other = old.splitlines(), new.splitlines()
    shorter = min(len(mine), len(other))
    head = next((i for i in range(shorter) if mine[i] != other[i]), shorter)
    tail = next((i for i in range(shorter - head) if mine[-1 - i] != other[-1 - i]), shorter - head)
    return (
        head + 1,
        _joined(mine[head : len(mine) - tail]),
        _joined(other[head : len(other) - tail]),
    )


def _joined(lines: Sequence[str]) -> str:
    return " ".join(" ".join(lines).split())


def modules(wanted: Sequence[str], *, imports: bool = False) -> list[MutatedModule]:
    """Return the modules of the core's files and folders `wanted`, in that order; all for none."""
    paths = [CORE / each for each in wanted or (".",)]
    files = [file for path in paths for file in (sorted(path.rglob("*.py")) or [path])]
    return [MutatedModule(file, imports=imports) for file in dict.fromkeys(files)]
