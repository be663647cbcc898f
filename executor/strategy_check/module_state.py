"""What of a strategy's modules was changed by asking it: state that outlives a call.

Seen from outside, so it matters not how it is kept: a list, an attribute, a default, a closure, an
iterator that has moved on. What cannot be looked into (an object of C without a form of its own) is
not seen here.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

_DEPTH_MAX: Final = 8
_OF_A_FUNCTION: Final = ("__defaults__", "__kwdefaults__", "__dict__")


def modules_of(path: Path | None, strategy: type) -> list[ModuleType]:
    """The strategy's module, and those of the user's own beside it."""
    folder = None if path is None else path.absolute().parent
    return [
        module
        for name, module in sorted(sys.modules.items())
        if name == strategy.__module__ or (folder is not None and _folder_of(module) == folder)
    ]


def state_of(modules: list[ModuleType]) -> dict[str, bytes]:
    """By name, a form of each thing that stands in the modules."""
    return {
        name: form
        for module in modules
        for each, value in vars(module).items()
        if not (each.startswith("__") and each.endswith("__"))
        for name, form in _forms(each, value, module.__name__, 0)
    }


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """The names of what is another one now."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _folder_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).parent if isinstance(file, str) else None


def _forms(name: str, value: Any, module: str, depth: int) -> Iterator[tuple[str, bytes]]:
    if depth > _DEPTH_MAX or isinstance(value, ModuleType):
        return
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, FunctionType):
        if value.__module__ != module:
            return
        for part in _OF_A_FUNCTION:
            yield from _forms(f"{name}.{part}", getattr(value, part), module, depth + 1)
        for number, cell in enumerate(value.__closure__ or ()):
            yield from _forms(f"{name}.{number}", cell.cell_contents, module, depth + 1)
    elif isinstance(value, type):
        if value.__module__ != module:
            return
        for each, inner in list(vars(value).items()):
            if not (each.startswith("__") and each.endswith("__")):
                yield from _forms(f"{name}.{each}", inner, module, depth + 1)
    else:
        yield name, _form(value)


def _form(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever it is, it has no form
        return b""
