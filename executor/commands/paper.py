"""`executor paper` and `executor live`: the system on this machine as a person asks for it.

1. Everything that a process would refuse is refused here first, by the same settings and with the
   environment that the process would have; the strategies are tried; a console's port that is
   taken is noticed. Only then is the data folder made.
2. Accounts are in the data folder, whatever the environment says of other stores.

Raises RefusedError with one line; `executor.commands.paper_line` shows it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from executor.alerts.settings import AlertSettings
from executor.commands.configuration import ConfigurationSettings
from executor.console.settings import ConsoleSettings
from feeder.settings import FeederSettings, MarketChannelSettings, UserFeederSettings
from functions.bootstrap import MisconfiguredError, strategies_of, try_strategy
from functions.core.group import is_file, parse_strategies
from functions.settings import ScheduleSettings, WorkerSettings
from local.data_folder import DataFolder, DataFolderError, place_of
from local.services import services_of
from local.system import SystemPlan, VenueUrls
from runtime.addresses import checked_url
from runtime.settings import EnvironmentSettings, mistakes_in
from venue.api_settings import ClobSettings, GammaSettings

RECORD_BYTES_MIN: Final = 100_000_000
"""As `executor record --max-gb`."""
_UNUSED_NATS: Final = "nats://127.0.0.1:4222"
"""In the place of the one that the system's own server will have."""
_OTHER_STORES: Final = ("STATE_TABLE", "AWS_ENDPOINT_URL_DYNAMODB")
_LIVE: Final = ("PRIVATE_KEY", "WALLET")
_READ_BY: Final[dict[str, tuple[type[EnvironmentSettings], ...]]] = {
    "recorder": (MarketChannelSettings, ConfigurationSettings),
    "feeder": (FeederSettings,),
    "user-feeder": (UserFeederSettings,),
    "worker": (WorkerSettings,),
    "schedule": (ScheduleSettings,),
    "console": (ConsoleSettings,),
    "alerts": (AlertSettings,),
}
"""What each process reads, by its name without a number."""


class RefusedError(ValueError):
    """A variable or an option will not do; one line."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a person has asked for."""

    execution: Literal["paper", "live"]
    data: Path
    venue: str | None
    """Scheme, host and port of another venue than the one that the variables name."""
    console_port: int
    record_gb: float
    """1e9 bytes; 0: no recording."""


def plan_of(wanted: Wanted, environment: Mapping[str, str]) -> SystemPlan:
    """What is to run, checked; the data folder is not there yet. Raises RefusedError."""
    try:
        data = place_of(wanted.data)
    except DataFolderError as error:
        raise RefusedError(f"--data: {error}") from None
    _refuse_contradictions(wanted, data, environment)
    variables = {name: value for name, value in environment.items() if value and name.isupper()}
    told = variables.pop("STRATEGIES", None) or variables.get("STRATEGY")
    variables.pop("STRATEGY", None)
    if told is not None:
        variables["STRATEGIES"] = _with_whole_paths(told, wanted.execution)
    return SystemPlan(
        data=DataFolder(path=data, lock=-1),
        execution=wanted.execution,
        variables=variables,
        venue=_venue_urls(wanted.venue, environment),
        console_port=wanted.console_port,
        recording_bytes_max=round(wanted.record_gb * 1e9),
    )


def check(plan: SystemPlan) -> WorkerSettings:
    """Whether every process would start with it. Raises RefusedError; returns what the workers
    read."""
    if 0 < plan.recording_bytes_max < RECORD_BYTES_MIN:
        raise RefusedError(f"--record-gb: {RECORD_BYTES_MIN / 1e9:g} at least, or 0 for none")
    mistakes: dict[str, None] = {}
    worker: WorkerSettings | None = None
    for service in services_of(plan, _UNUSED_NATS):
        for kind in _READ_BY.get(service.name.rstrip("-0123456789"), ()):
            if kind is UserFeederSettings and "API_KEY" not in service.env:
                continue  # the venue gives them for the signing key, once a person has said yes
            try:
                with only(service.env):
                    read = kind()
            except ValidationError as error:
                mistakes.update(dict.fromkeys(mistakes_in(error).split("; ")))
            else:
                worker = read if isinstance(read, WorkerSettings) else worker
    if "ALERT_URLS" in plan.variables and not any(each.startswith("ALERT") for each in mistakes):
        mistakes.update(dict.fromkeys(_of_alerts(plan.variables["ALERT_URLS"])))
    if mistakes or worker is None:
        raise RefusedError("; ".join(mistakes))
    if plan.execution == "live" and not worker.live:
        raise RefusedError("STRATEGIES: no account is live: type `executor paper`")
    try:
        strategies_of(worker)
        for one in worker.each():
            try_strategy(one)
    except MisconfiguredError as error:
        raise RefusedError(str(error)) from None
    return worker


def _of_alerts(urls: str) -> Iterator[str]:
    # Here, because it brings a hundred services, and few have set it.
    from executor.alerts.services import ServiceError, services_in  # noqa: PLC0415 - see above

    try:
        services_in(SecretStr(urls))
    except ServiceError as error:
        yield str(error)


def check_port(port: int) -> None:
    """Whether a console can be served there. Raises RefusedError."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            why = error.strerror or str(error)
            raise RefusedError(
                f"--console-port {port}: {why}; name another one, or 0 for any that is free"
            ) from None


def with_variables(plan: SystemPlan, variables: Mapping[str, str]) -> SystemPlan:
    """The same with more variables."""
    return replace(plan, variables={**plan.variables, **variables})


def other_store_named(environment: Mapping[str, str]) -> str | None:
    """A variable that names a store which is not used here, and that commands in this terminal
    would look at."""
    return next((name for name in _OTHER_STORES if environment.get(name)), None)


def _refuse_contradictions(wanted: Wanted, data: Path, environment: Mapping[str, str]) -> None:
    command, other = f"executor {wanted.execution}", environment.get("EXECUTION")
    if other and other != wanted.execution:
        raise RefusedError(
            f"EXECUTION is set, and not to {wanted.execution}: unset it; `{command}` says it"
        )
    missing = [name for name in _LIVE if not environment.get(name)]
    if wanted.execution == "live" and missing:
        raise RefusedError(
            f"{' and '.join(missing)}: `{command}` needs {'them' if missing[1:] else 'it'} "
            "(the signing key, and the address that holds your funds)"
        )
    state = environment.get("STATE")
    if state and state != DataFolder(path=data, lock=-1).state:
        raise RefusedError(
            f"STATE names another store than the data folder's: unset it; `{command}` keeps its "
            "accounts in --data"
        )


def _with_whole_paths(strategies: str, execution: Literal["paper", "live"]) -> str:
    """Strategy files by their whole path: who looks may stand elsewhere. Raises RefusedError."""
    try:
        entries = parse_strategies(strategies, execution)
    except ValueError:
        return strategies  # the settings say what is wrong with it
    if execution == "paper" and any(entry.live for entry in entries):
        raise RefusedError(
            "STRATEGIES: an account is live (@live), and `executor paper` trades none: "
            "take @live away, or type `executor live`"
        )
    told = []
    for part, entry in zip(strategies.split(","), entries, strict=True):
        named = entry.strategy
        file = is_file(named) and not named.startswith("/")
        told.append(part.replace(named, str(Path.cwd() / named)) if file else part)
    return ",".join(told)


def _venue_urls(venue: str | None, environment: Mapping[str, str]) -> VenueUrls:
    """Raises RefusedError."""
    if venue is not None:
        return _at_one_place(venue)
    clob, gamma = ClobSettings.model_fields["clob_url"], GammaSettings.model_fields["gamma_url"]
    market = MarketChannelSettings.model_fields["market_ws_url"]
    user = UserFeederSettings.model_fields["user_ws_url"]
    return VenueUrls(
        clob=environment.get("CLOB_URL") or clob.default,
        gamma=environment.get("GAMMA_URL") or gamma.default,
        market_ws=environment.get("MARKET_WS_URL") or market.default,
        user_ws=environment.get("USER_WS_URL") or user.default,
    )


def _at_one_place(venue: str) -> VenueUrls:
    try:
        url = checked_url(venue, ("https", "http"))
    except ValueError as error:
        raise RefusedError(f"--venue: {error}") from None
    scheme, rest = url.split("://", 1)
    if urlsplit(url).path:
        raise RefusedError("--venue: scheme, host and port are wanted: http://127.0.0.1:8080")
    channel = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws"
    return VenueUrls(clob=url, gamma=url, market_ws=f"{channel}/market", user_ws=f"{channel}/user")


@contextmanager
def only(env: Mapping[str, str]) -> Iterator[None]:
    """Settings read the environment: here, that of another process. Not for several threads."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
