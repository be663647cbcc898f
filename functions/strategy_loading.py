"""Strategies by what a configuration calls them: a built-in, a package's, or a file.

    load_strategy("book_imbalance_crypto")        a built-in
    load_strategy("their_strategy")               an entry point of the group `executor.strategies`
    load_strategy("./my_strategy.py:MyStrategy")  a file; without the class if it has just one

A plug-in is code of whoever starts this process, and has all that this process has: nothing here
keeps it from anything. `executor strategy check` finds what is wrong by mistake, not by intent.

Whatever is wrong is one line (StrategyNotUsableError). An import is interrupted after
`IMPORT_MAX_S` (in the main thread: `runtime.time_limit`), and refused when it prints, because
stdout is where answers and metrics go.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import io
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from functions.core.strategy_rules import (
    PLAIN,
    PLAIN_WORDS,
    StrategyNotUsableError,
    check_strategy,
    one_line,
    said_of,
)
from runtime.time_limit import TookTooLongError, within_s
from strategies.builtin import BUILTIN
from strategies.interface import Strategy

GROUP: Final = "executor.strategies"
IMPORT_MAX_S: Final = 10.0
FILE_BYTES_MAX: Final = 256 * 1024
_FILE: Final = re.compile(r"(?P<path>.*\.py)(?::(?P<class_name>[^:/]*))?", re.DOTALL)


def load_strategy(text: str) -> type[Strategy]:
    """The strategy that `text` names. Raises StrategyNotUsableError, one line that says which."""
    if (file := _FILE.fullmatch(text)) is not None:
        return load_file(Path(file["path"]), file["class_name"])
    if PLAIN.fullmatch(text) is None:
        raise StrategyNotUsableError(
            f"{one_line(text) or 'a strategy'}: neither a name ({PLAIN_WORDS}) "
            "nor a file (./my_strategy.py:MyStrategy)"
        )
    points = [point for point in _points() if point.name == text]
    builtin = BUILTIN.get(text)
    if builtin is not None:
        if points:
            raise StrategyNotUsableError(
                f"{text}: a built-in strategy, and {_package_of(points[0])} has one of that name"
            )
        return builtin
    if not points:
        raise StrategyNotUsableError(
            f"{text}: no such strategy; there is: {', '.join(known_names())}; "
            "a file is written ./my_strategy.py:MyStrategy"
        )
    if len(points) > 1:
        whose = " and ".join(sorted(map(_package_of, points)))
        raise StrategyNotUsableError(f"{text}: {whose} each have a strategy of that name")
    return _load_point(points[0])


def file_of(text: str) -> Path | None:
    """The file that `text` names, None where it is a name."""
    file = _FILE.fullmatch(text)
    return Path(file["path"]) if file is not None else None


def known_names() -> list[str]:
    """The built-ins and the entry points, sorted."""
    return sorted({*BUILTIN, *(one_line(point.name) for point in _points())})


@functools.cache
def _points() -> tuple[metadata.EntryPoint, ...]:
    """Looked up once: a file of each installed package is read, and many accounts may ask."""
    return tuple(metadata.entry_points(group=GROUP))


def _package_of(point: metadata.EntryPoint) -> str:
    return f"package {one_line(point.dist.name)}" if point.dist is not None else "a package"


def _load_point(point: metadata.EntryPoint) -> type[Strategy]:
    def load() -> object:
        with _imports_of_a_stranger(f"{point.name} ({_package_of(point)})", None):
            return point.load()

    found = _checked(f"{point.name} ({_package_of(point)})", load())
    if found.name != point.name:
        raise StrategyNotUsableError(
            f"{point.name} ({_package_of(point)}): the strategy calls itself {found.name}; "
            "both must be the same"
        )
    return found


# -- files -----------------------------------------------------------------------------------------


def load_file(path: Path, class_name: str | None = None) -> type[Strategy]:
    """The strategy in a file: the named class, or the only one. Raises StrategyNotUsableError."""
    shown = one_line(str(path))
    source = read_source(path)
    module = _module_of(path.absolute(), shown, source)
    own = {
        name: each
        for name, each in vars(module).items()
        if isinstance(each, type)
        and issubclass(each, Strategy)
        and each.__module__ == module.__name__
    }
    if class_name is not None:
        found = vars(module).get(class_name)
        if found is None:
            raise StrategyNotUsableError(
                f"{shown}: no class {one_line(class_name) or '(none named)'}; {_those_of(own)}"
            )
        shown = f"{shown}:{class_name}"
    elif len(own) == 1:
        ((name, found),) = own.items()
        shown = f"{shown}:{name}"
    else:
        raise StrategyNotUsableError(f"{shown}: {_those_of(own)}; say which one: {shown}:ItsClass")
    strategy = _checked(shown, found)
    if BUILTIN.get(strategy.name) not in (None, strategy):
        raise StrategyNotUsableError(
            f"{shown}: name: {strategy.name} is a built-in's; choose another"
        )
    return strategy


def read_source(path: Path) -> bytes:
    """What is in a strategy's file. Raises StrategyNotUsableError."""
    shown = one_line(str(path))
    try:
        # Without waiting: a pipe that nobody writes to would be waited for, for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StrategyNotUsableError(f"{shown}: not a file")
            source = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, StrategyNotUsableError):
            raise
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise StrategyNotUsableError(f"{shown}: cannot be read: {one_line(str(why))}") from None
    if len(source) > FILE_BYTES_MAX:
        raise StrategyNotUsableError(f"{shown}: larger than {FILE_BYTES_MAX // 1024} KB")
    return source


def _those_of(own: dict[str, Any]) -> str:
    if not own:
        return "there is no class in it that is derived from Strategy"
    return f"its strategies are: {', '.join(sorted(map(one_line, own)))}"


def _module_of(path: Path, shown: str, source: bytes) -> ModuleType:
    """The file, imported once for each content: several accounts may name it."""
    digest = hashlib.blake2b(source + os.fsencode(path), digest_size=8).hexdigest()
    name = f"strategy_file_{digest}"
    if (known := sys.modules.get(name)) is not None:
        return known
    module = ModuleType(name)
    module.__file__ = str(path)
    # pydantic and msgspec look annotations up there.
    sys.modules[name] = module
    try:
        with _imports_of_a_stranger(shown, path), _importable(path.parent):
            code = compile(source, str(path), "exec", dont_inherit=True)
            _refuse_other_modules_of(path, source)
            exec(code, module.__dict__)  # noqa: S102 - to run it is what it was named for
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _refuse_other_modules_of(path: Path, source: bytes) -> None:
    """Raises ImportError: Python would hand out a module of the same name from elsewhere."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in {each.partition(".")[0] for each in names}:
            beside, loaded = path.parent / f"{name}.py", sys.modules.get(name)
            if loaded is None or not beside.is_file():
                continue
            if getattr(loaded, "__file__", None) != str(beside):
                raise ImportError(f"{name}.py beside it: another module of that name is loaded")


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Modules beside the file can be imported; last, so that none of them takes another's place."""
    sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


# -- what a stranger's code may do while it is imported --------------------------------------------


class _Printed(io.TextIOBase):
    """Where stdout goes meanwhile: the first line is enough to say what it was."""

    text = ""

    def write(self, text: str) -> int:
        self.text += text[: max(0, 200 - len(self.text))]
        return len(text)


@contextmanager
def _imports_of_a_stranger(shown: str, path: Path | None) -> Iterator[None]:
    """Whatever is raised becomes StrategyNotUsableError, and so does what is printed."""
    printed = _Printed()
    try:
        with redirect_stdout(printed), within_s(IMPORT_MAX_S):
            yield
    except TookTooLongError:
        raise StrategyNotUsableError(
            f"{shown}: its import takes longer than {IMPORT_MAX_S:g} s"
        ) from None
    # SystemExit, too: nothing else runs here, so it is the plug-in's.
    except BaseException as error:
        line = _line_in(path, error)
        where = f", line {line}" if line is not None else ""
        raise StrategyNotUsableError(
            f"{shown}{where}: does not import: {said_of(error)}"
        ) from error
    if printed.text.strip():
        raise StrategyNotUsableError(
            f"{shown}: prints when it is imported: {one_line(printed.text)!r}"
        )


def _line_in(path: Path | None, error: BaseException) -> int | None:
    """The last line of that file that the exception came through."""
    if isinstance(error, SyntaxError) and path is not None and error.filename == str(path):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if path is not None and trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _checked(shown: str, found: object) -> type[Strategy]:
    try:
        return check_strategy(found)
    except StrategyNotUsableError as error:
        raise StrategyNotUsableError(f"{shown}: {error}") from error.__cause__
