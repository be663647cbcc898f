"""`deploy/compose.yml` and its `.env.example`. No test here shows that an engine starts it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import deployed_settings as deployed

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = [*deployed.COMMANDS]
GIVEN = {
    "NATS_FEEDER_PASSWORD": "feederword",
    "NATS_WORKER_PASSWORD": "workerword",
    "PYTHON_IMAGE": "python@sha256:0",
}
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^}]*))?\}")


def filled_in(text: object, given: dict[str, str]) -> str:
    """As compose fills in: `${A:-default}`, and `${A:?text}`, which refuses."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if kind == "?" and not given.get(name):
            raise LookupError(name)
        return given.get(name) or (rest if kind == "-" else "")

    return _VARIABLE.sub(value, str(text))


def environ(service: str, **given: str) -> dict[str, str]:
    """What the service is told when `.env` says this."""
    told = SERVICES[service]["environment"]
    return {name: filled_in(text, {**GIVEN, **given}) for name, text in told.items()}


def test_it_is_valid_by_compose_s_own_schema() -> None:
    tool = ROOT / ".venv-infra" / "bin" / "check-jsonschema"
    done = subprocess.run(  # noqa: S603 - our own tool, no shell
        [str(tool), "--builtin-schema", "vendor.compose-spec", "deploy/compose.yml"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_shut_in(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["restart"] in ("unless-stopped", "on-failure")
    assert service["networks"] in (["inside"], ["inside", "outside"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert not {"privileged", "pid", "network_mode", "cap_add", "devices"} & set(service)
    for mount in service.get("volumes", []):
        source, _, options = mount.partition(":")
        assert source in COMPOSE["volumes"] or (
            options.endswith(":ro") and (ROOT / "deploy" / source).is_dir()
        )
    assert ":" in filled_in(service["image"], {}).rpartition("/")[2]  # never just the newest


@pytest.mark.parametrize("name", OURS)
def test_ours_run_as_nobody_and_may_finish(name: str) -> None:
    service = SERVICES[name]
    assert service["command"] == deployed.COMMANDS[name]
    assert service["user"] == "10001:10001"
    assert int(service["stop_grace_period"].removesuffix("s")) > 10
    probe = ["CMD", "python", "-m", "runtime.probe"]
    assert service["healthcheck"]["test"] == (probe if name != "nats" else [*probe, "8222"])


@pytest.mark.parametrize("name", deployed.SETTINGS)
def test_every_variable_is_read_and_what_is_told_is_enough(name: str) -> None:
    secrets = deployed.SECRETS if name in ("user-feeder", "schedule") else {}
    secrets = {key: text for key, text in secrets.items() if key != "PRIVATE_KEY"}
    for given in ({}, {"AWS_ENDPOINT_URL_DYNAMODB": "http://dynamodb:8000"}):
        told = environ(name, **given)
        assert deployed.unknown(name, told) == set()
        settings = deployed.read(name, {**told, **secrets})
        assert getattr(settings, "execution", "paper") == "paper"
    if name in ("worker", "schedule"):
        live = environ(name, EXECUTION="live", WALLET=deployed.WALLET)
        with pytest.raises(SystemExit):
            deployed.read(name, live)
        key = {"PRIVATE_KEY": deployed.SECRETS["PRIVATE_KEY"]} if name == "worker" else secrets
        deployed.read(name, {**live, **key})


def test_whatever_a_trader_would_change_in_env_reaches_the_processes_that_read_it() -> None:
    wanted = deployed.LIMITS | deployed.TASTE | {"WALLET", "SERIES"}
    for name, settings in deployed.SETTINGS.items():
        read = {field.upper() for field in settings.model_fields} & wanted
        assert read <= {
            variable for variable, text in SERVICES[name]["environment"].items() if "$" in str(text)
        }, name


def test_nats_is_told_its_passwords_and_nothing_starts_without_one() -> None:
    assert set(SERVICES["nats"]["environment"]) == deployed.NATS_VARIABLES
    for missing in GIVEN:
        with pytest.raises(LookupError, match=missing):
            filled_in(COMPOSE, {**GIVEN, missing: ""})
    filled_in(COMPOSE, GIVEN)
    for name, user in (("feeder", "feeder"), ("user-feeder", "feeder"), ("worker", "worker")):
        told = environ(name)
        assert (told["NATS_USER"], told["NATS_PASSWORD"]) == (user, f"{user}word")


def test_keys_go_to_those_who_need_them() -> None:
    files = {
        name: {each["path"] for each in service.get("env_file", [])}
        for name, service in SERVICES.items()
    }
    holders = {
        path: {name for name in files if path in files[name]}
        for path in set().union(*files.values())
    }
    assert holders == {
        ".env.key": {"worker"},
        ".env.api": {"user-feeder", "schedule"},
        ".env.aws": {"worker", "schedule"},
    }
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert {".env", ".env.*", "!.env.example"} <= set(ignored)
    told = set().union(*(service.get("environment", {}) for service in SERVICES.values()))
    assert not told & set(deployed.SECRETS)


def test_the_example_names_every_variable_and_holds_no_secret() -> None:
    example = (ROOT / "deploy" / ".env.example").read_text("utf-8")
    for name, *_ in _VARIABLE.findall((ROOT / "deploy" / "compose.yml").read_text("utf-8")):
        assert re.search(rf"\b{name}\b", example), name
    assert (
        re.findall(r"^(?:NATS_\w+_PASSWORD|PYTHON_IMAGE|WALLET)=(.*)$", example, re.M) == [""] * 4
    )


def test_prometheus_finds_the_services_where_they_listen() -> None:
    config = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text("utf-8"))
    found = [each for job in config["scrape_configs"] for each in job["dns_sd_configs"]]
    asked = {(each["names"][0], str(each["port"])) for each in found}
    listening = {(name, environ(name)["METRICS_PORT"]) for name in deployed.SETTINGS}
    assert asked == listening
    assert all(environ(name)["METRICS_HOST"] == "0.0.0.0" for name in deployed.SETTINGS)  # noqa: S104


def test_the_tables_have_the_keys_that_are_declared() -> None:
    state = yaml.load((ROOT / "infra/state.yml").read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506
    said = " ".join(SERVICES["tables"]["command"])
    for table in ("StateTable", "DecisionTable"):
        keys = state["Resources"][table]["Properties"]["KeySchema"]
        text = " ".join(f"AttributeName={k['AttributeName']},KeyType={k['KeyType']}" for k in keys)
        assert text in said
