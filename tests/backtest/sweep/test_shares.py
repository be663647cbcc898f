"""Work in several processes: what becomes of them when one of them, or their parent, is killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool

import pytest

from backtest.sweep.shares import ShareProgress, in_shares
from tests.executor.test_entry import ROOT

WAITS = """
import os, signal, sys
from backtest.sweep.shares import in_shares
def work(share, tell):
    os.write(int(sys.argv[1]), b"x")
    signal.pause()
in_shares(work, 2, "", None)
"""


def test_processes_end_with_their_parent_however_it_ends() -> None:
    ours, theirs = os.pipe()
    argv = [sys.executable, "-c", WAITS, str(theirs)]
    parent = subprocess.Popen(argv, cwd=ROOT, pass_fds=[theirs])  # noqa: S603 - our own code
    os.close(theirs)
    try:
        begun = b""
        while len(begun) < 2:
            begun += os.read(ours, 2)
    finally:
        parent.kill()
        parent.wait()
    assert select.select([ours], [], [], 10)[0], "somebody still has the pipe"
    assert os.read(ours, 1) == b""
    os.close(ours)


def test_a_process_that_is_killed_is_not_waited_for() -> None:
    def work(share: int, _: ShareProgress) -> None:
        if share:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(BrokenProcessPool):
        in_shares(work, 2, "", None)
