"""The processes of a system on one machine: which module, with which environment.

Each gets what it reads, and nothing else of what a person has set. Secrets travel in `env`, never
in arguments, which anybody may list.

| process | variables of the person's, beside SSL_CERT_* |
|---|---|
| worker | those of its settings; live PRIVATE_KEY and WALLET, too |
| schedule | those of its settings; live PRIVATE_KEY, WALLET and API_*, too |
| feeder, recorder | SERIES, MAX_BOOK_AGE_MS |
| feeder | PUBLISHED_BIDS |
| user-feeder (live) | WALLET, API_* |
| console | accounts and limits without their keys; CONSOLE_* |
| alerts | accounts and limits without their keys; ALERT_*, HEARTBEAT_* |
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from functions.core.collective_configuration import COLLECTIVE_SETTINGS
from functions.core.configuration import SETTINGS
from functions.settings import LimitSettings, ScheduleSettings, WorkerSettings
from local.child import ROOT, Child
from local.plan import SystemPlan
from runtime.settings import EnvironmentSettings

RECORDER: Final = "recorder"
FEEDER: Final = "feeder"
CERTIFICATES: Final = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR"})
SIGNING: Final = frozenset({"PRIVATE_KEY", "WALLET"})
API_CREDENTIALS: Final = frozenset({"API_KEY", "API_SECRET", "API_PASSPHRASE", "API_ADDRESS"})
FEEDER_VARIABLES: Final = CERTIFICATES | {"SERIES", "MAX_BOOK_AGE_MS"}
PUBLISHED_BIDS: Final = "PUBLISHED_BIDS"
USER_FEEDER_VARIABLES: Final = CERTIFICATES | API_CREDENTIALS | {"WALLET"}
NOT_THE_PERSONS: Final = frozenset(
    {
        # The supervisor says those.
        *("STATE", "EXECUTION", "NATS_URL", "METRICS_PORT", "EXECUTOR_DATA", "CONSOLE_PORT"),
        *("CLOB_URL", "GAMMA_URL", "MARKET_WS_URL", "USER_WS_URL"),
        # Of systems on many machines: this one's nats-server knows no users, and has no copies.
        *("NATS_USER", "NATS_PASSWORD", "STREAM_REPLICAS", "CLOUDWATCH_STAGE", "METRICS_HOST"),
        *("STATE_TABLE", "DECISION_TABLE", "REQUESTS_CA_BUNDLE"),
    }
)
SEEDING: Final = frozenset(name.upper() for name in (*SETTINGS, *COLLECTIVE_SETTINGS))
_OF_CLOUDS: Final = "AWS_"
_CONSOLE_PREFIXES: Final = ("CONSOLE_",)
_ALERT_PREFIXES: Final = ("ALERT_", "HEARTBEAT_")
_ALERTING: Final = ("ALERT_URLS", "HEARTBEAT_URL")
"""Without any of them there is nobody to tell."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    """One process of the system itself."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    started_event: str
    """What it logs once it is up: with its `metrics_port`, if it has one."""
    env: dict[str, str] = dataclasses.field(repr=False)
    seeding: frozenset[str] = frozenset()
    """Variables that count until it has been up once. By then their values are stored, and when
    somebody has changed what is stored, it would refuse to start again with them."""

    async def launch(self, child: Child, pass_fds: Collection[int] = (), cwd: Path = ROOT) -> None:
        """Start it; its `started_event` is to be waited for. Raises OSError."""
        await child.start(
            # Whatever lies about in the directory where it starts is none of our modules.
            *(sys.executable, "-P", "-m", self.module, *self.arguments),
            env={"PYTHONPATH": str(ROOT), **self.env},
            pass_fds=pass_fds,
            cwd=cwd,
        )

    def seeded(self) -> Service:
        """As it is started after it has been up."""
        env = {name: value for name, value in self.env.items() if name not in self.seeding}
        return dataclasses.replace(self, env=env)


def looking_env(plan: SystemPlan, nats_url: str) -> dict[str, str]:
    """With which `executor` looks at this system; no secret, and none of what is stored by then:
    where that was changed, it would be contradicted."""
    of_accounts = names_of(LimitSettings) - SIGNING - SEEDING
    return {
        **_given(plan, of_accounts | FEEDER_VARIABLES),
        **_placed(plan),
        "NATS_URL": nats_url,
        "CLOB_URL": plan.venue.clob,
        "GAMMA_URL": plan.venue.gamma,
        "MARKET_WS_URL": plan.venue.market_ws,
        "USER_WS_URL": plan.venue.user_ws,
    }


def services_of(plan: SystemPlan, nats_url: str) -> list[Service]:
    """All but nats-server, in the order in which they start."""
    return [
        *([_recorder(plan, nats_url)] if plan.recording_bytes_max else []),
        *_feeders(plan, nats_url),
        *_functions(plan, nats_url),
        *_watchers(plan, nats_url),
    ]


def _recorder(plan: SystemPlan, nats_url: str) -> Service:
    most = f"{plan.recording_bytes_max / 1e9:g}"
    out = str(plan.data.recording)
    return Service(
        name=RECORDER,
        module="executor",
        arguments=("record", "--books", "--out", out, "--max-gb", most),
        started_event="history_followed",
        env=looking_env(plan, nats_url),
    )


def _feeders(plan: SystemPlan, nats_url: str) -> Iterable[Service]:
    listening = {"NATS_URL": nats_url, "METRICS_PORT": "0", "CLOB_URL": plan.venue.clob}
    yield Service(
        name=FEEDER,
        module="feeder",
        started_event="feeder_started",
        env={
            **_given(plan, FEEDER_VARIABLES | {PUBLISHED_BIDS}),
            **listening,
            "GAMMA_URL": plan.venue.gamma,
            "MARKET_WS_URL": plan.venue.market_ws,
        },
    )
    if plan.execution == "live":  # the venue reports no trades of paper orders
        yield Service(
            name="user-feeder",
            module="feeder",
            arguments=("user",),
            started_event="user_feeder_started",
            env={
                **_given(plan, USER_FEEDER_VARIABLES),
                **listening,
                "USER_WS_URL": plan.venue.user_ws,
            },
        )


def _functions(plan: SystemPlan, nats_url: str) -> Iterable[Service]:
    kept_back = frozenset() if plan.execution == "live" else SIGNING | API_CREDENTIALS
    trading = {
        **_placed(plan),
        "METRICS_PORT": "0",
        "CLOB_URL": plan.venue.clob,
        "GAMMA_URL": plan.venue.gamma,
    }
    for number in range(1, plan.workers + 1):
        yield Service(
            name=f"worker-{number}",
            module="functions.worker",
            started_event="worker_started",
            env={
                **_given(plan, names_of(WorkerSettings) - kept_back),
                **trading,
                "NATS_URL": nats_url,
            },
            seeding=SEEDING,
        )
    yield Service(
        name="schedule",
        module="functions.schedule",
        started_event="schedule_started",
        env={**_given(plan, names_of(ScheduleSettings) - kept_back), **trading},
    )


def _watchers(plan: SystemPlan, nats_url: str) -> Iterable[Service]:
    looking = {**looking_env(plan, nats_url), "EXECUTOR_DATA": str(plan.data.path)}
    if plan.console_port is not None:
        yield Service(
            name="console",
            module="executor",
            arguments=("console",),
            started_event="console_started",
            env={
                **_beginning(plan, _CONSOLE_PREFIXES),
                **looking,
                "CONSOLE_PORT": str(plan.console_port),
            },
        )
    if any(plan.variables.get(name) for name in _ALERTING):
        yield Service(
            name="alerts",
            module="executor",
            arguments=("alert", "run"),
            started_event="alerts_started",
            env={**_beginning(plan, _ALERT_PREFIXES), **looking, "METRICS_PORT": "0"},
        )


def names_of(settings: type[EnvironmentSettings]) -> frozenset[str]:
    """The variables of a person's that settings read."""
    names = {name.upper() for name in settings.model_fields} - NOT_THE_PERSONS
    return frozenset(name for name in names if not name.startswith(_OF_CLOUDS))


def _placed(plan: SystemPlan) -> dict[str, str]:
    """Whose accounts, and where they are."""
    return {"STATE": plan.data.state, "EXECUTION": plan.execution}


def _given(plan: SystemPlan, names: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in plan.variables.items() if name in names}


def _beginning(plan: SystemPlan, prefixes: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in plan.variables.items() if name.startswith(prefixes)}
