"""DynamoDB's condition, update and projection expressions, evaluated on items as they travel.

An item is a dict in DynamoDB's notation (`{"pk": {"S": "x"}, "claims": {"M": {...}}}`); none is
changed in place. Held against moto in tests.

Supported: names and `#names` joined by dots; `AND OR NOT`, parentheses, `= <> < <= > >=`,
`BETWEEN`, `IN`, `attribute_exists`, `attribute_not_exists`, `begins_with`, `contains`, `size`;
`SET` with `+`, `-` and `if_not_exists`, `REMOVE`, and `ADD` of numbers. Whatever else stands in an
expression raises NotImplementedError. What DynamoDB itself refuses raises `InvalidError`.

Not modelled: list indexes, sets, limits on sizes and depth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias

Attribute: TypeAlias = dict[str, Any]
Item: TypeAlias = dict[str, Attribute]
NamePath: TypeAlias = tuple[str, ...]
"""Names as they stand in the expression: `#placeholders` are not yet resolved."""

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<word>[#:]?[A-Za-z0-9_][A-Za-z0-9_]*)|(?P<sign><=|>=|<>|[=<>+\-(),.]))"
)
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_ORDERED: Final = ("S", "N", "B")
NOT_THERE: Final = "The provided expression refers to an attribute that does not exist in the item"


@cache
def reserved_words() -> frozenset[str]:
    """DynamoDB's own list, which moto carries as a text file (importing moto takes a second)."""
    spec = find_spec("moto")
    assert spec is not None and spec.origin is not None
    words = Path(spec.origin).parent / "dynamodb" / "parsing" / "reserved_keywords.txt"
    return frozenset(words.read_text().upper().split())


class InvalidError(Exception):
    """What DynamoDB answers with a ValidationException."""


@dataclass(frozen=True)
class Context:
    """What an expression is evaluated on."""

    item: Item
    names: dict[str, str]
    values: dict[str, Attribute]

    def resolve(self, path: NamePath) -> NamePath:
        return tuple(self.names[each] if each[0] == "#" else each for each in path)

    def at(self, path: NamePath) -> Attribute | None:
        """The attribute at the path, None when there is none."""
        level: Any = self.item
        found: Any = None
        for name in self.resolve(path):
            if level is None or name not in level:
                return None
            found = level[name]
            level = found.get("M")
        return found  # type: ignore[no-any-return]


Condition: TypeAlias = Callable[[Context], bool]
Operand: TypeAlias = Callable[[Context], Attribute | None]


@dataclass(frozen=True)
class Update:
    """A parsed update expression: paths to set (with what), to remove, to add to."""

    sets: tuple[tuple[NamePath, Operand], ...]
    removes: tuple[NamePath, ...]
    adds: tuple[tuple[NamePath, Operand], ...]

    def apply(self, context: Context, keys: tuple[str, ...]) -> Item:
        """The new item; every right side sees the old one. Raises InvalidError."""
        changes: list[tuple[NamePath, Attribute | None]] = []
        for path, operand in self.sets:
            value = operand(context)
            if value is None:
                raise InvalidError(NOT_THERE)
            changes.append((context.resolve(path), value))
        changes += [(context.resolve(path), None) for path in self.removes]
        for path, operand in self.adds:
            old = context.at(path) or {"N": "0"}
            changes.append((context.resolve(path), _calculate(old, operand(context), 1)))
        _check_overlap([path for path, _ in changes])
        item = context.item
        for path, value in changes:
            if path[0] in keys:
                raise InvalidError(f"Cannot update attribute {path[0]}. It is part of the key")
            item = _changed(item, path, value)
        return item


def _check_overlap(paths: list[NamePath]) -> None:
    for index, one in enumerate(paths):
        for other in paths[index + 1 :]:
            shorter = min(len(one), len(other))
            if one[:shorter] == other[:shorter]:
                raise InvalidError(f"Two document paths overlap with each other: {one}, {other}")


def _changed(level: Item, path: NamePath, value: Attribute | None) -> Item:
    name, rest = path[0], path[1:]
    changed = dict(level)
    if rest:
        inner = level.get(name)
        if inner is None or "M" not in inner:
            raise InvalidError(
                "The document path provided in the update expression is invalid for update"
            )
        changed[name] = {"M": _changed(inner["M"], rest, value)}
    elif value is None:
        changed.pop(name, None)
    else:
        changed[name] = value
    return changed


def _calculate(left: Attribute | None, right: Attribute | None, sign: int) -> Attribute:
    for operand in (left, right):
        if operand is None:
            raise InvalidError(NOT_THERE)
        if "N" not in operand:
            raise InvalidError("An operand in the update expression has an incorrect data type")
    assert left is not None and right is not None
    result = Decimal(left["N"]) + sign * Decimal(right["N"])  # 28 digits; DynamoDB has 38
    return {"N": format(result.normalize(), "f")}


def _comparable(attribute: Attribute) -> tuple[str, Any]:
    [(kind, value)] = attribute.items()
    if kind != "N":
        return kind, value
    try:
        return kind, int(value)
    except ValueError:
        return kind, Decimal(value)


def _equal(one: Attribute, other: Attribute) -> bool:
    kind, value = _comparable(one)
    other_kind, other_value = _comparable(other)
    if kind != other_kind:
        return False
    if kind == "M":
        return value.keys() == other_value.keys() and all(
            _equal(value[name], other_value[name]) for name in value
        )
    return bool(value == other_value)


def _size(attribute: Attribute | None) -> Attribute | None:
    if attribute is None:
        return None
    [(kind, value)] = attribute.items()
    return {"N": str(len(value))} if kind in ("S", "B", "M", "L", "SS", "NS", "BS") else None


class _Parser:
    """One recursive descent over one expression; results are closures."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.position = 0
        self.used: set[str] = set()
        self.closed: dict[int, int] = {}
        """Where the parenthesis that opened here was closed."""

    # -- tokens ----------------------------------------------------------------------------------

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def word(self) -> str:
        return self.peek().upper()

    def expect(self, token: str) -> None:
        if self.take().upper() != token:
            raise self.unsupported(f"{token} expected")

    def unsupported(self, what: str) -> NotImplementedError:
        here = " ".join(self.tokens[max(0, self.position - 3) : self.position + 2])
        return NotImplementedError(f"{what} near {here!r} in {self.text!r}")

    def end(self) -> None:
        if self.peek():
            raise self.unsupported("end expected")

    # -- operands --------------------------------------------------------------------------------

    def path(self) -> NamePath:
        parts = [self._name()]
        while self.peek() == ".":
            self.take()
            parts.append(self._name())
        return tuple(parts)

    def _name(self) -> str:
        name = self.take()
        if not name or not (name[0].isalpha() or name[0] in "#_"):
            raise self.unsupported("an attribute's name expected")
        if name[0] == "#":
            self.used.add(name)
        elif name.upper() in reserved_words():
            raise InvalidError(f"Attribute name is a reserved keyword; reserved keyword: {name}")
        return name

    def operand(self, *, functions: tuple[str, ...]) -> Operand:
        token = self.peek()
        if token.startswith(":"):
            self.take()
            self.used.add(token)
            return lambda context: context.values[token]
        following = self.tokens[self.position + 1 : self.position + 2]
        if following == ["("]:
            if token not in functions:
                raise self.unsupported(f"function {token}")
            self.take()
            self.expect("(")
            path = self.path()
            if token == "size":
                self.expect(")")
                return lambda context: _size(context.at(path))
            self.expect(",")  # if_not_exists
            otherwise = self.operand(functions=functions)
            self.expect(")")
            return lambda context: context.at(path) or otherwise(context)
        path = self.path()
        return lambda context: context.at(path)

    # -- conditions ------------------------------------------------------------------------------

    def condition(self) -> Condition:
        parts = [self._conjunction()]
        while self.word() == "OR":
            self.take()
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else lambda c: any(part(c) for part in parts)

    def _conjunction(self) -> Condition:
        parts = [self._negation()]
        while self.word() == "AND":
            self.take()
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else lambda c: all(part(c) for part in parts)

    def _negation(self) -> Condition:
        if self.word() == "NOT":
            self.take()
            part = self._negation()
            return lambda context: not part(context)
        if self.peek() == "(":
            opened = self.position
            self.take()
            part = self.condition()
            self.closed[opened] = self.position
            self.expect(")")
            if self.closed.get(opened + 1) == self.closed[opened] - 1:
                raise InvalidError("The expression has redundant parentheses")
            return part
        return self._test()

    def _test(self) -> Condition:
        name = self.peek()
        if name in ("attribute_exists", "attribute_not_exists"):
            self.take()
            self.expect("(")
            path = self.path()
            self.expect(")")
            there = name == "attribute_exists"
            return lambda context: (context.at(path) is not None) is there
        if name in ("begins_with", "contains"):
            self.take()
            self.expect("(")
            path = self.path()
            self.expect(",")
            part = self.operand(functions=())
            self.expect(")")
            return _text_test(name, path, part)
        left = self.operand(functions=("size",))
        sign = self.take().upper()
        if sign == "BETWEEN":
            low = self.operand(functions=("size",))
            self.expect("AND")
            high = self.operand(functions=("size",))
            above, below = _comparison(">=", left, low), _comparison("<=", left, high)
            return lambda context: above(context) and below(context)
        if sign == "IN":
            self.expect("(")
            choices = [self.operand(functions=())]
            while self.peek() == ",":
                self.take()
                choices.append(self.operand(functions=()))
            self.expect(")")
            tests = [_comparison("=", left, each) for each in choices]
            return lambda context: any(test(context) for test in tests)
        if sign not in ("=", "<>", *_COMPARE):
            raise self.unsupported("a comparison expected")
        return _comparison(sign, left, self.operand(functions=("size",)))

    # -- updates ---------------------------------------------------------------------------------

    def update(self) -> Update:
        sets: list[tuple[NamePath, Operand]] = []
        removes: list[NamePath] = []
        adds: list[tuple[NamePath, Operand]] = []
        seen: set[str] = set()
        while self.peek():
            clause = self.take().upper()
            if clause not in ("SET", "REMOVE", "ADD") or clause in seen:
                raise self.unsupported("SET, REMOVE or ADD, each once, expected")
            seen.add(clause)
            while True:
                path = self.path()
                if clause == "SET":
                    self.expect("=")
                    sets.append((path, self._value()))
                elif clause == "REMOVE":
                    removes.append(path)
                else:
                    adds.append((path, self.operand(functions=())))
                if self.peek() != ",":
                    break
                self.take()
        return Update(tuple(sets), tuple(removes), tuple(adds))

    def _value(self) -> Operand:
        left = self.operand(functions=("if_not_exists",))
        if self.peek() not in ("+", "-"):
            return left
        sign = 1 if self.take() == "+" else -1
        right = self.operand(functions=("if_not_exists",))
        return lambda context: _calculate(left(context), right(context), sign)


def _comparison(sign: str, left: Operand, right: Operand) -> Condition:
    def equal(context: Context) -> bool:
        one, other = left(context), right(context)
        if one is None and other is None:
            raise NotImplementedError(f"{sign} between two attributes that are not there")
        return one is not None and other is not None and _equal(one, other)

    if sign == "=":
        return equal
    if sign == "<>":
        return lambda context: not equal(context)
    compare = _COMPARE[sign]

    def ordered(context: Context) -> bool:
        one, other = left(context), right(context)
        if one is None or other is None:
            return False
        kind, value = _comparable(one)
        other_kind, other_value = _comparable(other)
        return kind == other_kind and kind in _ORDERED and compare(value, other_value)

    return ordered


def _text_test(name: str, path: NamePath, part: Operand) -> Condition:
    def test(context: Context) -> bool:
        attribute, wanted = context.at(path), part(context)
        if attribute is None or wanted is None or "S" not in wanted:
            return False
        if name == "begins_with":
            return "S" in attribute and attribute["S"].startswith(wanted["S"])
        if "S" in attribute:
            return wanted["S"] in attribute["S"]
        return wanted["S"] in attribute.get("SS", ())

    return test


def _tokens(text: str) -> Iterator[str]:
    position, text = 0, text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise NotImplementedError(f"{text[position:]!r} in {text!r}")
        yield match["word"] or match["sign"]
        position = match.end()


@lru_cache(maxsize=1024)
def parse_condition(text: str) -> tuple[Condition, frozenset[str]]:
    """(the condition, the placeholders it uses)."""
    parser = _Parser(text)
    condition = parser.condition()
    parser.end()
    return condition, frozenset(parser.used)


@lru_cache(maxsize=1024)
def parse_update(text: str) -> tuple[Update, frozenset[str]]:
    """(the update, the placeholders it uses)."""
    parser = _Parser(text)
    return parser.update(), frozenset(parser.used)


@lru_cache(maxsize=1024)
def parse_projection(text: str) -> tuple[tuple[NamePath, ...], frozenset[str]]:
    """(the paths, the placeholders they use)."""
    parser = _Parser(text)
    paths = [parser.path()]
    while parser.peek() == ",":
        parser.take()
        paths.append(parser.path())
    parser.end()
    return tuple(paths), frozenset(parser.used)


def projected(context: Context, paths: tuple[NamePath, ...]) -> Item:
    """Only these paths of the item, with the maps that lead to them."""
    result: Item = {}
    for path in paths:
        found = context.at(path)
        if found is None:
            continue
        level = result
        *parents, last = context.resolve(path)
        for name in parents:
            level = level.setdefault(name, {"M": {}})["M"]
        level[last] = found
    return result
