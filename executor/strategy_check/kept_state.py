"""State that outlives a call of `decide`, as far as it can be seen in the source.

A strategy has none: what it needs of the past is in the market's memory, which is recorded. State
of its own would be another one in each worker, and lost with each start. What cannot be seen here
shows when the same books come in another order (`executor.strategy_check.another_order`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, TypeAlias

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_CHANGING: Final = frozenset(
    {
        *("append", "extend", "insert", "remove", "pop", "popleft", "popitem", "clear", "add"),
        *("discard", "update", "setdefault", "sort", "reverse", "appendleft", "extendleft"),
        *("rotate", "subtract", "move_to_end"),
    }
)
_MUTABLE: Final = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
_CALLS_OF_PARAMETERS: Final = frozenset({"note"})
"""`MarketMemory.note` is the worker's."""


def kept_state(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, what is kept) of everything in the module that outlives a call."""
    modules = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }  # `operator.add(a, b)` changes nothing
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _defaults(node)
            yield from _changes(node, modules)


def _defaults(function: _Function) -> Iterator[tuple[int, str]]:
    arguments = function.args
    for default in (*arguments.defaults, *arguments.kw_defaults):
        if isinstance(default, _MUTABLE) or _makes_a_mutable(default):
            yield function.lineno, "keeps state: a default that can be changed outlives the call"


def _makes_a_mutable(node: ast.expr | None) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("list", "dict", "set", "deque", "defaultdict", "Counter")
    )


def _changes(function: _Function, modules: set[str]) -> Iterator[tuple[int, str]]:
    """What the function changes of what it has not made itself."""
    own = _bound_in(function)
    given = _given(function) if _is_decide(function) else set[str]()
    for node in ast.walk(function):
        for target in _targets(node):
            if isinstance(target, ast.Name):
                continue
            yield from _judged(node, _root(target), own, given)
        if isinstance(node, ast.Call):
            yield from _call(node, own | modules, given)


def _call(node: ast.Call, own: set[str], given: set[str]) -> Iterator[tuple[int, str]]:
    called = node.func
    if isinstance(called, ast.Attribute) and called.attr in _CHANGING | _CALLS_OF_PARAMETERS:
        yield from _judged(node, _root(called.value), own, given)
    elif (
        isinstance(called, ast.Name)
        and called.id == "next"
        and node.args
        and isinstance(node.args[0], ast.Name | ast.Attribute)
    ):
        yield from _judged(node, _root(node.args[0]), own, given)


def _judged(
    node: ast.AST, root: str | None, own: set[str], given: set[str]
) -> Iterator[tuple[int, str]]:
    if root is None:
        return
    line = getattr(node, "lineno", 0)
    if root in given:
        yield line, f"changes {root}, which is the worker's"
    elif root not in own:
        yield line, f"keeps state: changes {root}, which outlives the call"


def _is_decide(function: _Function) -> bool:
    return isinstance(function, ast.FunctionDef) and function.name == "decide"


def _given(function: _Function) -> set[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return {each.arg for each in every}


def _bound_in(function: _Function) -> set[str]:
    """Its parameters and all names that are bound anywhere in it, inner functions included."""
    bound = _given(function)
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            bound |= _given(node)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            bound.add(node.name)
    return bound


def _targets(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Assign(targets=targets) | ast.Delete(targets=targets):
            return [each for target in targets for each in _unpacked(target)]
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target) | ast.For(target=target):
            return _unpacked(target)
    return []


def _unpacked(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        return [each for part in target.elts for each in _unpacked(part)]
    return [target]


def _root(node: ast.expr) -> str | None:
    """The name that an attribute or an element belongs to, in the end."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
