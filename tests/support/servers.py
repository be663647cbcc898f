"""Real servers for tests, on free loopback ports, stopped with the test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
ADDRESS_TRIES = 100
_LISTENING = re.compile(r"Listening for client connections on 127\.0\.0\.1:(\d+)")


class NatsServer:
    """A nats-server with JetStream, as a process of its own: `with NatsServer(tmp_path) as server`.

    Blocking on purpose (it is ready within about 50 ms): usable from any test, also one without an
    event loop. `stop()` and `start()` again keep the port; memory streams are gone then, as after a
    real restart. `config` and `environ` are for a server as it is deployed; its address and ports
    are the test's.
    """

    def __init__(
        self, store_dir: Path, config: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self._jetstream = ("--jetstream", "--store_dir", str(store_dir))
        if config:
            self._jetstream = ("--config", str(config), "--http_port", "-1")
        self._environ = {**os.environ, "NATS_STORE_DIR": str(store_dir), **(environ or {})}
        self._port = -1
        self._child: subprocess.Popen[str] | None = None
        self._drain: threading.Thread | None = None
        self.log: deque[str] = deque(maxlen=200)

    @property
    def url(self) -> str:
        """`nats://127.0.0.1:<port>`."""
        return f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start and wait until it accepts clients. Raises RuntimeError with its log if it dies."""
        for _ in range(ADDRESS_TRIES):
            if self._starts():
                return
            # Started again it has the same port, which somebody may hold for a moment: whoever
            # connects somewhere, or its own monitor, which takes any that is free.
            if "address already in use" not in "".join(self.log):
                break
            time.sleep(0.1)
        raise RuntimeError("nats-server did not start:\n" + "".join(self.log))

    def _starts(self) -> bool:
        self._child = subprocess.Popen(  # noqa: S603 - our own pinned binary, no shell
            [
                str(Path(sys.executable).with_name("nats-server")),
                *("--addr", "127.0.0.1", "--port", str(self._port)),
                *self._jetstream,
            ],
            env=self._environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        watchdog = threading.Timer(START_TIMEOUT_S, self._child.kill)
        watchdog.start()
        stderr = self._child.stderr
        assert stderr is not None
        try:
            for line in stderr:
                self.log.append(line)
                if found := _LISTENING.search(line):
                    self._port = int(found.group(1))
                if "Server is ready" in line:
                    break
            else:
                self._child.wait()
                stderr.close()
                self._child = None
                return False
        finally:
            watchdog.cancel()
        # Somebody must read the pipe, or a chatty server blocks on it.
        self._drain = threading.Thread(target=self.log.extend, args=(stderr,), daemon=True)
        self._drain.start()
        return True

    def stop(self) -> None:
        """Stop and wait until the process is gone. Does nothing when it is not running."""
        if self._child is None:
            return
        self._child.terminate()
        self._child.send_signal(signal.SIGCONT)  # a paused one could not hear it
        try:
            self._child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        assert self._drain is not None
        self._drain.join()
        assert self._child.stderr is not None
        self._child.stderr.close()
        self._child = None

    def kill(self) -> None:
        """Without a word to anybody (one that is stopped tells whoever waits for messages)."""
        if self._child is not None:
            self._child.kill()
        self.stop()

    def pause(self) -> None:
        """Let it neither read nor answer, as a stalled host; its connections stay open."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)
        # The signal only asks: on a busy machine the server may still answer what comes at once.
        os.waitid(os.P_PID, self._child.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Undo `pause`."""
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)

    def __enter__(self) -> NatsServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
