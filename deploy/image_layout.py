"""The Dockerfile's steps executed without a container engine, each stage into a folder of its own.

Each stage is an overlay above this machine's own root, in which the project's folder is not there:
what a step writes is all it keeps.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Final

from deploy.dockerfile import (
    DockerfileError,
    Instruction,
    exec_form,
    filled_in,
    ignore_patterns,
    in_context,
    pairs,
    parse,
)

ROOT: Final = Path(__file__).parent.parent
STEP_TIMEOUT_S: Final = 600
"""Forty megabytes of wheels over a slow line."""
UNSHARE: Final = ("/usr/bin/env", "unshare", "--mount")
BASE_PATH: Final = (
    f"{sys.base_prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)
# $1 what a step writes, $2 the kernel's, $3 where it is seen, $4 the project, $5 folder, $6 step.
_STEP: Final = """
mount -t overlay overlay -o "lowerdir=/,upperdir=$1,workdir=$2" "$3"
mount --rbind /dev "$3/dev"; mount --rbind /proc "$3/proc"
mount -t tmpfs -o ro none "$3$4"
exec chroot "$3" /bin/sh -ec 'cd "$1"; eval "$2"' step "$5" "$6"
"""


class Stage:
    """What has been built since a FROM."""

    def __init__(self, place: Path, arguments: dict[str, str]) -> None:
        self.place = place
        self.files = place / "files"
        self.arguments = arguments
        self.environ: dict[str, str] = {"PATH": BASE_PATH}
        self.labels: dict[str, str] = {}
        self.folder = "/"
        self.user = "0:0"
        self.command: list[str] = []
        self.probe: list[str] = []
        self.volumes: list[str] = []
        self.stop_signal = ""
        for name in ("files", "kernel", "seen"):
            (place / name).mkdir(parents=True)
        # This machine's Python may live in a home that nobody else may enter; an image's does not.
        for parent in [*reversed(Path(sys.base_prefix).parents)][1:]:
            self.inside(str(parent)).mkdir(mode=0o755)

    @property
    def variables(self) -> dict[str, str]:
        """What `${...}` may name."""
        return {**self.arguments, **self.environ}

    def inside(self, path: str) -> Path:
        """Where a path of the image is kept."""
        return self.files / (PurePosixPath(self.folder) / path).relative_to("/")


def lay_out(dockerfile: str, out: Path, arguments: dict[str, str]) -> Stage:
    """Execute the steps; returns the last stage. Raises DockerfileError, CalledProcessError."""
    shutil.rmtree(out, ignore_errors=True)
    patterns = ignore_patterns((ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8"))
    given: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for step in parse(dockerfile):
        if step.name == "ARG":
            name, _, default = step.text.partition("=")
            scope = given if stage is None else stage.arguments
            scope[name] = arguments.get(name, default or given.get(name, ""))
        elif step.name == "FROM":
            _, *named = filled_in(step.text, given).split()
            name = named[1] if named[:1] == ["AS"] else "final"
            stage = stages[name] = Stage(out / name, {})
        elif stage is None:
            raise DockerfileError(f"Dockerfile line {step.line}: {step.name} before FROM")
        else:
            _perform(step, stage, stages, patterns)
    if stage is None:
        raise DockerfileError("Dockerfile: no FROM")
    return stage


def _perform(
    step: Instruction, stage: Stage, stages: dict[str, Stage], patterns: list[str]
) -> None:
    match step.name:
        case "RUN":
            _run(step, stage)
        case "COPY":
            _copy(filled_in(step.text, stage.variables), stage, stages, patterns)
        case "ENV":
            stage.environ |= pairs(filled_in(step.text, stage.variables))
        case "LABEL":
            stage.labels |= pairs(filled_in(step.text, stage.variables))
        case "WORKDIR":
            stage.folder = step.text
            stage.inside("").mkdir(parents=True, exist_ok=True)
        case "USER":
            stage.user = step.text
        case "STOPSIGNAL":
            stage.stop_signal = step.text
        case "VOLUME":
            stage.volumes = exec_form(step)
        case "CMD":
            stage.command = exec_form(step)
        case "HEALTHCHECK":
            stage.probe = exec_form(step)


def _run(step: Instruction, stage: Stage) -> None:
    paths = [str(stage.place / name) for name in ("files", "kernel", "seen")]
    subprocess.run(  # noqa: S603 - the steps are ours
        [*UNSHARE, "sh", "-ec", _STEP, "step", *paths, str(ROOT), stage.folder, step.text],
        env={**_package_index(), "HOME": "/root", **stage.variables},
        timeout=STEP_TIMEOUT_S,
        check=True,
    )


def _package_index() -> dict[str, str]:
    """Where this machine gets its packages from, if a variable says so."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


def _copy(text: str, stage: Stage, stages: dict[str, Stage], patterns: list[str]) -> None:
    words = text.split()
    if words[0].startswith("--from="):
        source_stage, source, to = stages[words[0].removeprefix("--from=")], words[1], words[2]
        shutil.copytree(source_stage.files / source.lstrip("/"), stage.inside(to), symlinks=True)
        return
    source, to = words
    place = ROOT / source
    for path in [place] if place.is_file() else sorted(place.rglob("*")):
        relative = path.relative_to(ROOT)
        if path.is_dir() or not in_context(PurePosixPath(relative), patterns):
            continue
        target = stage.inside(to) / (path.name if place.is_file() else path.relative_to(place))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
