"""A child does not outlive its parent; what it says and how it is stopped: `test_supervisor.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial

import pytest

from local.child import die_with


@pytest.mark.skipif(sys.platform != "linux", reason="only there the kernel kills it")
def test_whose_parent_has_ended_before_the_kernel_knew_ends_itself() -> None:
    for parent, code in ((os.getppid(), -signal.SIGKILL), (os.getpid(), 0)):
        dies = partial(die_with, parent)
        with subprocess.Popen(["true"], preexec_fn=dies) as child:  # noqa: S607, PLW1509
            assert child.wait(30) == code
