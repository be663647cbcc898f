"""Whether each process would accept this environment, and as much of it as can be used now.

Of the feeders' variables those that say what they need of the venue; of the others they say the
same in one line when they start.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Final, TypeVar, cast

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from executor.doctor.finding import Finding, fail, ok
from feeder.settings import MarketChannelSettings, UserChannelSettings
from functions.settings import (
    ApiSettings,
    GateSettings,
    LimitSettings,
    ScheduleSettings,
    WorkerSettings,
)
from runtime.nats_settings import NatsSettings
from runtime.settings import EnvironmentSettings, mistakes_in


class ChannelSettings(MarketChannelSettings, UserChannelSettings):
    """Which series, and the venue's websockets."""


_PROCESSES: Final = (
    ("worker", WorkerSettings),
    ("scheduled functions", ScheduleSettings),
    ("feeders, as far as the venue is concerned", ChannelSettings),
)
_Kind = TypeVar("_Kind", bound=BaseSettings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnvironmentRead:
    """The settings, with defaults in place of the variables that are `wrong`."""

    limits: LimitSettings
    nats: NatsSettings
    channels: ChannelSettings
    gate: GateSettings
    api: ApiSettings
    worker: WorkerSettings | None
    """None where any of a worker's variables is wrong."""
    wrong: frozenset[str]

    def first_wrong(self, *names: str) -> str | None:
        """The first of these variables that cannot be used, as the environment spells it."""
        return next((name.upper() for name in names if name in self.wrong), None)


def read() -> EnvironmentRead:
    """From the environment; raises nothing."""
    limits, wrong = _usable(LimitSettings)
    nats, wrong_for_nats = _usable(NatsSettings)
    channels, wrong_for_channels = _usable(ChannelSettings)
    gate, wrong_for_gate = _usable(GateSettings)
    api, wrong_for_api = _usable(ApiSettings)
    wrong |= wrong_for_nats | wrong_for_channels | wrong_for_gate | wrong_for_api
    return EnvironmentRead(
        limits=limits,
        nats=nats,
        channels=channels,
        gate=gate,
        api=api,
        worker=_worker(),
        wrong=wrong,
    )


def check() -> list[Finding]:
    """One finding for each process."""
    findings = []
    for who, kind in _PROCESSES:
        what = f"configuration of the {who}"
        try:
            kind()
        except ValidationError as error:
            findings.append(fail(what, mistakes_in(error), "mend these variables"))
        else:
            findings.append(ok(what, "every variable is valid"))
    return findings


def _worker() -> WorkerSettings | None:
    try:
        return WorkerSettings()
    except ValidationError:
        return None


def _usable(kind: type[_Kind]) -> tuple[_Kind, frozenset[str]]:
    try:
        return kind(), frozenset()
    except ValidationError as error:
        wrong = frozenset(str(item["loc"][0]) for item in error.errors() if item["loc"])
        defaults = {name: kind.model_fields[name].get_default() for name in wrong}
        if wrong:
            with contextlib.suppress(ValidationError):
                return kind(**defaults), wrong
    # Variables that are valid one by one and do not go together: none of them can be used.
    own = kind.model_fields.keys() - EnvironmentSettings.model_fields.keys()
    return cast(_Kind, kind.model_construct()), frozenset(own)
