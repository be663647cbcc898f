"""The questions that checks before a deployment ask of AWS, and their answers.

Knows no permissions and no throttling, and of a stack only its template and status.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError, NoCredentialsError

ACCOUNT = "123456789012"


class Cloud:
    """`template`: the stack's, None: there is none. `gone`: part of a name that is not there."""

    def __init__(
        self,
        template: object = None,
        *,
        gone: str = "",
        anonymous: bool = False,
        key: str | None = None,
        status: str = "UPDATE_COMPLETE",
        tables: tuple[str, ...] = (),
        unreserved: int = 1000,
        managed_by: str | None = None,
    ) -> None:
        self.template, self.gone, self.anonymous = template, gone, anonymous
        self.key, self.status, self.tables = key, status, tables
        self.unreserved, self.managed_by = unreserved, managed_by
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
        return {"ARN": SecretId} | ({"KmsKeyId": self.key} if self.key else {})

    def describe_images(
        self,
        repositoryName: str,  # noqa: N803 - the SDK's name
        imageIds: list[dict[str, str]],  # noqa: N803 - the SDK's name
    ) -> dict[str, Any]:
        if self.gone and self.gone in repositoryName:
            raise _refusal("ImageNotFoundException", "The image does not exist")
        return {"imageDetails": imageIds}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - the SDK's name
        if self.template is None:
            raise _refusal("ValidationError", f"Stack with id {StackName} does not exist")
        return {"Stacks": [{"StackStatus": self.status}]}

    def get_template(self, StackName: str) -> dict[str, object]:  # noqa: N803 - the SDK's name
        return {"TemplateBody": self.template, "of": StackName}

    def describe_table(self, TableName: str) -> dict[str, object]:  # noqa: N803 - the SDK's name
        if TableName not in self.tables:
            raise _refusal("ResourceNotFoundException", "Requested resource not found")
        return {"Table": {"TableName": TableName}}

    def get_account_settings(self) -> dict[str, Any]:
        if self.unreserved < 0:
            raise _refusal("AccessDeniedException", "not authorized: lambda:GetAccountSettings")
        return {"AccountLimit": {"UnreservedConcurrentExecutions": self.unreserved}}

    def describe_organization(self) -> dict[str, Any]:
        if self.managed_by is None:
            raise _refusal("AWSOrganizationsNotInUseException", "not in use")
        return {"Organization": {"MasterAccountId": self.managed_by}}


def _refusal(code: str, text: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text}}, "Question")
