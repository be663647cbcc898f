"""No secret stands in a template: only where it is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.conftest import STAGES, of_type, packaged

SECRET_WORDS = re.compile(r"KEY|SECRET|PASSWORD|PASSPHRASE|TOKEN|CREDENTIAL", re.IGNORECASE)
LIKE_A_KEY = re.compile(r"(?<![0-9a-fA-F:])(?:0x)?[0-9a-fA-F]{64}(?![0-9a-fA-F])")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("stage", STAGES)
def test_no_text_looks_like_a_signing_key(stage: str) -> None:
    for text in _texts(packaged(stage)):
        assert not LIKE_A_KEY.search(text), text[:20]


@pytest.mark.parametrize("stage", STAGES)
def test_variables_of_containers_hold_no_secret(stage: str) -> None:
    for name, task in of_type(packaged(stage), "AWS::ECS::TaskDefinition").items():
        for container in task["Properties"]["ContainerDefinitions"]:
            for variable in container.get("Environment", []):
                plain = variable.get("Name", "")  # others are {"Fn::If": ...}
                assert not SECRET_WORDS.search(plain), (name, plain)


@pytest.mark.parametrize("stage", STAGES)
def test_variables_of_functions_name_secrets_and_hold_none(stage: str) -> None:
    for name, function in of_type(packaged(stage), "AWS::Lambda::Function").items():
        for variable, value in function["Properties"]["Environment"]["Variables"].items():
            if SECRET_WORDS.search(variable):
                assert variable.endswith("_SECRET"), (name, variable)
                assert all(
                    text in {"Live", "AWS::NoValue"} or text.startswith("arn:") or not text
                    for text in _texts(value)
                ), (name, variable)
