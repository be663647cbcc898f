"""`deploy.stack`: what would fail or be lost is said before a stack is touched."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from deploy.findings import SERVICE
from deploy.stack import check_stack
from tests.deploy.test_table_changes import TABLE
from tests.infra.conftest import ROOT
from tests.support.aws_answers import ACCOUNT, Cloud
from tests.support.guides import sections

Template = dict[str, Any]


def _template(stage: str = "prod", execution: str = "paper", **resources: Any) -> Template:
    tables = {
        name: {**TABLE, "Properties": {**TABLE["Properties"], "TableName": table_name}}
        for name, table_name in (
            ("StateTable", f"{SERVICE}-{stage}-state"),
            ("DecisionTable", f"{SERVICE}-{stage}-decisions"),
        )
    }
    return {
        "Conditions": {"Live": {"Fn::Equals": [f"execution: {execution}", "execution: live"]}},
        "Resources": {
            **tables,
            "WorkerService": {"Type": "AWS::ECS::Service"},
            "ReconcileLambdaFunction": {
                "Type": "AWS::Lambda::Function",
                "Properties": {"ReservedConcurrentExecutions": 4},
            },
            "CostMonitor": {"Type": "AWS::CE::AnomalyMonitor"},
            **resources,
        },
    }


ONLY_A_BUCKET = {"Resources": {"ServerlessDeploymentBucket": {"Type": "AWS::S3::Bucket"}}}
LIVE = {"EXECUTION": "live"}


def test_the_names_are_those_of_the_declaration() -> None:
    declared = (ROOT / "serverless.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(declared)["service"] == SERVICE


def test_the_first_deployment_on_paper_has_nothing_to_lose() -> None:
    findings = check_stack("prod", _template(), {}, Cloud())
    assert findings.missing == []
    assert "first deployment" in findings.found[-1]


def test_an_update_that_leaves_the_tables_alone_goes_on() -> None:
    cloud = Cloud(_template(), tables=(f"{SERVICE}-prod-state",))
    findings = check_stack("prod", _template(Queue={"Type": "AWS::SQS::Queue"}), {}, cloud)
    assert findings.missing == []
    assert findings.found == [f"stack {SERVICE}-prod: its tables stay as they are"]
    assert set(cloud.asked) == {"cloudformation"}  # nothing new wants anything else


def test_a_table_that_would_be_lost_stops_it() -> None:
    deployed = _template(Old=TABLE)
    (line,) = check_stack("prod", _template(), {}, Cloud(deployed)).missing
    assert line.startswith("Old would be deleted")


def test_a_template_of_another_stage_is_not_deployed() -> None:
    (line,) = check_stack("prod", _template("dev"), {}, Cloud()).missing
    assert line.startswith("the packaged template is not one of prod")


def test_an_image_that_was_made_up_for_tests_is_not_deployed() -> None:
    task = {
        "Type": "AWS::ECS::TaskDefinition",
        "Properties": {"ContainerDefinitions": [{"Image": "not-an-image"}]},
    }
    packaged = _template(Task=task)
    (line,) = check_stack("prod", packaged, {"IMAGE": "executor"}, Cloud()).missing
    assert line.startswith("IMAGE: the packaged template has not-an-image")
    assert check_stack("prod", packaged, {"IMAGE": "not-an-image"}, Cloud()).missing == []


@pytest.mark.parametrize(("packaged", "said"), [("live", {}), ("paper", LIVE)])
def test_what_was_packaged_trades_as_the_environment_says(
    packaged: str, said: dict[str, str]
) -> None:
    cloud = Cloud(_template(execution=packaged))
    missing = check_stack("prod", _template(execution=packaged), said, cloud).missing
    assert missing[0].startswith("EXECUTION: the packaged template says")


@pytest.mark.parametrize("deployed", [None, ONLY_A_BUCKET])
def test_the_first_deployment_is_on_paper(deployed: Template | None) -> None:
    """One that is refused to start would take everything with it, its own log included."""
    (line,) = check_stack("prod", _template(execution="live"), LIVE, Cloud(deployed)).missing
    assert line.startswith("EXECUTION: the first deployment")
    after_it = Cloud(_template())
    assert check_stack("prod", _template(execution="live"), LIVE, after_it).missing == []


def test_nobody_leaves_live_by_forgetting_a_variable() -> None:
    cloud = Cloud(_template(execution="live"))
    (line,) = check_stack("prod", _template(), {}, cloud).missing
    assert line.startswith("EXECUTION: prod is live")
    assert check_stack("prod", _template(), {"EXECUTION": "paper"}, cloud).missing == []


def test_tables_that_outlived_their_stack_are_named() -> None:
    """A removed stack, or a first deployment that failed, leaves them where they are retained."""
    names = (f"{SERVICE}-prod-state", f"{SERVICE}-prod-decisions")
    for deployed in (None, ONLY_A_BUCKET):
        missing = check_stack("prod", _template(), {}, Cloud(deployed, tables=names)).missing
        assert [line.split(":")[0] for line in missing] == [f"table {name}" for name in names]
    assert sections()[missing[0].split('"')[1]] in missing[0]


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("UPDATE_IN_PROGRESS", "wait"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("ROLLBACK_COMPLETE", "make remove"),
        ("DELETE_FAILED", "make remove"),
    ],
)
def test_a_stack_that_takes_no_update_is_named(status: str, what: str) -> None:
    (line,) = check_stack("prod", _template(), {}, Cloud(_template(), status=status)).missing
    assert what in line


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_stack_that_went_back_takes_the_next_update(status: str) -> None:
    assert check_stack("prod", _template(), {}, Cloud(_template(), status=status)).missing == []


@pytest.mark.parametrize(("unreserved", "enough"), [(10, False), (103, False), (104, True)])
def test_an_account_that_cannot_reserve_concurrency_is_named(unreserved: int, enough: bool) -> None:
    missing = check_stack("dev", _template("dev"), {}, Cloud(unreserved=unreserved)).missing
    assert [line.split(":")[0] for line in missing] == ([] if enough else ["Lambda"])


def test_who_may_not_ask_is_not_stopped() -> None:
    findings = check_stack("dev", _template("dev"), {}, Cloud(unreserved=-1))
    assert findings.missing == []
    assert findings.found[0].startswith("not known: Lambda's concurrency")


@pytest.mark.parametrize(("managed_by", "may"), [(None, True), (ACCOUNT, True), ("9" * 12, False)])
def test_only_a_managing_account_may_watch_a_tags_cost(managed_by: str | None, may: bool) -> None:
    missing = check_stack("dev", _template("dev"), {}, Cloud(managed_by=managed_by)).missing
    assert [line.split(":")[0] for line in missing] == ([] if may else ["infra/cost.yml"])
