"""Which modules of ours a module can reach by import: found by reading them, nothing is run.

Imports inside functions count, because they happen some day; those under TYPE_CHECKING do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOMS: Final = ("protocol", "strategies", "venue", "runtime", "functions")
"""What a function may be made of (the import contracts in pyproject.toml hold it to that)."""


def own_modules(root: Path, entry: str, without: Sequence[str] = ()) -> list[Path]:
    """Files below `root`, relative to it and sorted: `entry`, all it reaches, and their packages.

    `without`: modules that stay out, and what only they reach.
    Raises FileNotFoundError when `entry` is not there.
    """
    todo, found = [entry], dict[str, Path]()
    while todo:
        name = todo.pop()
        if name in found or name in without:
            continue
        path = _file_of(root, name)
        if path is None:
            if name == entry:
                raise FileNotFoundError(f"there is no module {entry}")
            continue  # a name inside a module: `from functions.ports import Store`
        found[name] = path
        parts = name.split(".")
        todo += [".".join(parts[:end]) for end in range(1, len(parts))]
        todo += [each for each in _imported(ast.parse((root / path).read_bytes())) if _ours(each)]
    return sorted(found.values())


def _ours(name: str) -> bool:
    return name.partition(".")[0] in ROOMS


def _file_of(root: Path, name: str) -> Path | None:
    parts = Path(*name.split("."))
    for path in (parts.with_suffix(".py"), parts / "__init__.py"):
        if (root / path).is_file():
            return path
    return None


def _imported(tree: ast.AST) -> Iterator[str]:
    """Names that may be modules: of `from a import b` both `a` and `a.b`. None is relative here."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from _imported(other)
        else:
            yield from _imported(node)
