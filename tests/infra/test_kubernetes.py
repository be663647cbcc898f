"""infra/kubernetes. What no test here can show: that a cluster takes it, and that KEDA does."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.core.group import parse_strategies
from tests.support import deployed_settings as deployed
from tests.support.metrics_builders import worker_metrics

ROOT = Path(__file__).parents[2]
ROOM = ROOT / "infra" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((ROOM / "kustomization.yml").read_text("utf-8"))
FILES = [ROOM / name for name in KUSTOMIZATION["resources"]]
GROUP = ROOM / "group-example"
GROUP_NAME = "night-owl"
GROUP_KUSTOMIZATION = yaml.safe_load((GROUP / "kustomization.yml").read_text("utf-8"))
GROUP_FILES = [GROUP / name for name in GROUP_KUSTOMIZATION["resources"]]


def objects_in(files: list[Path]) -> list[dict[str, Any]]:
    return [each for path in files for each in yaml.safe_load_all(path.read_text("utf-8"))]


OBJECTS = objects_in(FILES)
GROUP_OBJECTS = objects_in(GROUP_FILES)
KIND_OF_KEDA = "ScaledObject"


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == kind}


DEPLOYMENTS = named("Deployment")


def pod_of(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    return spec


def container_of(name: str) -> dict[str, Any]:
    containers: list[dict[str, Any]] = pod_of(name)["containers"]
    assert len(containers) == 1
    return containers[0]


def environ(name: str) -> dict[str, str]:
    """What the container is told; a secret as `name/key`, or what stands for it."""
    told: dict[str, str] = {}
    for source in container_of(name).get("envFrom", []):
        told |= named("ConfigMap")[source["configMapRef"]["name"]]["data"]
    for each in container_of(name)["env"]:
        source = each.get("valueFrom", {})
        told[each["name"]] = each.get("value") or "/".join(
            str((source.get("secretKeyRef") or source["configMapKeyRef"])[key])
            for key in ("name", "key")
        )
    return told


def test_the_folder_holds_what_is_applied_and_nothing_else() -> None:
    for room, files in ((ROOM, FILES), (GROUP, GROUP_FILES)):
        assert {path.name for path in room.glob("*.yml")} == {path.name for path in files} | {
            "kustomization.yml"
        }
    assert [path for path in ROOM.iterdir() if path.suffix != ".yml"] == [GROUP]
    assert {
        each["metadata"].get("namespace", "")
        for each in (*OBJECTS, *GROUP_OBJECTS)
        if each["kind"] != "Namespace"
    } == {KUSTOMIZATION["namespace"]}


def test_it_is_valid_by_kubernetes_own_schemas() -> None:
    """But for KEDA's kind, of which no schema is at hand: see the test of its fields."""
    tool = ROOT / ".venv-infra" / "bin" / "kubernetes-validate"
    files = [str(path) for path in (*FILES, *GROUP_FILES) if path.name != "scaling.yml"]
    done = subprocess.run(  # noqa: S603 - our own tool, no shell
        [str(tool), "--strict", "--quiet", *files],
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_pod_is_shut_in_and_replaced_without_a_gap(name: str) -> None:
    pod, container, spec = pod_of(name), container_of(name), DEPLOYMENTS[name]["spec"]
    assert container["command"] == deployed.COMMANDS[name]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert (
        named("ServiceAccount")[pod["serviceAccountName"]]["automountServiceAccountToken"] is False
    )
    assert pod["terminationGracePeriodSeconds"] > 10  # a worker finishes its orders within ten
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert container["resources"]["limits"]["memory"]
    assert {"readinessProbe", "livenessProbe"} <= set(container)
    assert container["image"] == KUSTOMIZATION["images"][0]["name"]


@pytest.mark.parametrize("name", deployed.SETTINGS)
def test_every_variable_is_read_and_what_is_told_is_enough(name: str) -> None:
    told = environ(name)
    assert deployed.unknown(name, told) == set()
    secret = {key: deployed.SECRETS[key] for key in deployed.SECRETS if key in told}
    if secret and "EXECUTION" not in told:  # it proves whose credentials they are, as the others do
        assert told.pop("WALLET") == "account/WALLET"
    deployed.read(name, {**told, **secret})
    if name in ("worker", "schedule"):  # on paper without any secret of the account, live with
        deployed.read(name, {key: text for key, text in told.items() if key not in secret})
        live = {**told, **secret, "EXECUTION": "live", "WALLET": deployed.WALLET}
        deployed.read(name, live)
    ports = container_of(name)["ports"]
    assert [str(port["containerPort"]) for port in ports] == [told["METRICS_PORT"]]
    assert told["METRICS_HOST"] == "0.0.0.0"  # noqa: S104 - inside a pod
    told_to_prometheus = DEPLOYMENTS[name]["spec"]["template"]["metadata"]["annotations"]
    assert told_to_prometheus["prometheus.io/port"] == told["METRICS_PORT"]


def test_secrets_are_named_not_held_and_go_to_those_who_need_them() -> None:
    assert not named("Secret")
    referred: dict[str, set[str]] = {}
    for name in DEPLOYMENTS:
        for each in container_of(name)["env"]:
            if "secretKeyRef" in each.get("valueFrom", {}):
                ref = each["valueFrom"]["secretKeyRef"]
                referred.setdefault(f"{ref['name']}/{ref['key']}", set()).add(name)
            else:
                assert not re.search("PASSWORD|SECRET|_KEY", each["name"])
    api = {f"api-credentials/{key}" for key in ("key", "secret", "passphrase", "address")}
    assert referred == {
        "nats-passwords/feeder": {"nats", "feeder", "user-feeder"},
        "nats-passwords/worker": {"nats", "worker"},
        "signing-key/key": {"worker"},
        **{key: {"user-feeder", "schedule"} for key in api},
    }
    documented = (ROOM / "kustomization.yml").read_text("utf-8")
    for each in referred:
        secret, _, key = each.partition("/")
        line = next(line for line in documented.splitlines() if line.startswith(f"#   {secret} "))
        assert re.search(rf"\b{key}\b", line.removeprefix(f"#   {secret}")), each
    assert set(environ("nats")) == deployed.NATS_VARIABLES


def test_whoever_must_not_be_alone_is_not() -> None:
    assert DEPLOYMENTS["feeder"]["spec"]["replicas"] == 2
    (term,) = pod_of("feeder")["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["labelSelector"]["matchLabels"] == {"app.kubernetes.io/name": "feeder"}
    for name in ("feeder", "worker"):
        budget = named("PodDisruptionBudget")[name]["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"] == DEPLOYMENTS[name]["spec"]["selector"]


def test_keda_scales_workers_on_a_metric_that_there_is() -> None:
    """The fields are those of KEDA's documentation ("ScaledObject specification", "Prometheus");
    a field that nobody knows would be dropped in silence, hence the closed sets."""
    (scaled,) = named(KIND_OF_KEDA).values()
    spec = scaled["spec"]
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert set(spec) == {
        *("scaleTargetRef", "minReplicaCount", "maxReplicaCount"),
        *("pollingInterval", "advanced", "triggers"),
    }
    assert spec["scaleTargetRef"] == {"name": "worker"}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 10)
    assert "replicas" not in DEPLOYMENTS["worker"]["spec"]  # two would pull at it
    assert set(spec["advanced"]) == {"horizontalPodAutoscalerConfig"}
    (trigger,) = spec["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("prometheus", "Value")
    assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold"}
    asked = re.findall(r"\b(worker_\w+)\b", trigger["metadata"]["query"])
    told = {
        sample.name for family in worker_metrics().registry.collect() for sample in family.samples
    }
    assert asked
    assert set(asked) <= told


def test_nobody_is_spoken_to_but_by_those_who_must() -> None:
    policies = named("NetworkPolicy")
    assert policies["nobody"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    clients = {"feeder", "user-feeder", "worker"}
    assert {
        name for name in DEPLOYMENTS if "NATS_URL" in environ(name) and name != "nats"
    } == clients
    (rule,) = policies["nats-is-spoken-to"]["spec"]["ingress"]
    (peer,) = rule["from"]
    assert set(peer["podSelector"]["matchExpressions"][0]["values"]) == clients
    assert rule["ports"] == [{"protocol": "TCP", "port": 4222}]
    (outside,) = policies["venue-and-dynamodb"]["spec"]["egress"]
    assert outside["ports"] == [{"protocol": "TCP", "port": 443}]
    ports = policies["prometheus-scrapes"]["spec"]["ingress"][0]["ports"][0]
    used = {int(environ(name)["METRICS_PORT"]) for name in deployed.SETTINGS}
    assert used == set(range(ports["port"], ports["endPort"] + 1))


def of_group(kind: str, name: str = f"worker-{GROUP_NAME}") -> dict[str, Any]:
    return next(
        each for each in GROUP_OBJECTS if (each["kind"], each["metadata"]["name"]) == (kind, name)
    )


@pytest.mark.parametrize("kind", ["Deployment", "PodDisruptionBudget", KIND_OF_KEDA])
def test_a_further_group_s_workers_are_as_the_first_s_but_for_what_they_serve(kind: str) -> None:
    """A copy, because kustomize reads no file outside of its folder; so it is held to what it
    copies."""
    renamed = json.loads(
        json.dumps(of_group(kind)).replace(f"worker-{GROUP_NAME}", "worker"),
    )
    if kind == "Deployment":
        [container] = renamed["spec"]["template"]["spec"]["containers"]
        told = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        assert told["GROUP"] == GROUP_NAME
        entries = parse_strategies(told["STRATEGIES"], "paper")
        assert not {entry.account for entry in entries} & {
            entry.account for entry in parse_strategies(environ("worker")["STRATEGIES"], "paper")
        }
        own = ("STRATEGIES", "GROUP")
        container["env"] = [each for each in container["env"] if each["name"] not in own]
        deployed.read(
            "worker", {**environ("worker"), **told, "PRIVATE_KEY": "", "NATS_PASSWORD": "x"}
        )
    if kind == KIND_OF_KEDA:
        [trigger] = renamed["spec"]["triggers"]
        query = " ".join(trigger["metadata"]["query"].split())
        trigger["metadata"]["query"] = query.replace('{pod=~"worker-.*"}', "")
        first = named(kind)["worker"]
        [trigger] = first["spec"]["triggers"]
        trigger["metadata"]["query"] = " ".join(trigger["metadata"]["query"].split())
    assert renamed == named(kind)["worker"]
    assert GROUP_KUSTOMIZATION["images"] == KUSTOMIZATION["images"]


def test_a_further_group_s_workers_may_speak_with_whom_workers_speak() -> None:
    rules = named("NetworkPolicy")
    policy = of_group("NetworkPolicy")["spec"]
    assert policy["egress"] == [
        *rules["clients-speak-to-nats"]["spec"]["egress"],
        *rules["venue-and-dynamodb"]["spec"]["egress"],
    ]
    [scraped], [scrapes] = policy["ingress"], rules["prometheus-scrapes"]["spec"]["ingress"]
    assert scraped["from"] == scrapes["from"]
    nats = of_group("NetworkPolicy", f"nats-is-spoken-to-by-{GROUP_NAME}")["spec"]
    first = rules["nats-is-spoken-to"]["spec"]
    assert nats["podSelector"] == first["podSelector"]
    assert nats["ingress"][0]["ports"] == first["ingress"][0]["ports"]
    worker = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": f"worker-{GROUP_NAME}"}}}
    assert nats["ingress"][0]["from"] == [worker]
    assert policy["podSelector"] == worker["podSelector"]
