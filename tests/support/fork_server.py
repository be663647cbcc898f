"""Starts `python -m MODULE` fast: a process that imports it once, and forks one for each start.

    python -m tests.support.fork_server DESCRIPTOR    of a socket on which requests come

What is forked runs the module anew as `__main__`, in an environment, a directory and with output of
its own; what the module imports was imported before. Signals, memory, sockets and death are its
own; it ends with this process. It differs from `python -m` in that no import of it can fail, read
the environment, or be interrupted: tests of those start the real thing.

Single-threaded, and without an event loop before the fork, so that a child inherits neither.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import types
from typing import Any

from local.child import die_with

LATER = {
    "functions.worker": ("functions.adapters.live_exchange", "venue.trading.login"),
    "functions.schedule": ("venue.trading.login",),
    "executor": ("executor.command_line", "executor.commands.record"),
    "tests.support.alert_process": (
        *("executor.command_line", "executor.alerts.service", "executor.alerts.telegram"),
        "apprise.plugins.telegram",
    ),
    "sandbox.dynamodb": ("moto.moto_server.werkzeug_app",),
}
"""What these import only once they run."""
REQUEST_BYTES_MAX = 1 << 18


def imported(module: str) -> None:
    """Import what it is made of, and leave itself, and what acts on being imported, to be run."""
    found = importlib.util.find_spec(module)
    assert found is not None, module
    if found.submodule_search_locations is not None:
        module = f"{module}.__main__"
    importlib.import_module(module)
    for each in LATER.get(module.removesuffix(".__main__"), ()):
        importlib.import_module(each)
    for each in (module, "runtime.starting"):
        sys.modules.pop(each, None)


def streams_anew() -> None:
    """Those of the fork server know what its descriptors were."""
    sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - they stay open
    sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stdout.reconfigure(write_through="PYTHONUNBUFFERED" in os.environ)
    sys.stderr = open(2, "w", 1, closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def become(request: dict[str, Any], descriptors: list[int], parent: int) -> None:
    """In the child: take the request's place, run its module, end."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    die_with(parent)
    if request["session"]:
        os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    for target, source in enumerate(descriptors):
        os.dup2(source, target)
    os.closerange(3, 64)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    streams_anew()
    sys.argv = ["-m", *request["arguments"]]
    sys.modules["__main__"] = types.ModuleType("__main__")
    code = 1
    try:
        runpy._run_module_as_main(request["module"])  # type: ignore[attr-defined]
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001 - printed, and said by the exit code
        sys.excepthook(*sys.exc_info())
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def main() -> None:
    """Serve requests until the other end of the socket is closed."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: for whoever asks
    wake_reader, wake_writer = os.pipe()
    for each in (wake_reader, wake_writer):
        os.set_blocking(each, False)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # only to be woken
    ready: set[str] = set()
    told: dict[int, int] = {}
    while True:
        readable, _, _ = select.select([requests, wake_reader], [], [])
        if wake_reader in readable:
            os.read(wake_reader, 4096)
            reap(told)
        if requests not in readable:
            continue
        received, descriptors, _, _ = socket.recv_fds(requests, REQUEST_BYTES_MAX, 4)
        if not received:
            return
        request = json.loads(received)
        if request["module"] not in ready:
            imported(request["module"])
            ready.add(request["module"])
            gc.collect()
            gc.freeze()  # shared with the children for as long as nobody writes to it
        *streams, status = descriptors
        # Blocked since before the fork: Python forgets a signal whose handler is replaced before
        # it ran.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            requests.close()
            become(request, streams, parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        told[pid] = status
        os.write(status, b"%d\n" % pid)
        for each in streams:
            os.close(each)


def reap(told: dict[int, int]) -> None:
    """Say of each that has ended with which code."""
    while told:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        descriptor = told.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(descriptor, b"%d\n" % os.waitstatus_to_exitcode(status))
        os.close(descriptor)


if __name__ == "__main__":
    main()
