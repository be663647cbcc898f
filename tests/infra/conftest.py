"""The packaged templates, as `make package` has left them in .build/."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / ".build"
STAGES = ("local", "dev", "prod")
Template = dict[str, Any]


@cache
def packaged(stage: str) -> Template:
    """The template of a stage; do not change it."""
    path = BUILD / stage / "cloudformation-template-update-stack.json"
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make package`")
    template: Template = json.loads(path.read_bytes())
    return template


@pytest.fixture
def template() -> Callable[[str], Template]:
    """`template("prod")`: the packaged template of a stage."""
    return packaged


def of_type(template: Template, kind: str) -> dict[str, Any]:
    """Its resources of a type, by logical id."""
    return {name: each for name, each in template["Resources"].items() if each["Type"] == kind}
