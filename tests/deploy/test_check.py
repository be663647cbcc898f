"""`deploy.check`: everything that is missing is named at once, before anything is built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy import check as checking
from deploy.check import check, check_removal
from deploy.findings import Findings
from tests.support.aws_answers import ACCOUNT, Cloud

SECRET = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:"
GOOD = {
    "IMAGE": f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/executor@sha256:{'a' * 64}",
    "ALARM_EMAIL": "somebody@example.com",
    "EXECUTION": "live",
    "WALLET": "0x" + "1" * 40,
    "SIGNING_KEY_SECRET_ARN": f"{SECRET}signing-key-AbCdEf",
    "API_CREDENTIALS_SECRET_ARN": f"{SECRET}api-AbCdEf",
}


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
    assert cloud.asked == ["sts", "ecr"]


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
        ("REDEEM", "yes", "true or false"),
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


def test_an_image_that_is_not_there_is_named_before_tasks_cannot_fetch_it() -> None:
    findings = check("dev", GOOD, Cloud(gone="executor"))
    assert _names(findings) == ["IMAGE"]


def test_a_secret_under_a_key_of_its_own_is_told() -> None:
    cloud = Cloud(key="arn:aws:kms:eu-west-1:123456789012:key/1")
    told = [line for line in check("prod", GOOD, cloud).found if "cannot read" in line]
    assert len(told) == 2


@pytest.mark.parametrize(
    ("stage", "environment", "names"),
    [
        ("dev", {}, []),
        ("prod", {}, ["CONFIRM"]),
        ("prod", {"CONFIRM": "yes"}, ["CONFIRM"]),
        ("prod", {"CONFIRM": "prod"}, []),
        ("", {"CONFIRM": "prod"}, ["STAGE"]),
        ("staging", {}, ["STAGE"]),
    ],
)
def test_prod_is_removed_by_whoever_says_its_name_twice(
    stage: str, environment: dict[str, str], names: list[str]
) -> None:
    assert _names(check_removal(stage, environment, Cloud())) == names


def test_nothing_is_removed_without_credentials() -> None:
    assert _names(check_removal("dev", {}, Cloud(anonymous=True))) == ["AWS credentials"]


def test_the_command_exits_2_with_a_line_for_each_thing_to_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(checking, "aws", Cloud())
    monkeypatch.delenv("CONFIRM", raising=False)
    template = tmp_path / "template.json"
    template.write_text(json.dumps({"Resources": {}}))
    assert checking.main(["--stage", "prod", "--template", str(template)]) == 2
    assert capsys.readouterr().err.startswith("cannot deploy: the packaged template is not one of")
    assert checking.main(["--stage", "prod", "--remove"]) == 2
    assert capsys.readouterr().err.startswith("cannot remove: CONFIRM:")
    assert checking.main(["--stage", "prod", "--template", str(tmp_path / "none")]) == 2
    assert "cannot deploy" in capsys.readouterr().err
