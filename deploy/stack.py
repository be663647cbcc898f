"""What a deployment of a packaged template would meet in the account, and do to what is there.

Each question exists because its answer otherwise comes a quarter of an hour later, as the rollback
of a whole stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from deploy.accounts import check_accounts
from deploy.findings import SERVICE, Client, Findings, one_line
from deploy.table_changes import TABLE, refused_changes
from functions.core.group import Execution

Template = Mapping[str, Any]
Question = Callable[[], Any]
UNRESERVED_MIN: Final = 100
"""What Lambda keeps for functions without a reservation (AWS Lambda, "Configuring reserved
concurrency for a function"). New accounts may run ten at a time, and can reserve nothing."""


def check_stack(
    stage: str, packaged: Template, environment: Mapping[str, str], client: Client
) -> Findings:
    """What would fail or be lost when `packaged` is deployed now. Changes nothing."""
    findings = Findings()
    _check_packaged(findings, stage, packaged, environment)
    stack = f"{SERVICE}-{stage}"
    try:
        deployed = _deployed(findings, stack, client("cloudformation"))
    except (BotoCoreError, ClientError) as error:
        findings.missing.append(f"stack {stack}: {one_line(error)}")
        return findings
    findings.missing += refused_changes(deployed, packaged, protected=stage == "prod")
    _check_execution(findings, stage, deployed, packaged, environment)
    check_accounts(findings, deployed, packaged, (_execution(deployed), _execution(packaged)))
    _check_names(findings, deployed, packaged, client)
    _check_concurrency(findings, deployed, packaged, client)
    _check_cost_monitor(findings, stage, deployed, packaged, client)
    if not findings.missing and _new(deployed, packaged, TABLE):
        findings.found.append(f"stack {stack}: not there yet, this is its first deployment")
    elif not findings.missing:
        findings.found.append(f"stack {stack}: its tables stay as they are")
    return findings


def _check_packaged(
    findings: Findings, stage: str, packaged: Template, environment: Mapping[str, str]
) -> None:
    """Two packagings at once mix their templates, so what is deployed is looked at, not trusted."""
    names = [table["Properties"].get("TableName") for table in _of_type(packaged, TABLE).values()]
    if sorted(map(str, names)) != [f"{SERVICE}-{stage}-decisions", f"{SERVICE}-{stage}-state"]:
        findings.missing.append(
            f"the packaged template is not one of {stage}: its tables are {names};"
            " if something else was packaging here, wait for its end and repeat"
        )
    images = {
        container["Image"]
        for task in _of_type(packaged, "AWS::ECS::TaskDefinition").values()
        for container in task["Properties"]["ContainerDefinitions"]
    }
    if images - {environment.get("IMAGE")}:
        findings.missing.append(
            f"IMAGE: the packaged template has {', '.join(sorted(images))};"
            " if something else was packaging here, wait for its end and repeat"
        )
    if _execution(packaged) != (environment.get("EXECUTION") or "paper"):
        findings.missing.append(
            f"EXECUTION: the packaged template says {_execution(packaged)}, the environment"
            f" {environment.get('EXECUTION') or 'nothing, which is paper'}"
        )


def _deployed(findings: Findings, stack: str, cloudformation: Any) -> Template:
    """The stack's template; one without resources where there is no stack."""
    try:
        status = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        deployed = cloudformation.get_template(StackName=stack)["TemplateBody"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return {}
    if status == "UPDATE_ROLLBACK_FAILED":
        what = f"`aws cloudformation continue-update-rollback --stack-name {stack}` first"
    elif status.endswith("_IN_PROGRESS"):
        what = "wait for its end"
    elif status == "ROLLBACK_COMPLETE" or status.endswith("_FAILED"):
        what = "nothing of it works: remove it first (`make remove`)"
    else:
        what = ""
    if what:
        findings.missing.append(f"stack {stack}: is {status}; {what}")
    if isinstance(deployed, str):
        findings.missing.append(f"stack {stack}: its template is not JSON, so not of our making")
        return {}
    template: Template = deployed
    return template


def _check_execution(
    findings: Findings,
    stage: str,
    deployed: Template,
    packaged: Template,
    environment: Mapping[str, str],
) -> None:
    """Neither to live by accident nor away from it."""
    if _execution(packaged) == "live" and "WorkerService" not in deployed.get("Resources", {}):
        # A worker refuses to start where its wallet has no money, say, and ECS' circuit breaker
        # fails the service. An update goes back to the paper workers; a first deployment takes
        # everything away, the log that says why included.
        findings.missing.append(
            f"EXECUTION: the first deployment of {stage} is on paper; deploy with EXECUTION=paper,"
            " then again with EXECUTION=live"
        )
    if (
        _execution(deployed) == "live"
        and _execution(packaged) == "paper"
        and not environment.get("EXECUTION")
    ):
        findings.missing.append(
            f"EXECUTION: {stage} is live. Say EXECUTION=live to leave it so, or EXECUTION=paper to"
            " end that: nobody would then settle what it holds"
        )


def _check_names(
    findings: Findings, deployed: Template, packaged: Template, client: Client
) -> None:
    """A table outlives its stack where it is retained; creating another one of its name fails."""
    for name, table in _new(deployed, packaged, TABLE).items():
        table_name = str(table["Properties"].get("TableName"))
        question = client("dynamodb").describe_table
        try:
            question(TableName=table_name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                findings.missing.append(f"table {table_name}: {one_line(error)}")
            continue
        except BotoCoreError as error:
            findings.missing.append(f"table {table_name}: {one_line(error)}")
            continue
        findings.missing.append(
            f"table {table_name}: is there already, and not the stack's {name};"
            ' docs/how-to/deploy.md, "A table is there already"'
        )


def _check_concurrency(
    findings: Findings, deployed: Template, packaged: Template, client: Client
) -> None:
    functions = _new(deployed, packaged, "AWS::Lambda::Function").values()
    wanted = sum(each["Properties"].get("ReservedConcurrentExecutions", 0) for each in functions)
    if not wanted:
        return
    limits = _asked(
        findings, "Lambda's concurrency", lambda: client("lambda").get_account_settings()
    )
    if limits is None:
        return
    free = limits["AccountLimit"]["UnreservedConcurrentExecutions"]
    if free - wanted < UNRESERVED_MIN:
        findings.missing.append(
            f"Lambda: {free} concurrent executions are unreserved, {UNRESERVED_MIN + wanted} are"
            " wanted; ask for more (Service Quotas, AWS Lambda, Concurrent executions; it is free)"
        )


def _check_cost_monitor(
    findings: Findings, stage: str, deployed: Template, packaged: Template, client: Client
) -> None:
    if not _new(deployed, packaged, "AWS::CE::AnomalyMonitor"):
        return
    try:
        organization = client("organizations").describe_organization()["Organization"]
        account = client("sts").get_caller_identity()["Account"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "AWSOrganizationsNotInUseException":
            findings.found.append(f"not known: the organisation ({one_line(error)})")
        return
    except BotoCoreError as error:
        findings.found.append(f"not known: the organisation ({one_line(error)})")
        return
    if organization["MasterAccountId"] != account:
        findings.missing.append(
            f"infra/cost.yml: account {account} is a member of an organisation, and only the"
            f" managing one may watch a tag's cost; take the file out of infra/stages/{stage}.yml"
        )


def _asked(findings: Findings, what: str, question: Question) -> Any:
    """The answer; None where whoever deploys may not ask, which stops nobody."""
    try:
        return question()
    except (BotoCoreError, ClientError) as error:
        findings.found.append(f"not known: {what} ({one_line(error)})")
        return None


def _of_type(template: Template, kind: str) -> dict[str, Any]:
    resources = template.get("Resources", {})
    return {name: each for name, each in resources.items() if each.get("Type") == kind}


def _new(deployed: Template, packaged: Template, kind: str) -> dict[str, Any]:
    """What `packaged` declares and the stack does not have yet."""
    there = deployed.get("Resources", {})
    return {name: each for name, each in _of_type(packaged, kind).items() if name not in there}


def _execution(template: Template) -> Execution:
    """live or paper, as the condition `Live` has it (infra/roles.yml)."""
    condition = template.get("Conditions", {}).get("Live", {}).get("Fn::Equals", ["", "paper"])
    return "live" if condition[0] == condition[1] else "paper"
