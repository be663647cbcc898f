"""`make deploy` and `make remove`: asked first, and nothing that was not said is passed on.

The programs are stand-ins that write down how they were called.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.infra.conftest import ROOT

# Taken for up to date: what is built is of no interest here.
BUILT = (
    ".venv/.installed",
    ".venv-infra/.installed",
    "deploy/node_modules/.installed",
    ".build/functions/.built",
)


class Stand:
    """`check` is the exit code of `python -m deploy.check`."""

    def __init__(self, folder: Path, check: int) -> None:
        self._folder, self._calls = folder, folder / "calls"
        self._calls.touch()
        self._program("python", f"{self._calls}", check)
        self._program("osls", f"{self._calls}", 0)

    def _program(self, name: str, calls: str, exit_code: int) -> None:
        path = self._folder / name
        path.write_text(
            f'#!/bin/sh\necho "{name} $* EXECUTION=$EXECUTION CONFIRM=$CONFIRM" >>{calls}\n'
            f"exit {exit_code}\n"
        )
        path.chmod(0o755)

    def make(self, *arguments: str) -> tuple[int, list[str]]:
        """Exit code, and the calls."""
        old = [part for path in BUILT for part in ("--old-file", path)]
        unwanted = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "EXECUTION", "CONFIRM", "STAGE")
        environment = {name: os.environ[name] for name in os.environ if name not in unwanted}
        variables = [f"BIN={self._folder}", f"OSLS={self._folder}/osls"]
        done = subprocess.run(  # noqa: S603 - make, on stand-ins
            ["make", *old, *variables, *arguments],  # noqa: S607 - wherever it is
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=30,
            check=False,
        )
        return done.returncode, self._calls.read_text().splitlines()


@pytest.mark.parametrize("target", ["deploy", "remove"])
def test_what_is_refused_builds_and_changes_nothing(target: str, tmp_path: Path) -> None:
    code, calls = Stand(tmp_path, check=2).make(target, "STAGE=staging")
    assert code != 0
    assert len(calls) == 1
    assert calls[0].startswith("python -m deploy.check --stage staging")


def test_a_deployment_is_asked_about_packaged_asked_about_and_only_then_made(
    tmp_path: Path,
) -> None:
    code, calls = Stand(tmp_path, check=0).make("deploy", "STAGE=dev")
    assert code == 0
    folder = ".build/deploy/dev"
    template = f"{folder}/cloudformation-template-update-stack.json"
    # `make run` trades live with simulated money by default; a deployment must never inherit that.
    assert calls == [
        "python -m deploy.check --stage dev EXECUTION= CONFIRM=",
        f"osls package --stage dev --package {folder} EXECUTION= CONFIRM=",
        f"python -m deploy.check --stage dev --template {template} EXECUTION= CONFIRM=",
        f"osls deploy --stage dev --package {folder} EXECUTION= CONFIRM=",
    ]


def test_live_is_passed_on_when_it_is_said(tmp_path: Path) -> None:
    _, calls = Stand(tmp_path, check=0).make("deploy", "STAGE=dev", "EXECUTION=live")
    assert len(calls) == 4
    assert all("EXECUTION=live" in call for call in calls)


def test_a_removal_wants_the_stages_name_and_no_image(tmp_path: Path) -> None:
    code, calls = Stand(tmp_path, check=0).make("remove", "STAGE=prod", "CONFIRM=prod")
    assert code == 0
    assert calls == [
        "python -m deploy.check --stage prod --remove EXECUTION= CONFIRM=prod",
        "osls remove --stage prod EXECUTION=paper CONFIRM=prod",
    ]
