"""The functions as they are packaged: how they run, what they are told, who may call them."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import pytest

from functions.aws.settings import FunctionSettings, ReconcileSettings, SettleSettings
from runtime.settings import load_settings
from tests.infra.conftest import STAGES, Template, of_type, packaged

SETTINGS = {
    "Reconcile": ReconcileSettings,
    "Settle": SettleSettings,
    "Control": FunctionSettings,
}
SCHEDULED = ("Reconcile", "Settle")
KEY_HOLDERS = {"Settle"}


def _function(template: Template, name: str) -> dict[str, Any]:
    properties: dict[str, Any] = template["Resources"][f"{name}LambdaFunction"]["Properties"]
    return properties


def _told(template: Template, name: str) -> dict[str, str]:
    """Its variables when live; what is only known when deployed is told by its name."""
    told = {}
    for variable, value in _function(template, name)["Environment"]["Variables"].items():
        meant = value["Fn::If"][1] if isinstance(value, dict) and "Fn::If" in value else value
        told[variable] = meant["Ref"] if isinstance(meant, dict) else str(meant)
    return told


@pytest.mark.parametrize("stage", STAGES)
def test_these_functions_there_are(stage: str) -> None:
    functions = of_type(packaged(stage), "AWS::Lambda::Function")
    assert set(functions) == {f"{name}LambdaFunction" for name in SETTINGS}
    for name in SETTINGS:
        properties = _function(packaged(stage), name)
        assert properties["Runtime"] == "python3.12"
        assert properties["Architectures"] == ["arm64"]
        assert properties["Handler"] == f"functions.aws.entry_points.{name.lower()}"
        assert properties["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
        assert properties["ReservedConcurrentExecutions"] == (1 if name in SCHEDULED else 2)
        assert "VpcConfig" not in properties


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", SCHEDULED)
def test_a_scheduled_one_is_not_retried_and_leaves_a_dead_letter(stage: str, name: str) -> None:
    template = packaged(stage)
    properties = _function(template, name)
    assert properties["DeadLetterConfig"] == {
        "TargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    }
    asynchronous = template["Resources"][f"{name}LambdaEvConf"]["Properties"]
    assert asynchronous["MaximumRetryAttempts"] == 0
    assert asynchronous["MaximumEventAgeInSeconds"] == 60
    rule = template["Resources"][f"{name}EventsRuleSchedule1"]["Properties"]
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    assert rule["State"] == "ENABLED"
    # One that is late makes the next one wait, at most until that one is a dead letter.
    assert properties["Timeout"] < 60 + asynchronous["MaximumEventAgeInSeconds"]


@pytest.mark.parametrize("stage", STAGES)
def test_dead_letters_are_encrypted_and_kept_for_two_weeks(stage: str) -> None:
    queue = packaged(stage)["Resources"]["DeadLetterQueue"]["Properties"]
    assert queue["SqsManagedSseEnabled"] is True
    assert queue["MessageRetentionPeriod"] == 14 * 86_400


@pytest.mark.parametrize("stage", STAGES)
def test_no_log_is_kept_for_ever(stage: str) -> None:
    groups = of_type(packaged(stage), "AWS::Logs::LogGroup")
    assert {f"{name}LogGroup" for name in SETTINGS} <= set(groups)
    for name, group in groups.items():
        assert group["Properties"]["RetentionInDays"] == (30 if stage == "prod" else 14), name


@pytest.mark.parametrize("stage", STAGES)
def test_only_signed_requests_of_this_account_reach_control(stage: str) -> None:
    template = packaged(stage)
    (url,) = of_type(template, "AWS::Lambda::Url").values()
    assert url["Properties"]["AuthType"] == "AWS_IAM"
    assert "Cors" not in url["Properties"]
    for name, permission in of_type(template, "AWS::Lambda::Permission").items():
        assert permission["Properties"]["Principal"] == "events.amazonaws.com", name


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_function_is_told_what_it_reads_and_nothing_else(stage: str, name: str) -> None:
    told = _told(packaged(stage), name)
    settings = SETTINGS[name]
    assert set(told) <= {field.upper() for field in settings.model_fields}
    # Their defaults are for one machine, and here would be of another system.
    assert set(told) >= {"STATE_TABLE", "STRATEGIES", "EXECUTION"}
    with mock.patch.dict(os.environ, {**told, "EXECUTION": "live"}, clear=True):
        assert load_settings(settings).execution == "live"  # nothing that it needs is missing
    assert ("PRIVATE_KEY_SECRET" in told) == (name in KEY_HOLDERS)
    assert "PRIVATE_KEY" not in told
