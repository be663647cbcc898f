"""What `make deploy` and `make remove` ask before they do anything. Changes nothing.

    python -m deploy.check --stage prod
    python -m deploy.check --stage prod --template .build/deploy/prod/<template>
    CONFIRM=prod python -m deploy.check --stage prod --remove

The first names everything that a deployment lacks, at once, before anything is built. The second
compares the packaged template with what is deployed, and refuses what would fail, or replace or
delete a table (deploy/stack.py). The third is for `make remove`.
Exit code 0: go on; 2: one line for each thing to mend.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deploy.findings import SERVICE, Client, Findings, one_line
from deploy.stack import check_stack
from functions.adapters.aws_answers import refuse_foreign_answers

REGION: Final = "eu-west-1"
"""serverless.yml's; another one is not the nearest that may trade, and tables live in one."""
STAGES: Final = ("dev", "prod")
EXIT_MISSING: Final = 2
_IMAGE: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/"
    r"(?P<repository>[a-z0-9._/-]+)@(?P<digest>sha256:[0-9a-f]{64})"
)
_SECRET: Final = re.compile(
    r"arn:aws:secretsmanager:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):secret:[\w/+=.@-]+-\w{6}"
)
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_SECRETS: Final = {
    "SIGNING_KEY_SECRET_ARN": "the signing key",
    "API_CREDENTIALS_SECRET_ARN": "the API credentials",
}
_CONFIG: Final = Config(
    connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}
)


def check(stage: str, environment: Mapping[str, str], client: Client) -> Findings:
    """Everything that a deployment of `stage` wants from outside."""
    findings = Findings()
    if stage not in STAGES:
        findings.missing.append(f"STAGE: {' or '.join(STAGES)} is wanted, e.g. STAGE=dev")
    account = _account(findings, client)
    _check_image(findings, environment.get("IMAGE", ""), account, client)
    _check_words(findings, environment)
    on_paper = (environment.get("EXECUTION") or "paper") == "paper"
    for variable, what in _SECRETS.items() if not on_paper else ():
        _check_secret(findings, variable, what, environment.get(variable, ""), account, client)
    return findings


def check_removal(stage: str, environment: Mapping[str, str], client: Client) -> Findings:
    """What `make remove` wants: a stage, an account, and for prod its name once more."""
    findings = Findings()
    if stage not in STAGES:
        findings.missing.append(f"STAGE: {' or '.join(STAGES)} is wanted, e.g. STAGE=dev")
    elif stage == "prod" and environment.get("CONFIRM") != stage:
        findings.missing.append(
            "CONFIRM: this ends trading and settlement, and takes the logs and NATS' secrets away;"
            " if it is meant, say CONFIRM=prod"
        )
    _account(findings, client)
    if not findings.missing and stage == "prod":
        findings.found.append(f"tables {SERVICE}-{stage}-state and -decisions: kept, protected")
    return findings


def _account(findings: Findings, client: Client) -> str | None:
    try:
        account: str = client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        findings.missing.append(
            f"AWS credentials: {one_line(error)}; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY"
        )
        return None
    findings.found.append(f"account {account}, region {REGION}")
    return account


def _check_image(findings: Findings, image: str, account: str | None, client: Client) -> None:
    match = _IMAGE.fullmatch(image)
    if match is None:
        findings.missing.append(
            "IMAGE: the image in ECR by its digest is wanted,"
            f" <account>.dkr.ecr.{REGION}.amazonaws.com/<name>@sha256:<64 hex digits>"
        )
        return
    if not _here(findings, "IMAGE", match, account) or account is None:
        return
    try:
        client("ecr").describe_images(
            repositoryName=match["repository"], imageIds=[{"imageDigest": match["digest"]}]
        )
    except (BotoCoreError, ClientError) as error:
        findings.missing.append(f"IMAGE: {one_line(error)}")
        return
    findings.found.append(f"image {image.partition('/')[2]}")


def _check_words(findings: Findings, environment: Mapping[str, str]) -> None:
    if not _EMAIL.fullmatch(environment.get("ALARM_EMAIL", "")):
        findings.missing.append("ALARM_EMAIL: an e-mail address for alarms is wanted")
    if environment.get("REDEEM", "false") not in ("true", "false"):
        findings.missing.append("REDEEM: true or false is wanted, or nothing, which is false")
    execution = environment.get("EXECUTION") or "paper"
    if execution not in ("paper", "live"):
        findings.missing.append("EXECUTION: paper or live is wanted")
    elif execution == "live" and not _ADDRESS.fullmatch(environment.get("WALLET", "")):
        findings.missing.append("WALLET: EXECUTION=live needs the address that holds the funds")
    else:
        findings.found.append(f"execution {execution}")


def _check_secret(
    findings: Findings, variable: str, what: str, arn: str, account: str | None, client: Client
) -> None:
    """DescribeSecret shows that it is there, never what is in it."""
    match = _SECRET.fullmatch(arn)
    if match is None:
        findings.missing.append(
            f"{variable}: the full ARN of the secret with {what} is wanted, with the six"
            " characters that AWS has put at its end"
        )
        return
    if not _here(findings, variable, match, account) or account is None:
        return
    try:
        described = client("secretsmanager").describe_secret(SecretId=arn)
    except (BotoCoreError, ClientError) as error:
        findings.missing.append(f"{variable}: {one_line(error)}")
        return
    if "DeletedDate" in described:
        findings.missing.append(f"{variable}: the secret is going to be deleted")
        return
    if described.get("KmsKeyId", "alias/aws/secretsmanager") != "alias/aws/secretsmanager":
        # Also its ARN where the default was named expressly, which cannot be told from another's.
        findings.found.append(
            f"{variable}: has a key of its own; unless that is alias/aws/secretsmanager, the"
            " stack's roles cannot read the secret"
        )
    findings.found.append(f"{variable} is there")


def _here(findings: Findings, variable: str, match: re.Match[str], account: str | None) -> bool:
    if match["region"] != REGION:
        findings.missing.append(f"{variable}: is in {match['region']}, {REGION} is wanted")
        return False
    if account is not None and match["account"] != account:
        findings.missing.append(f"{variable}: is of account {match['account']}, not of {account}")
        return False
    return True


def aws(service: str) -> Any:
    """A client with the credentials that the environment has."""
    client = botocore.session.get_session().create_client(
        service, region_name=REGION, config=_CONFIG
    )
    refuse_foreign_answers(client)
    return client


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m deploy.check`: 0 go on, 2 mend something first."""
    parser = argparse.ArgumentParser(prog="python -m deploy.check")
    parser.add_argument("--stage", required=True)
    parser.add_argument("--template", type=Path)
    parser.add_argument("--remove", action="store_true")
    given = parser.parse_args(arguments)
    if given.remove:
        findings = check_removal(given.stage, os.environ, aws)
    elif given.template is None:
        findings = check(given.stage, os.environ, aws)
    else:
        try:
            packaged = json.loads(given.template.read_bytes())
        except (OSError, ValueError) as error:
            sys.stderr.write(f"cannot deploy: {given.template}: {one_line(error)}\n")
            return EXIT_MISSING
        findings = check_stack(given.stage, packaged, os.environ, aws)
    for line in findings.found:
        sys.stdout.write(f"  {line}\n")
    what = "remove" if given.remove else "deploy"
    for line in findings.missing:
        sys.stderr.write(f"cannot {what}: {line}\n")
    return EXIT_MISSING if findings.missing else 0


if __name__ == "__main__":
    sys.exit(main())
