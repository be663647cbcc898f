"""What may stand in a strategy's file: read, never run.

Imports of a closed list, modules of the user's own beside the file (which are read, too), and
nothing that leads elsewhere: no input or output, clock, chance, network, environment, thread.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from executor.strategy_check.kept_state import kept_state
from functions.core.strategy_rules import StrategyNotUsableError, one_line, said_of
from functions.strategy_loading import read_source

ALLOWED: Final = frozenset(
    {
        *("__future__", "bisect", "cmath", "collections", "collections.abc", "dataclasses"),
        *("decimal", "enum", "fractions", "functools", "heapq", "itertools", "math", "msgspec"),
        *("numbers", "operator", "pydantic", "statistics", "typing"),
    }
)
_ROOMS: Final = ("protocol", "strategies")
_NOT_THESE: Final = {
    "functools": {"lru_cache", "cache", "cached_property", "singledispatch"},
    "operator": {"attrgetter", "methodcaller"},
    "typing": {"get_type_hints", "ForwardRef"},
    "dataclasses": {"make_dataclass"},
    "decimal": {"getcontext", "setcontext", "localcontext"},
    "pydantic": {
        *("FilePath", "DirectoryPath", "NewPath", "ImportString", "create_model"),
        *("PastDate", "PastDatetime", "FutureDate", "FutureDatetime"),
    },
}
"""They keep something between two calls, read files or the clock, or lead to what a text names."""
_BY_CHANCE: Final = "samples"
"""Of `statistics.NormalDist`, whatever it is called here."""
_NO_NAMES: Final = frozenset(
    {
        *("open", "exec", "eval", "compile", "input", "print", "breakpoint", "exit", "quit"),
        *("globals", "locals", "vars", "dir", "getattr", "setattr", "delattr", "help"),
        *("id", "hash", "memoryview"),
    }
)
"""`id` and `hash` differ from process to process."""
_DUNDERS: Final = frozenset({"__name__", "__doc__", "__all__", "__slots__", "__init__"})
MODULES_MAX: Final = 50
_RULE: Final = "a strategy may import " + ", ".join(
    [*sorted(ALLOWED - {"__future__"}), "protocol, strategies, and modules beside it"]
)


def broken_rules(path: Path) -> list[str]:
    """Each rule that the file, or a module beside it that it imports, breaks; one line each.

    Raises StrategyNotUsableError where one of them cannot be read or is no Python.
    """
    todo, seen, broken = [path.absolute()], set[Path](), list[str]()
    while todo and len(seen) < MODULES_MAX:
        module = todo.pop(0)
        if module in seen:
            continue
        seen.add(module)
        tree = _parsed(module)
        rules = _Rules(module)
        broken += [f"{module.name}:{line}: {text}" for line, text in rules.of(tree)]
        todo += rules.beside
    if todo:
        broken.append(f"{path.name}: more than {MODULES_MAX} modules beside it")
    return broken


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(read_source(path))
    except SyntaxError as error:
        said = one_line(error.msg)
        raise StrategyNotUsableError(f"{path.name}, line {error.lineno}: {said}") from None
    except StrategyNotUsableError:
        raise
    except (ValueError, RecursionError, MemoryError) as error:
        raise StrategyNotUsableError(f"{path.name}: is no Python: {said_of(error)}") from None


class _Rules:
    """The rules of one module; `beside`: the user's own modules that it imports."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self._modules: dict[str, str] = {}
        """Names under which modules are known here."""
        self._own = {"self", "cls"}
        """Names whose private attributes are this module's."""
        self.beside: list[Path] = []

    def of(self, tree: ast.Module) -> Iterator[tuple[int, str]]:
        """(line, what is wrong with it), in order of lines."""
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self._own.add(node.name)
        found = [*self._imports(tree), *self._uses(tree), *kept_state(tree)]
        yield from sorted(set(found))

    def _imports(self, tree: ast.Module) -> Iterator[tuple[int, str]]:
        inner = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.Lambda)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and id(node) in inner:
                yield node.lineno, "imports inside a function: imports stand at the top"
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self._import(node.lineno, alias.name)
                    known = alias.asname or alias.name.partition(".")[0]
                    self._modules[known] = alias.name if alias.asname else known
            elif isinstance(node, ast.ImportFrom):
                yield from self._import_from(node)

    def _import_from(self, node: ast.ImportFrom) -> Iterator[tuple[int, str]]:
        if node.level or not node.module:
            yield node.lineno, "imports relatively: it is no package; write the module's name"
            return
        yield from self._import(node.lineno, node.module)
        for alias in node.names:
            if alias.name == "*":
                yield node.lineno, "imports *: write the names"
            elif _is_allowed(node.module):
                yield from self._taken(node.lineno, node.module, alias.name)
                if (inner := _module_in(node.module, alias.name)) is not None:
                    self._modules[alias.asname or alias.name] = inner

    def _import(self, line: int, name: str) -> Iterator[tuple[int, str]]:
        beside = self._folder / f"{name.partition('.')[0]}.py"
        if _is_allowed(name):
            return
        if beside.is_file():
            self.beside.append(beside)
            return
        yield line, f"imports {one_line(name)}: {_RULE}"

    def _taken(self, line: int, module: str, name: str) -> Iterator[tuple[int, str]]:
        """What is taken from a module that may be imported."""
        if name in _NOT_THESE.get(module, ()):
            yield line, f"takes {name} from {module}, which {_why(module)}"
        elif (inner := _module_in(module, name)) is not None and not _is_allowed(inner):
            yield line, f"takes the module {name} out of {module}: {_RULE}"

    def _uses(self, tree: ast.Module) -> Iterator[tuple[int, str]]:
        for node in ast.walk(tree):
            match node:
                case ast.Global() | ast.Nonlocal():
                    yield node.lineno, "keeps state: global and nonlocal outlive the call"
                case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                    yield node.lineno, "is asynchronous: a strategy waits for nothing"
                case ast.Name(id=name) if name in _NO_NAMES or _is_hidden(name):
                    yield node.lineno, f"uses {name}: {_why_not(name)}"
                case ast.Call(func=ast.Attribute(attr=name)) if name == _BY_CHANCE:
                    yield node.lineno, f"calls .{name}(): chance is another one each time"
                case ast.Attribute():
                    yield from self._attribute(node)
                case ast.AnnAssign(annotation=annotation) | ast.arg(annotation=annotation) if (
                    annotation is not None
                ):
                    yield from self._written_as_text(annotation)

    def _attribute(self, node: ast.Attribute) -> Iterator[tuple[int, str]]:
        chain = _dotted(node.value)
        if _is_hidden(node.attr):
            yield node.lineno, f"uses .{node.attr}: {_why_not(node.attr)}"
        elif node.attr.startswith("_") and (chain or "").partition(".")[0] not in self._own:
            yield node.lineno, f"uses .{node.attr}: it is another module's own"
        if chain is None:
            return
        first, _, rest = chain.partition(".")
        module = self._modules.get(first)
        if module is not None:
            name = f"{module}.{rest}" if rest else module
            if _is_allowed(name):
                yield from self._taken(node.lineno, name, node.attr)

    def _written_as_text(self, annotation: ast.expr) -> Iterator[tuple[int, str]]:
        """pydantic evaluates what an annotation says as text."""
        for node in ast.walk(annotation):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                try:
                    inner = ast.parse(node.value, mode="eval")
                except (SyntaxError, ValueError):
                    continue
                if any(isinstance(each, ast.Call) for each in ast.walk(inner)):
                    yield node.lineno, "calls something in an annotation"


def _is_allowed(module: str) -> bool:
    return module in ALLOWED or module.partition(".")[0] in _ROOMS


def _is_hidden(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in _DUNDERS


def _module_in(module: str, name: str) -> str | None:
    """What the module is really called that `name` in an allowed module is, if it is one."""
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    return found.__name__ if inspect.ismodule(found) else None


def _why(module: str) -> str:
    if module in ("functools", "decimal"):
        return "keeps something between two calls"
    return (
        "leads to what a text names" if module != "pydantic" else "looks at files, clock or texts"
    )


def _why_not(name: str) -> str:
    if name in ("id", "hash"):
        return "it differs from process to process"
    if name in ("open", "input", "print", "breakpoint", "help"):
        return "a strategy reads and writes nothing"
    return "it leads to what a strategy must not touch"


def _dotted(node: ast.expr) -> str | None:
    """`a.b` of the expression a.b; None of anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])
