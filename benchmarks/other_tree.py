"""Another commit of this project, in a folder of its own for as long as it is compared with."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.system import Tree
from local.child import ROOT


class NoSuchCommitError(ValueError):
    """The text says what git said."""


@contextmanager
def tree_of(ref: str) -> Iterator[Tree]:
    """A worktree of a commit, removed at the end, also by Ctrl-C.

    It runs on this tree's Python and libraries. Raises NoSuchCommitError.
    """
    _git("worktree", "prune")  # of one that was killed
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if not commit:
        raise NoSuchCommitError(f"COMPARE={ref}: no such commit here")
    with tempfile.TemporaryDirectory(prefix="bench-tree-", ignore_cleanup_errors=True) as folder:
        root = Path(folder) / commit[:10]
        try:
            _git("worktree", "add", "--quiet", "--detach", str(root), commit)
            if not (root / "benchmarks" / "stub_worker.py").exists():
                raise NoSuchCommitError(f"COMPARE={ref}: a commit from before these benchmarks")
            yield Tree(ref, root)
        finally:
            _git("worktree", "remove", "--force", str(root))


def _git(*arguments: str) -> str:
    """What it says; empty when it fails."""
    done = subprocess.run(  # noqa: S603 - fixed commands; a ref is behind --end-of-options
        ("git", *arguments),  # noqa: S607 - whichever is on the path
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C is for us: what it began must be removed
    )
    return done.stdout.strip() if done.returncode == 0 else ""
