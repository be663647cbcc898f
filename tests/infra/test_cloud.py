"""What runs in the cloud all the time, and how it is replaced, as `infra/*.yml` declare it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml
from pydantic_settings import BaseSettings

from feeder.settings import FeederSettings, UserFeederSettings
from functions.core.configuration import AccountConfiguration
from functions.settings import WorkerSettings
from tests.support import deployed_settings as deployed
from tests.support.declared_cloud import (
    API_CREDENTIALS,
    IMAGE,
    INFRA,
    SIGNING_KEY,
    Json,
    cloud,
    containers,
    environment,
    of_type,
    secrets,
)

STOP_S: Final = 10
"""Every process of ours has ended this long after SIGTERM (functions/worker.py)."""
NATS_AWAY_S: Final = 60
"""How long a replacement of NATS may take while its clients wait for it."""
READS: Final[dict[str, type[BaseSettings]]] = {
    "FeederTask": FeederSettings,
    "UserFeederTask": UserFeederSettings,
    "WorkerTask": WorkerSettings,
}
NATS_OF_FEEDERS: Final = {
    "NATS_USER": "${NatsFeederSecret}:username::",
    "NATS_PASSWORD": "${NatsFeederSecret}:password::",
}
NATS_OF_WORKERS: Final = {
    "NATS_USER": "${NatsWorkerSecret}:username::",
    "NATS_PASSWORD": "${NatsWorkerSecret}:password::",
}

EVERYTHING: Final = {
    (execution, nodes): cloud(execution=execution, nodes=nodes)
    for execution in ("paper", "live")
    for nodes in (1, 3)
}
LIVE: Final = EVERYTHING["live", 1]
CLUSTER: Final = EVERYTHING["live", 3]

in_every_cloud: Final = pytest.mark.parametrize(
    "resources", [pytest.param(value, id=f"{key[0]}-{key[1]}") for key, value in EVERYTHING.items()]
)


@in_every_cloud
def test_a_container_can_do_nothing_but_its_work(resources: dict[str, Json]) -> None:
    for task, container in containers(resources).items():
        assert container["Image"] == IMAGE, task
        assert container["User"] == "10001:10001", task  # without a group it would be that of root
        assert container["ReadonlyRootFilesystem"] is True, task
        assert container["LinuxParameters"] == {"Capabilities": {"Drop": ["ALL"]}}, task
        assert "Privileged" not in container
    for service in of_type(resources, "AWS::ECS::Service").values():
        assert service["EnableExecuteCommand"] is False
        assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == (
            "DISABLED"
        )


@in_every_cloud
def test_a_container_is_told_to_stop_and_has_the_time(resources: dict[str, Json]) -> None:
    for task, container in containers(resources).items():
        # 120 s is the longest that Fargate grants ("Amazon ECS task definition parameters").
        assert 2 * STOP_S <= container["StopTimeout"] <= 120, task


@in_every_cloud
def test_a_container_is_asked_whether_it_is_well(resources: dict[str, Json]) -> None:
    for task, container in containers(resources).items():
        check = container["HealthCheck"]
        assert check["Command"][:4] == ["CMD", "python", "-m", "runtime.probe"], task
        assert check["Timeout"] > 2, task  # runtime.probe's own patience
        if task in READS:
            patience_s = check["Interval"] * check["Retries"]
            assert NATS_AWAY_S < patience_s <= 5 * NATS_AWAY_S, task


@in_every_cloud
def test_a_slow_log_stops_no_process(resources: dict[str, Json]) -> None:
    groups = set()
    for task, container in containers(resources).items():
        log = container["LogConfiguration"]
        assert log["LogDriver"] == "awslogs", task
        assert log["Options"]["mode"] == "non-blocking", task
        assert log["Options"]["max-buffer-size"] == "4m", task
        groups.add(log["Options"]["awslogs-group"]["Ref"])
    kept = of_type(resources, "AWS::Logs::LogGroup")
    assert groups == kept.keys() - {"FlowLogGroup"}
    assert all(group["RetentionInDays"] == 30 for group in kept.values())


def test_live_each_service_gets_its_own_secrets() -> None:
    assert {task: secrets(container) for task, container in containers(LIVE).items()} == {
        "FeederTask": NATS_OF_FEEDERS,
        "UserFeederTask": {
            **NATS_OF_FEEDERS,
            "API_KEY": f"{API_CREDENTIALS}:key::",
            "API_SECRET": f"{API_CREDENTIALS}:secret::",
            "API_PASSPHRASE": f"{API_CREDENTIALS}:passphrase::",
            "API_ADDRESS": f"{API_CREDENTIALS}:address::",
        },
        "WorkerTask": {**NATS_OF_WORKERS, "PRIVATE_KEY": SIGNING_KEY},
        "NatsTask": {
            "NATS_FEEDER_PASSWORD": "${NatsFeederSecret}:password::",
            "NATS_WORKER_PASSWORD": "${NatsWorkerSecret}:password::",
        },
    }


@pytest.mark.parametrize("nodes", [1, 3])
def test_on_paper_no_secret_of_the_account_is_touched(nodes: int) -> None:
    paper = EVERYTHING["paper", nodes]
    assert SIGNING_KEY in str(EVERYTHING["live", nodes])
    assert SIGNING_KEY not in str(paper)
    assert API_CREDENTIALS not in str(paper)
    assert "WALLET" not in environment(containers(paper)["WorkerTask"])
    assert not any("UserFeeder" in logical_id for logical_id in paper)


VALID = {"API_ADDRESS": f"0x{'1' * 40}", "PRIVATE_KEY": f"0x{'1' * 64}"}


@in_every_cloud
def test_every_variable_is_known_and_every_required_one_set(
    resources: dict[str, Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    for task, container in containers(resources).items():
        if task not in READS:
            continue
        settings = READS[task]
        clear, secret = environment(container), secrets(container)
        known = {name.upper() for name in settings.model_fields}
        assert (clear.keys() | secret.keys()) - known == set(), task
        assert not clear.keys() & secret.keys(), task
        with monkeypatch.context() as patch:
            for name in known:
                patch.delenv(name, raising=False)
            for name, value in clear.items():
                patch.setenv(
                    name, value if isinstance(value, str) else value["Ref"].replace("::", "-")
                )
            for name in secret:
                patch.setenv(name, VALID.get(name, "c2VjcmV0"))
            settings()  # raises when a required one is missing or a value is wrong
        assert clear["METRICS_HOST"] == "0.0.0.0"  # noqa: S104 - a container of its own
        assert clear["METRICS_PORT"] == str(settings.model_fields["metrics_port"].default)
        assert clear["CLOUDWATCH_STAGE"] == "dev"
        assert clear["NATS_URL"] == "nats://nats.dev.streaming-executor.internal:4222"


def test_what_an_account_begins_with_is_the_code_s_unless_a_stage_says_otherwise() -> None:
    """Told as nothing: a variable that says something is held against the stored configuration,
    and a worker that is told another value than that refuses to start."""
    paper = containers(EVERYTHING["paper", 1])
    worker, feeder = environment(paper["WorkerTask"]), environment(paper["FeederTask"])
    source = (INFRA / "worker.yml").read_text(encoding="utf-8")
    guide = (INFRA.parent / "docs/how-to/deploy.md").read_text(encoding="utf-8")
    for name in deployed.LIMITS | deployed.TASTE:
        assert name in worker, f"nobody can change {name} in the cloud"
        field = WorkerSettings.model_fields[name.lower()]
        assert worker[name] in ("", str(field.default)), name
        assert (worker[name] == "") == (name.lower() in AccountConfiguration.model_fields), name
        head, *rest = name.lower().split("_")
        param = "".join((head, *(part.capitalize() for part in rest)))
        assert f"${{param:{param}, '" in source, param
        assert f"`{param}`" in guide, param
    assert feeder["MAX_BOOK_AGE_MS"] == str(WorkerSettings.model_fields["max_book_age_ms"].default)


def test_the_address_of_nats_is_the_one_that_is_registered() -> None:
    assert LIVE["Namespace"]["Properties"]["Name"] == "dev.streaming-executor.internal"
    assert LIVE["NatsDiscovery"]["Properties"]["Name"] == "nats"
    for resources in (LIVE, CLUSTER):
        for logical_id, service in of_type(resources, "AWS::ECS::Service").items():
            registries = [{"RegistryArn": {"Fn::GetAtt": ["NatsDiscovery", "Arn"]}}]
            expected = registries if logical_id.startswith("Nats") else None
            assert service.get("ServiceRegistries") == expected, logical_id


@in_every_cloud
def test_an_upgrade_starts_the_new_before_it_stops_the_old(resources: dict[str, Json]) -> None:
    for logical_id, service in of_type(resources, "AWS::ECS::Service").items():
        how = service["DeploymentConfiguration"]
        assert how["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}, logical_id
        bounds = how["MinimumHealthyPercent"], how["MaximumPercent"]
        # Of three named servers each stops before its successor starts: one name, one server.
        one_name = logical_id.startswith("Nats") and "NatsServiceA" in resources
        assert bounds == ((0, 100) if one_name else (100, 200)), logical_id
        if not logical_id.startswith("Nats"):
            assert "NatsService" in resources[logical_id]["DependsOn"], logical_id


def test_an_upgrade_leaves_the_number_of_workers_alone() -> None:
    services = of_type(LIVE, "AWS::ECS::Service")
    assert {name for name, service in services.items() if "DesiredCount" not in service} == {
        "WorkerService"
    }


def test_three_servers_have_names_and_zones_of_their_own() -> None:
    services = of_type(CLUSTER, "AWS::ECS::Service")
    tasks = containers(CLUSTER)
    names, subnets = [], []
    for logical_id in ("NatsServiceA", "NatsServiceB", "NatsService"):
        service = services[logical_id]
        assert service["DesiredCount"] == 1
        names.append(environment(tasks[service["TaskDefinition"]["Ref"]])["NATS_SERVER_NAME"])
        [subnet] = service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]
        subnets.append(subnet["Ref"])
    assert names == ["nats-a", "nats-b", "nats-c"]
    zones = [
        CLUSTER[subnet]["Properties"]["AvailabilityZone"]["Fn::Select"][0] for subnet in subnets
    ]
    assert zones == [0, 1, 2]
    assert "NatsServiceA" in CLUSTER["NatsServiceB"]["DependsOn"]
    assert "NatsServiceB" in CLUSTER["NatsService"]["DependsOn"]


def test_streams_are_on_as_many_servers_as_there_are() -> None:
    for (_, nodes), resources in EVERYTHING.items():
        for task, container in containers(resources).items():
            if task in READS:
                assert environment(container)["STREAM_REPLICAS"] == str(nodes), task


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_a_stage_has_the_servers_that_it_counts_on(stage: str) -> None:
    declared = yaml.safe_load((INFRA / "stages" / f"{stage}.yml").read_text(encoding="utf-8"))
    wanted = "nats.yml" if declared["params"]["natsNodes"] == 1 else "nats-cluster.yml"
    parts = [part for part in declared["resources"] if "infra/nats" in part]
    assert parts == [f"${{file(infra/{wanted})}}"]


def test_what_nats_writes_ends_with_its_task_and_belongs_to_its_user() -> None:
    dockerfile = (INFRA.parent / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    for resources in (LIVE, CLUSTER):
        for logical_id, task in of_type(resources, "AWS::ECS::TaskDefinition").items():
            [container] = task["ContainerDefinitions"]
            if container["Name"] != "nats":
                assert "Volumes" not in task
                continue
            # No host, no EFS, no EBS: a disk that no later task sees.
            assert task["Volumes"] == [{"Name": "jetstream"}], logical_id
            store = environment(container)["NATS_STORE_DIR"]
            assert container["MountPoints"] == [
                {"SourceVolume": "jetstream", "ContainerPath": store}
            ]
            assert re.search(rf'^VOLUME .*"?{re.escape(store)}"?', dockerfile, re.MULTILINE)


@pytest.mark.parametrize(("resources", "task"), [(LIVE, "NatsTask"), (CLUSTER, "NatsTaskB")])
def test_nats_server_takes_its_configuration_as_the_container_starts_it(
    resources: dict[str, Json], task: str, tmp_path: Path
) -> None:
    """The declared command and variables, the repository's files, the real nats-server."""
    container = containers(resources)[task]
    command = [
        part.replace("/app/infra", str(INFRA)).replace("cluster.conf", "cluster.conf -t")
        for part in container["Command"]
    ]
    if command[0] == "nats-server":
        command.append("-t")  # only look at the configuration
    # Letters only, as a generated password is (secrets.yml), even such as could mean a number.
    environ = dict.fromkeys(secrets(container), "infinityNaN" * 4)
    environ |= environment(container) | {"NATS_STORE_DIR": str(tmp_path)}
    environ["PATH"] = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    outcome = subprocess.run(  # noqa: S603 - our own template's command
        command, env=environ, capture_output=True, text=True, timeout=20, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "is valid" in outcome.stderr + outcome.stdout
