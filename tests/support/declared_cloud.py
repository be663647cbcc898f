"""The cloud's always-running part as CloudFormation would see it, straight from `infra/*.yml`.

Faster than packaging, and in every combination of parameters, also in those that no stage has. What
osls makes of the files is not shown here: the packaged templates are tested beside this, and those
of a stage with several groups of strategies (infra/groups.js) in tests/infra/test_groups.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

INFRA: Final = Path(__file__).parents[2] / "infra"
FILES: Final = ("network", "secrets", "roles", "services", "worker")
IMAGE: Final = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/executor@sha256:{'ab' * 32}"
SIGNING_KEY: Final = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:signing-key-AbCdEf"
API_CREDENTIALS: Final = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:credentials-AbCdEf"

_PARAMS: Final = {
    "param:image": IMAGE,
    "param:signingKeySecretArn": SIGNING_KEY,
    "param:apiCredentialsSecretArn": API_CREDENTIALS,
    "param:wallet": f"0x{'1' * 40}",
    "param:series": "btc-15m,eth-15m",
    "param:strategy": "book_imbalance_crypto",
    "param:logRetentionDays": "30",
    "param:feederTasks": "2",
    "param:userFeederTasks": "1",
    "sls:stage": "dev",
    "self:service": "streaming-executor",
    # What infra/groups.js says of a stage without groups, as YAML.
    "file(infra/groups.js):workerRoles": "[!GetAtt WorkerTaskRole.Arn]",
    "file(infra/groups.js):partitions.state": "[STRATEGY#book_imbalance_crypto]",
    "file(infra/groups.js):partitions.decisions": "[DECISION#book_imbalance_crypto#*]",
}
_NO_VALUE: Final = {"Ref": "AWS::NoValue"}

Json = Any
"""What JSON can hold; only the template itself says what is where."""


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> Json:
    if isinstance(node, yaml.ScalarNode):
        value: Json = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        raise TypeError(f"!{suffix} of a mapping")
    if suffix == "Ref":
        return {"Ref": value}
    return {f"Fn::{suffix}": value.split(".") if suffix == "GetAtt" else value}


_Loader.add_multi_constructor("!", _short_form)


def cloud(*, execution: str = "paper", nodes: int = 1) -> dict[str, Json]:
    """Resources by logical id, conditions resolved: what does not exist is not there."""
    values = {**_PARAMS, "param:execution": execution, "param:natsNodes": str(nodes)}

    def value_of(match: re.Match[str]) -> str:
        return values[match[1]] if match[2] is None else match[2]

    resources: dict[str, Json] = {}
    conditions: dict[str, bool] = {}
    for name in (*FILES, "nats" if nodes == 1 else "nats-cluster"):
        text = (INFRA / f"{name}.yml").read_text(encoding="utf-8")
        text = re.sub(r"'(\$\{file\([^}]+\})'", r"\1", text)  # lists, not texts
        text = re.sub(
            r"\$\{((?:param|sls|self):\w+|file\([\w/.]+\):[\w.]+)(?:, '([^']*)')?\}", value_of, text
        )
        part = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with the short forms
        assert not resources.keys() & part["Resources"].keys()
        resources |= part["Resources"]
        for condition, rule in part.get("Conditions", {}).items():
            left, right = rule["Fn::Equals"]
            conditions[condition] = left == right
    return {
        logical_id: _resolved(resource, conditions)
        for logical_id, resource in resources.items()
        if conditions.get(resource.get("Condition"), True)
    }


def of_type(resources: dict[str, Json], kind: str) -> dict[str, Json]:
    """Properties by logical id of all resources of a type, e.g. `AWS::ECS::Service`."""
    return {
        logical_id: resource.get("Properties", {})
        for logical_id, resource in resources.items()
        if resource["Type"] == kind
    }


def containers(resources: dict[str, Json]) -> dict[str, Json]:
    """The one container of each task definition, by the task definition's logical id."""
    found = {}
    for logical_id, task in of_type(resources, "AWS::ECS::TaskDefinition").items():
        [found[logical_id]] = task["ContainerDefinitions"]
    return found


def environment(container: Json) -> dict[str, Json]:
    """Variables in the clear, by name."""
    return {entry["Name"]: entry["Value"] for entry in container["Environment"]}


def secrets(container: Json) -> dict[str, str]:
    """Where each secret variable comes from, by name."""
    return {
        entry["Name"]: entry["ValueFrom"]
        if isinstance(entry["ValueFrom"], str)
        else entry["ValueFrom"]["Fn::Sub"]
        for entry in container["Secrets"]
    }


def _resolved(value: Json, conditions: dict[str, bool]) -> Json:
    if isinstance(value, dict):
        if "Fn::If" in value:
            condition, then, otherwise = value["Fn::If"]
            return _resolved(then if conditions[condition] else otherwise, conditions)
        return {key: _resolved(inner, conditions) for key, inner in value.items()}
    if isinstance(value, list):
        kept = (_resolved(inner, conditions) for inner in value)
        return [inner for inner in kept if inner != _NO_VALUE]
    return value
