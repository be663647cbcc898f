"""`deploy.check`: everything that is missing is named at once, and no table is replaced."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from deploy import check as checking
from deploy.check import Findings, check, check_tables

ACCOUNT = "123456789012"
SECRET = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:"
GOOD = {
    "IMAGE": f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/executor@sha256:{'a' * 64}",
    "ALARM_EMAIL": "somebody@example.com",
    "EXECUTION": "live",
    "WALLET": "0x" + "1" * 40,
    "SIGNING_KEY_SECRET_ARN": f"{SECRET}signing-key-AbCdEf",
    "API_CREDENTIALS_SECRET_ARN": f"{SECRET}api-AbCdEf",
}
KEYS = [
    {"AttributeName": "pk", "KeyType": "HASH"},
    {"AttributeName": "sk", "KeyType": "RANGE"},
]
TABLE: dict[str, Any] = {
    "Type": "AWS::DynamoDB::Table",
    "DeletionPolicy": "Retain",
    "UpdateReplacePolicy": "Retain",
    "Properties": {
        "TableName": "t",
        "DeletionProtectionEnabled": True,
        "KeySchema": KEYS,
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    },
}


class Cloud:
    """The four questions that are asked of AWS. Knows no permissions and no throttling."""

    def __init__(self, template: object = None, gone: str = "", anonymous: bool = False) -> None:
        self.template, self.gone, self.anonymous = template, gone, anonymous
        self.asked: list[str] = []

    def __call__(self, service: str) -> Cloud:
        self.asked.append(service)
        return self

    def get_caller_identity(self) -> dict[str, str]:
        if self.anonymous:
            raise NoCredentialsError
        return {"Account": ACCOUNT}

    def describe_secret(self, SecretId: str) -> dict[str, str]:  # noqa: N803 - the SDK's name
        if self.gone and self.gone in SecretId:
            raise _refusal("ResourceNotFoundException", "Secrets Manager can't find it")
        return {"ARN": SecretId}

    def get_template(self, StackName: str) -> dict[str, object]:  # noqa: N803 - the SDK's name
        if self.template is None:
            raise _refusal("ValidationError", f"Stack with id {StackName} does not exist")
        return {"TemplateBody": self.template}


def _refusal(code: str, text: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text}}, "Question")


def _names(findings: Findings) -> list[str]:
    return [line.partition(":")[0] for line in findings.missing]


def test_a_complete_environment_lacks_nothing() -> None:
    findings = check("prod", GOOD, Cloud())
    assert findings.missing == []
    assert f"account {ACCOUNT}, region eu-west-1" in findings.found


def test_everything_that_is_missing_is_named_at_once() -> None:
    findings = check("", {"EXECUTION": "live"}, Cloud(anonymous=True))
    assert _names(findings) == [
        "STAGE",
        "AWS credentials",
        "IMAGE",
        "ALARM_EMAIL",
        "WALLET",
        "SIGNING_KEY_SECRET_ARN",
        "API_CREDENTIALS_SECRET_ARN",
    ]


def test_on_paper_neither_wallet_nor_secrets_are_wanted() -> None:
    cloud = Cloud()
    findings = check("dev", {name: GOOD[name] for name in ("IMAGE", "ALARM_EMAIL")}, cloud)
    assert findings.missing == []
    assert cloud.asked == ["sts"]


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("IMAGE", f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/executor:latest", "digest"),
        ("IMAGE", GOOD["IMAGE"].replace(ACCOUNT, "000000000000"), "of account 000000000000"),
        ("SIGNING_KEY_SECRET_ARN", GOOD["SIGNING_KEY_SECRET_ARN"][:-7], "six characters"),
        (
            "API_CREDENTIALS_SECRET_ARN",
            GOOD["API_CREDENTIALS_SECRET_ARN"].replace("eu-west-1", "us-east-1"),
            "us-east-1",
        ),
        ("EXECUTION", "lvie", "paper or live"),
        ("WALLET", "me", "holds the funds"),
    ],
)
def test_what_is_wrong_is_named(variable: str, value: str, why: str) -> None:
    findings = check("dev", {**GOOD, variable: value}, Cloud())
    assert _names(findings) == [variable]
    assert why in findings.missing[0]


def test_a_secret_that_is_not_there_is_named_by_its_variable() -> None:
    findings = check("prod", GOOD, Cloud(gone="signing-key"))
    assert _names(findings) == ["SIGNING_KEY_SECRET_ARN"]


def _changed(change: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    table = copy.deepcopy(TABLE) | attributes
    table["Properties"] |= change
    return {"Resources": {"StateTable": table}}


@pytest.mark.parametrize(
    ("packaged", "why"),
    [
        ({"Resources": {}}, "deleted"),
        (_changed({"TableName": "other"}), "TableName"),
        (_changed({"KeySchema": KEYS[:1]}), "KeySchema"),
        (
            _changed(
                {
                    "AttributeDefinitions": [
                        {"AttributeName": "pk", "AttributeType": "S"},
                        {"AttributeName": "sk", "AttributeType": "N"},
                    ]
                }
            ),
            "AttributeDefinitions",
        ),
        (_changed({"LocalSecondaryIndexes": [{"IndexName": "i"}]}), "LocalSecondaryIndexes"),
        (_changed({"DeletionProtectionEnabled": False}), "deletion protection"),
        (_changed({"PointInTimeRecoverySpecification": {}}), "point-in-time recovery"),
        (_changed({}, DeletionPolicy="Delete"), "DeletionPolicy"),
    ],
)
def test_a_change_that_endangers_a_table_of_prod_is_refused(packaged: Any, why: str) -> None:
    findings = check_tables("prod", packaged, Cloud({"Resources": {"StateTable": TABLE}}))
    assert len(findings.missing) == 1
    assert why in findings.missing[0]


def test_a_table_that_stays_is_told_and_dev_may_weaken_it() -> None:
    cloud = Cloud({"Resources": {"StateTable": TABLE}})
    assert check_tables("prod", _changed({"TableClass": "STANDARD"}), cloud).missing == []
    assert check_tables("dev", _changed({"DeletionProtectionEnabled": False}), cloud).missing == []


def test_the_first_deployment_has_nothing_to_lose() -> None:
    findings = check_tables("prod", {"Resources": {}}, Cloud())
    assert findings.missing == []
    assert "first deployment" in findings.found[0]


def test_the_command_exits_2_with_a_line_for_each_thing_to_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(checking, "aws", Cloud({"Resources": {"StateTable": TABLE}}))
    template = tmp_path / "template.json"
    template.write_text(json.dumps({"Resources": {}}))
    assert checking.main(["--stage", "prod", "--template", str(template)]) == 2
    assert capsys.readouterr().err.startswith("cannot deploy: StateTable would be deleted")
    assert checking.main(["--stage", "prod", "--template", str(tmp_path / "none")]) == 2
    assert "cannot deploy" in capsys.readouterr().err
