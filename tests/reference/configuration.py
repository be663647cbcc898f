"""Every variable: what it is, its default, its bounds, and which process reads it.

The words are the field's description and the docstring below it, of the class that declares it.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from executor.alerts.settings import AlertSettings, AlertUrls
from executor.console.settings import ConsoleSettings
from feeder.settings import (
    FeederSettings,
    MarketChannelSettings,
    UserChannelSettings,
    UserFeederSettings,
)
from functions.aws.settings import FunctionSettings, ReconcileSettings, SettleSettings
from functions.core.collective_configuration import CollectiveFields
from functions.core.configuration import GateFields, LimitFields, SizeFields
from functions.settings import (
    AccountSettings,
    ApiSettings,
    AwsSettings,
    ScheduleSettings,
    WorkerSettings,
)
from runtime.nats_settings import NatsSettings
from runtime.settings import CloudWatchSettings, EnvironmentSettings, MetricsSettings
from tests.reference.tables import table
from venue.api_settings import ClobSettings, GammaSettings

READERS: Final[dict[str, type[EnvironmentSettings]]] = {
    "worker": WorkerSettings,
    "schedule": ScheduleSettings,
    "feeder": FeederSettings,
    "user feeder": UserFeederSettings,
    "console": ConsoleSettings,
    "alerts": AlertSettings,
    "`control`": FunctionSettings,
    "`reconcile`": ReconcileSettings,
    "`settle`": SettleSettings,
}
_CLOUD: Final = ("`control`", "`reconcile`", "`settle`")
"""The cloud's functions."""
TOPICS: Final[dict[str, tuple[type[BaseModel], ...]]] = {
    "Accounts": (AccountSettings, ApiSettings, UserFeederSettings),
    "Limits of an account": (LimitFields, SizeFields, GateFields),
    "Limits of a group of accounts": (CollectiveFields,),
    "Markets and the venue": (
        MarketChannelSettings,
        FeederSettings,
        UserChannelSettings,
        ClobSettings,
        GammaSettings,
    ),
    "Processes": (
        NatsSettings,
        MetricsSettings,
        WorkerSettings,
        ScheduleSettings,
        CloudWatchSettings,
    ),
    "The console": (ConsoleSettings,),
    "Alerts": (AlertUrls,),
    "Certificates": (EnvironmentSettings,),
    "AWS": (AwsSettings, ReconcileSettings, SettleSettings),
}
"""Which classes declare a topic's variables; where several do, the most general one counts."""
_KINDS: Final = {
    "SigningKey": "secret",
    "ApiKey": "secret",
    "Base64Secret": "secret",
    "HeaderSecret": "secret",
    "PlainSecret": "secret",
    "WalletAddress": "`0x` and 40 hex digits",
    "SignerAddress": "`0x` and 40 hex digits",
    "StateName": "`dynamodb`, or `sqlite:///FILE`",
    "TableName": "table's name or ARN",
    "SecretName": "secret's name or ARN",
    "RegionName": "region's name",
    "GroupName": "name",
    "StageName": "name",
    "CertificateFile": "file (PEM)",
    "SdkFile": "file",
    "check_directory": "folder",
    "Series": "names, commas between",
    "HttpUrl": "`https` or `http` address",
    "Port": "port; 0: any that is free",
    "no_signing_key": "nothing",
}
"""Types that have a name in the code, or a validator, as a person says them."""
_TYPES: Final[dict[object, str]] = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    Decimal: "number",
    SecretStr: "secret",
    Path: "folder",
    str: "text",
}


@dataclass(frozen=True)
class Variable:
    """One variable as one process reads it."""

    reader: str
    kind: str
    default: str
    words: str


def part() -> str:
    """A table for each topic."""
    head = ("variable", "value", "default", "read by", "what it is")
    by_topic: dict[str, list[tuple[str, ...]]] = {topic: [] for topic in TOPICS}
    for name in variables():
        by_topic[_topic(name)].append(_row(name, list(_of_all_readers(name))))
    return "\n".join(f"## {topic}\n\n{table(head, rows)}" for topic, rows in by_topic.items())


def variables() -> list[str]:
    """The names of all, in the order in which they are declared."""
    return list(dict.fromkeys(name for kind in READERS.values() for name in kind.model_fields))


def _topic(name: str) -> str:
    kinds = [each for each in READERS.values() if name in each.model_fields]
    declare = [[base for base in _bases(each) if name in _declared(base)][-1] for each in kinds]
    for topic, named in TOPICS.items():
        if set(declare) & set(named):
            return topic
    raise ValueError(f"{name}: under which topic do the variables of {declare[0].__name__} stand?")


def _of_all_readers(name: str) -> Iterator[Variable]:
    for reader, kind in READERS.items():
        if (field := kind.model_fields.get(name)) is not None:
            written, words = _told(kind, name)
            yield Variable(reader, _kind(field, written), _default(field), _sentences(field, words))


def _row(name: str, variables: list[Variable]) -> tuple[str, ...]:
    kinds = _differing((each.reader, each.kind) for each in variables)
    # The process whose rule it is says it best; others say so only where they do it otherwise.
    words = dict.fromkeys(each.words for each in variables if each.words)
    defaults = _differing((each.reader, each.default) for each in variables)
    readers = [each.reader for each in variables]
    return f"`{name.upper()}`", kinds, defaults, _together(readers), " ".join(words)


def _differing(told: Iterable[tuple[str, str]]) -> str:
    """One text, or each with those who say so."""
    by_text: dict[str, list[str]] = {}
    for reader, text in told:
        by_text.setdefault(text, []).append(reader)
    if len(by_text) == 1:
        return next(iter(by_text))
    return "; ".join(f"{_together(readers)}: {text}" for text, readers in by_text.items())


def _together(readers: Sequence[str]) -> str:
    if set(readers) == set(READERS):
        return "all"
    if set(_CLOUD) <= set(readers):
        readers = [*(each for each in readers if each not in _CLOUD), "cloud functions"]
    return ", ".join(readers)


@cache
def _declared(kind: type) -> Mapping[str, tuple[str, str]]:
    """Of each field that the class itself declares: its annotation as written, its docstring."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    found: dict[str, tuple[str, str]] = {}
    for each, after in zip(node.body, [*node.body[1:], None], strict=True):
        match each, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(text))
            ):
                found[name] = ast.unparse(each.annotation), text
            case ast.AnnAssign(target=ast.Name(id=name)), _:
                found[name] = ast.unparse(each.annotation), ""
    return found


def _bases(kind: type[BaseModel]) -> list[type[BaseModel]]:
    """Ours, the class itself first."""
    return [
        base
        for base in kind.__mro__
        if issubclass(base, BaseModel) and not base.__module__.startswith("pydantic")
    ]


def _told(kind: type[BaseModel], name: str) -> tuple[str, str]:
    """By the nearest class that declares it; its words by the nearest that has any."""
    declared = [_declared(base)[name] for base in _bases(kind) if name in _declared(base)]
    return declared[0][0], next((words for _, words in declared if words), "")


def _sentences(field: FieldInfo, words: str) -> str:
    return " ".join(each for each in (field.description or "", words) if each)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.default is None or field.default is PydanticUndefined:
        return "none"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, float):
        return f"`{field.default:g}`"
    return f"`{field.default}`"


def _kind(field: FieldInfo, written: str) -> str:
    if called := re.search(r"url_of\(([^)]*)\)", written):
        schemes = re.findall(r"'([a-z]+)'", called[1])
        return f"`{'`, `'.join(schemes[:-1])}` or `{schemes[-1]}` address"
    for name, said in _KINDS.items():
        if re.search(rf"\b{name}\b", written):
            return said
    plain = _plain(field.annotation)
    if get_origin(plain) is Literal:
        return " or ".join(f"`{each}`" for each in get_args(plain))
    return " ".join([_TYPES[plain], *_bounds(field.metadata)])


def _plain(annotation: Any) -> Any:
    """Without `| None` and `Annotated`."""
    wanted = [each for each in get_args(annotation) if each is not type(None)]
    if get_origin(annotation) is Literal or not wanted:
        return annotation
    return _plain(wanted[0])


def _bounds(metadata: Iterable[Any]) -> Iterator[str]:
    bounds = {
        name: value
        for each in metadata
        for name in ("ge", "gt", "le", "lt")
        if (value := getattr(each, name, None)) is not None
    }
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    for name, word in words.items():
        if name in bounds:
            yield f"{word} {bounds[name]:,}"
