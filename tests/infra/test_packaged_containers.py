"""The containers as they are packaged: which process each is, and what it is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.conftest import of_type, packaged
from tests.support.deployed_settings import COMMANDS, NATS_VARIABLES, SECRETS, read, unknown

PROCESSES = {
    "FeederTask": "feeder",
    "UserFeederTask": "user-feeder",
    "WorkerTask": "worker",
    "NatsTask": "nats",
}
ALL = {"NATS_URL", "NATS_USER", "NATS_PASSWORD", "METRICS_HOST", "METRICS_PORT", "CLOUDWATCH_STAGE"}
ACCOUNT = {"STATE_TABLE", "DECISION_TABLE", "AWS_REGION", "STRATEGIES", "EXECUTION"}
NEEDED = {"feeder": ALL | {"SERIES"}, "user-feeder": ALL, "worker": ALL | ACCOUNT}
"""What has a default that is for one machine, and in the cloud would be of another system."""


def _container(stage: str, task: str) -> dict[str, Any]:
    properties = packaged(stage)["Resources"][task]["Properties"]
    (container,) = properties["ContainerDefinitions"]
    return dict(container)


def _told(container: dict[str, Any]) -> dict[str, str]:
    """Its variables when live; secrets, and what only a deployment knows, by any good value."""
    told = {}
    for part in ("Environment", "Secrets"):
        for entry in container.get(part, []):
            meant = entry["Fn::If"][1] if "Fn::If" in entry else entry
            name, value = meant["Name"], meant.get("Value", "secret")
            assert name not in told, "twice"
            told[name] = SECRETS.get(name) or str(
                value["Ref"].replace("::", "-") if isinstance(value, dict) else value
            )
    if "WALLET" in told:
        told["WALLET"] = SECRETS["API_ADDRESS"]  # a plain wallet is its own signer
    return told


@pytest.mark.parametrize("stage", ["dev", "prod"])
@pytest.mark.parametrize("task", PROCESSES)
def test_a_process_is_told_what_it_reads_and_nothing_else(stage: str, task: str) -> None:
    container, process = _container(stage, task), PROCESSES[task]
    assert container["Command"] == COMMANDS[process]
    told = _told(container)
    if process == "nats":
        assert set(told) == NATS_VARIABLES
        return
    assert unknown(process, told) == set()
    assert set(told) >= NEEDED[process]
    read(process, told)  # exits where a required one is missing or a value is wrong
    assert told["CLOUDWATCH_STAGE"] == stage


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_there_are_no_other_containers(stage: str) -> None:
    assert set(of_type(packaged(stage), "AWS::ECS::TaskDefinition")) == set(PROCESSES)
