"""What our processes are told by a deployment, held against what they read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from unittest import mock

from pydantic_settings import BaseSettings

from feeder.settings import FeederSettings, UserFeederSettings
from functions.core.configuration import LimitFields, SizeFields
from functions.settings import ScheduleSettings, WorkerSettings
from runtime.settings import load_settings

SETTINGS: dict[str, type[BaseSettings]] = {
    "feeder": FeederSettings,
    "user-feeder": UserFeederSettings,
    "worker": WorkerSettings,
    "schedule": ScheduleSettings,
}
COMMANDS = {
    "nats": ["nats-server", "-c", "/app/infra/nats/nats.conf"],
    "feeder": ["python", "-m", "feeder"],
    "user-feeder": ["python", "-m", "feeder", "user"],
    "worker": ["python", "-m", "functions.worker"],
    "schedule": ["python", "-m", "functions.schedule"],
}
NATS_VARIABLES = {
    "GOMAXPROCS",
    *("NATS_STORE_DIR", "NATS_FEEDER_PASSWORD", "NATS_WORKER_PASSWORD"),
}
SECRETS = {
    "PRIVATE_KEY": "0x" + "11" * 32,
    "API_KEY": "key",
    "API_SECRET": "c2VjcmV0",
    "API_PASSPHRASE": "phrase",
    "API_ADDRESS": "0x" + "2" * 40,
}
WALLET = "0x" + "3" * 40
LIMITS = {name.upper() for name in LimitFields.model_fields}
"""What the account may do: whatever is declared there, also later."""
TASTE = ({name.upper() for name in WorkerSettings.__annotations__} - {"METRICS_PORT"}) | {
    name.upper() for name in SizeFields.__annotations__
}
"""Which books are traded on, and how; likewise."""


def unknown(process: str, variables: Mapping[str, str]) -> set[str]:
    """Variables that the process does not read."""
    known = {name.upper() for name in SETTINGS[process].model_fields}
    return set(variables) - known


def read(process: str, variables: Mapping[str, str]) -> BaseSettings:
    """The process's settings with these variables and no others. SystemExit where it would exit."""
    with mock.patch.dict(os.environ, dict(variables), clear=True):
        return load_settings(SETTINGS[process])
