"""The stack of stage `local`: packaged, deployed and removed by `osls`, as any other stage is.

What a stage takes from outside comes in by the environment. Here it is known only when the servers
run: their ports are free ones, the secrets are made for this run. So the template is packaged
anew with these (seconds; the functions' zips stay as `make package` has built them), and what was
packaged is what is deployed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.local.cloud import CloudError
from local.child import ROOT, Child
from sandbox.dynamodb import CREDENTIALS_ENV

STAGE: Final = "local"
NAME: Final = f"streaming-executor-{STAGE}"
_OSLS: Final = ROOT / "deploy" / "node_modules" / ".bin" / "osls"
_NODE_DIR: Final = ROOT / ".venv-infra" / "bin"


class Stack:
    """`environment` is what `serverless.yml` asks for; `scratch_dir` is where it is packaged."""

    def __init__(
        self, cloud_url: str, environment: Mapping[str, str], scratch_dir: Path, log_dir: Path
    ) -> None:
        self._environment = {
            **CREDENTIALS_ENV,
            "AWS_ENDPOINT_URL": cloud_url,
            "NODE_NO_WARNINGS": "1",
            "HOME": str(scratch_dir),
            "PATH": f"{_NODE_DIR}{os.pathsep}{os.environ.get('PATH', '')}",
            **environment,
        }
        self._scratch_dir = scratch_dir
        # osls works in a folder `.serverless` beside its file: another osls at work in the project,
        # packaging for instance, would delete it.
        self._service_dir = scratch_dir / "service"
        self._service_dir.mkdir()
        shutil.copy(ROOT / "serverless.yml", self._service_dir)
        shutil.copytree(ROOT / "infra", self._service_dir / "infra")
        (self._service_dir / ".build").symlink_to(ROOT / ".build")
        self._log_dir = log_dir
        self._runs = 0

    async def deploy(self, **parameters: str) -> None:
        """Package with these stage parameters, and deploy that. Raises CloudError."""
        package = str(self._scratch_dir / f"package-{self._runs}")
        chosen = [f"--param={name}={value}" for name, value in parameters.items()]
        await self._osls("package", "--package", package, *chosen)
        await self._osls("deploy", "--package", package, *chosen)

    async def remove(self) -> None:
        """Remove everything that the stack has made. Raises CloudError."""
        await self._osls("remove")

    async def _osls(self, command: str, *arguments: str) -> None:
        self._runs += 1
        child = Child(f"osls-{self._runs}-{command}", self._log_dir)
        try:
            await child.start(
                *(str(_OSLS), command, "--stage", STAGE, *arguments),
                env=self._environment,
                cwd=self._service_dir,
            )
            code = await child.ended()
        finally:
            await child.stop()  # reads what it has to say to the end
        if code != 0:
            log = self._log_dir / f"{child.name}.log"
            reason = reason_of(log.read_text(encoding="utf-8", errors="replace"))
            raise CloudError(f"osls {command} failed: {reason} (all of it: {log})")


def reason_of(output: str) -> str:
    """What `osls` says went wrong, as one line: the paragraph after its line `Error:`."""
    lines = [line.strip() for line in output.splitlines()]
    if "Error:" not in lines:
        return next((line for line in reversed(lines) if line), "it said nothing")
    said: list[str] = []
    for line in lines[lines.index("Error:") + 1 :]:
        if (not line and said) or line.startswith("at "):  # the next paragraph, or a stack trace
            break
        if line:
            said.append(line)
    return " ".join(said) or "it said nothing"
