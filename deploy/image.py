"""The image without a container engine: its steps executed, and every process started from it.

    python -m deploy.image            lays it out under .build/image
    python -m deploy.image --check    and starts what it is for, read-only and as its own user

Needs Linux, root, mount namespaces and the package index. How it is laid out: `image_layout.py`;
what is started from it, and how it is judged: `image_check.py`.

What this cannot show: the real base image (this machine, its Python and its libraries stand for
it), the other architecture, the image's format and size, a container engine's isolation.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Final

from deploy.dockerfile import DockerfileError
from deploy.image_check import check
from deploy.image_layout import ROOT, UNSHARE, lay_out

OUT: Final = ROOT / ".build" / "image"


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0, 1 where a step or a check fails, 2 where this machine cannot."""
    if arguments not in ([], ["--check"]):
        return _say("usage: python -m deploy.image [--check]", 2)
    if platform.system() != "Linux" or os.geteuid() != 0:
        return _say("deploy.image: needs Linux and root, for mount namespaces", 2)
    if subprocess.run([*UNSHARE, "true"], check=False).returncode:  # noqa: S603 - a constant
        return _say("deploy.image: this machine has no mount namespaces", 2)
    # No registry can be asked here: this machine stands for the base image, whatever its digest.
    named = {"PYTHON_IMAGE": "this-machine@sha256:none", "REVISION": "working-tree"}
    try:
        stage = lay_out((ROOT / "deploy" / "Dockerfile").read_text("utf-8"), OUT, named)
    except (DockerfileError, subprocess.SubprocessError, OSError) as error:
        return _say(f"deploy.image: {error}", 1)
    _say(f"laid out in {stage.files.relative_to(ROOT)}", 0)
    if not arguments:
        return 0
    return check(stage)


def _say(line: str, code: int) -> int:
    (sys.stderr if code else sys.stdout).write(f"{line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
