"""Starts services fast: a process that has imported everything, and forks one for each request.

    python -m sandbox.fork_server    stdin:  {"name", "module", "arguments", "env", "log"} a line
                                     stdout: {"ready"}, {"started", "pid"}, {"ended", "pid", "code"}

Importing a worker's libraries takes seconds of processor time; a run that kills a process a second
would spend all of it on imports. What is forked is a process like any other: signals, memory,
sockets and death are its own. It differs from `python -m` in one thing: its imports were done
before. Secrets come in a request, never in arguments.

Single-threaded, and without an event loop before the fork, so that a child inherits neither.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import feeder.__main__ as feeder_main
from functions import schedule, worker

# What these two import only once they trade live: before the fork it costs nobody anything.
from functions.adapters import live_exchange  # noqa: F401 - see above
from local.child import die_with
from venue.trading import login  # noqa: F401 - see above

MODULES: Final[dict[str, Callable[[list[str]], int]]] = {
    "feeder": feeder_main.main,
    "functions.worker": worker.main,
    "functions.schedule": schedule.main,
}


def _become(request: dict[str, Any], parent: int) -> None:
    """In the child: take the request's environment and log, run its module, end."""
    # Told to stop before it has a handler of its own, it dies of it, like any process. Blocked
    # since before the fork: Python forgets a signal whose handler is replaced before it ran.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    die_with(parent)
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.closerange(3, 64)
    os.environ.clear()
    os.environ.update(request["env"])
    code = 1
    try:
        code = MODULES[request["module"]](request["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - printed, and said by the exit code
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _say(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _reap(names: dict[int, str]) -> None:
    while names:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        _say(ended=names.pop(pid), pid=pid, code=os.waitstatus_to_exitcode(status))


def main() -> None:
    """Serve requests until stdin ends; the children end with this process."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    wake_reader, wake_writer = os.pipe()
    os.set_blocking(wake_reader, False)
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # only to be woken
    gc.collect()
    gc.freeze()  # shared with the children for as long as nobody writes to it
    names: dict[int, str] = {}
    _say(ready=True)
    unread = b""
    while True:
        readable, _, _ = select.select([0, wake_reader], [], [])
        if wake_reader in readable:
            os.read(wake_reader, 4096)
        _reap(names)
        if 0 not in readable:
            continue
        received = os.read(0, 1 << 16)
        if not received:
            return
        *lines, unread = (unread + received).split(b"\n")
        for line in lines:
            request = json.loads(line)
            Path(request["log"]).parent.mkdir(parents=True, exist_ok=True)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                _become(request, parent)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            names[pid] = request["name"]
            _say(started=request["name"], pid=pid)


if __name__ == "__main__":
    main()
