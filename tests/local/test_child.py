"""A child does not outlive its parent; what it says and how it is stopped: `test_supervisor.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from local.child import Child, ChildError, die_with


@pytest.mark.skipif(sys.platform != "linux", reason="only there the kernel kills it")
def test_whose_parent_has_ended_before_the_kernel_knew_ends_itself() -> None:
    for parent, code in ((os.getppid(), -signal.SIGKILL), (os.getpid(), 0)):
        dies = partial(die_with, parent)
        with subprocess.Popen(["true"], preexec_fn=dies) as child:  # noqa: S607, PLW1509
            assert child.wait(30) == code


LATE = '(sleep 0.1; echo \'{"event": "started"}\') &'


async def test_what_it_said_before_its_end_counts_however_late_that_is_read(tmp_path: Path) -> None:
    """As on a busy machine; here a child of its own says it, once it is gone."""
    child = Child("late", tmp_path)
    await child.start("sh", "-c", LATE, env={})
    assert await child.wait_for("started") == {"event": "started"}
    with pytest.raises(ChildError, match="late ended at start"):
        await child.wait_for("started")
