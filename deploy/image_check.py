"""Starts every process from the laid-out image: read-only, as the image's user, stopped.

In namespaces of its own for files, network and processes, so that the ports are those of production
and nothing survives. A simulated venue and a DynamoDB emulator run beside it, from the project; the
user feeder alone does not become well, because nobody here gives it credentials.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from deploy.image_layout import ROOT, UNSHARE, Stage

WELL_WITHIN_S: Final = 90
"""Imports on a busy machine take most of it."""
STOP_WITHIN_S: Final = 30
"""StopTimeout in infra/services.yml, stop_grace_period in `deploy/compose.yml`."""
VENUE: Final = "http://127.0.0.1:8080"
DYNAMODB: Final = "http://127.0.0.1:8000"
TABLE: Final = "image-state"
_NATS: Final = {"NATS_FEEDER_PASSWORD": "feederword", "NATS_WORKER_PASSWORD": "workerword"}
_AWS: Final = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_ENDPOINT_URL_DYNAMODB": DYNAMODB,
    "STATE_TABLE": TABLE,
    "DECISION_TABLE": f"{TABLE}-decisions",
    "CLOB_URL": VENUE,
    "GAMMA_URL": VENUE,
}
_API: Final = {
    "API_KEY": "k",
    "API_SECRET": "c2VjcmV0",
    "API_PASSPHRASE": "p",
    "API_ADDRESS": "0x" + "1" * 40,
    # Nobody: the venue would refuse invented credentials, and that ends it.
    "CLOB_URL": "http://127.0.0.1:1",
    "USER_WS_URL": VENUE.replace("http", "ws") + "/ws/user",
}
_FEED: Final = {
    "GAMMA_URL": VENUE,
    "CLOB_URL": VENUE,
    "MARKET_WS_URL": VENUE.replace("http", "ws") + "/ws/market",
    "SERIES": "btc-15m",
}


class Part(msgspec.Struct, frozen=True):
    """One process: its command, its variables, and the port of its health."""

    name: str
    command: list[str]
    environ: dict[str, str]
    port: int
    becomes_well: bool = True


class _Image(msgspec.Struct, frozen=True):
    """What the check needs of the image."""

    files: str
    environ: dict[str, str]
    folder: str
    user: str
    command: list[str]
    probe: list[str]
    volumes: list[str]
    stop_signal: str


def check(stage: Stage) -> int:
    """Run `_inside` in namespaces of its own; returns its exit code."""
    image = {field: getattr(stage, field) for field in _Image.__struct_fields__}
    described = json.dumps({**image, "files": str(stage.files)})
    apart = (*UNSHARE, "--net", "--pid", "--fork", "--kill-child")
    return subprocess.run(  # noqa: S603 - ourselves
        [*apart, sys.executable, "-m", "deploy.image_check", described, str(stage.place / "seen")],
        cwd=ROOT,
        check=False,
    ).returncode


def parts(image: _Image) -> list[Part]:
    """In the order in which they need each other."""
    nats = {"NATS_URL": "nats://127.0.0.1:4222"}
    feeder = {**nats, "NATS_USER": "feeder", "NATS_PASSWORD": _NATS["NATS_FEEDER_PASSWORD"]}
    worker = {**nats, "NATS_USER": "worker", "NATS_PASSWORD": _NATS["NATS_WORKER_PASSWORD"]}
    server = ["nats-server", "-c", "/app/infra/nats/nats.conf"]
    return [
        Part("nats-server", server, _NATS, 8222),
        Part("feeder", image.command, {**feeder, **_FEED}, 9101),
        Part("user feeder", [*image.command, "user"], {**feeder, **_API}, 9103, False),
        Part("worker", ["python", "-m", "functions.worker"], {**worker, **_AWS}, 9102),
        Part("schedule", ["python", "-m", "functions.schedule"], _AWS, 9104),
    ]


class _Box:
    """The image, mounted read-only."""

    def __init__(self, image: _Image, place: str) -> None:
        self._image = image
        self._place = place
        owner, _, group = image.user.partition(":")
        layers = f"lowerdir=/,upperdir={image.files},workdir={Path(place).with_name('kernel')}"
        _mount("-t", "overlay", "-o", f"ro,{layers}", "overlay", place)
        _mount("-t", "proc", "proc", f"{place}/proc")
        _mount("--rbind", "/dev", f"{place}/dev")
        _mount("-t", "tmpfs", "-o", "ro", "none", place + str(ROOT))
        for volume in image.volumes:
            _mount("-t", "tmpfs", "-o", f"uid={owner},gid={group},mode=700", "none", place + volume)

    def start(self, command: list[str], environ: dict[str, str]) -> subprocess.Popen[str]:
        """As the image's user, without a way to become another."""
        image = self._image
        return subprocess.Popen(  # noqa: S603 - the image's own commands
            [
                *("/usr/bin/env", "setpriv", "--no-new-privs"),
                *("chroot", f"--userspec={image.user}", self._place),
                *("/usr/bin/env", "-C", image.folder, *command),
            ],
            env={**image.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ask(self, command: list[str], **environ: str) -> tuple[int, str]:
        """Exit code and what it said."""
        process = self.start(command, environ)
        said, _ = process.communicate(timeout=STOP_WITHIN_S)
        return process.returncode, said.strip()


def _inside(image: _Image, place: str) -> int:
    _loopback_up()
    for module, *words in (
        ("sandbox.simulator", "--port", "8080", "--markets", "1"),
        ("sandbox.dynamodb", "--port", "8000", "--table", TABLE),
    ):
        beside = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", module, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert beside.stdout is not None  # noqa: S101 - PIPE
        if not beside.stdout.readline():  # one line once it is ready
            return _fail(f"{module} did not start")
    _mount("--make-rprivate", "/")
    box = _Box(image, place)
    wrong = list(_of_the_files(box, image))
    started = [(part, _started(box, part)) for part in parts(image)]
    for part, process in started:
        wrong += _well(box, image, part, process)
    for part, process in reversed(started):
        wrong += _stopped(image, part, process)
    return _fail("; ".join(wrong)) if wrong else 0


def _started(box: _Box, part: Part) -> subprocess.Popen[str]:
    return box.start(part.command, {**part.environ, "METRICS_PORT": str(part.port)})


def _of_the_files(box: _Box, image: _Image) -> list[str]:
    """What must hold before anything runs."""
    wrong = []
    pip = "import importlib.util as u; print(u.find_spec('pip'))"
    cached = "import runtime.log as m; print(m.__cached__[-4:])"
    for command, expected in (
        (["id", "-u"], image.user.partition(":")[0]),
        (["touch", "/app/x"], "touch: cannot touch '/app/x': Read-only file system"),
        (["python", "-c", "import protocol as m; print(m.__file__)"], "/app/protocol/__init__.py"),
        (["python", "-c", "import sys; print(sys.prefix)"], "/opt/venv"),
        (["python", "-c", pip], "None"),
        ([f"{sys.base_prefix}/bin/python", "-c", pip], "None"),
        (["python", "-c", cached], ".pyc"),
    ):
        _, said = box.ask(command)
        if said != expected:
            wrong.append(f"{' '.join(command)}: {said!r} instead of {expected!r}")
    return wrong


def _well(box: _Box, image: _Image, part: Part, process: subprocess.Popen[str]) -> list[str]:
    """Asks the image's own probe until it is content, or as soon as it gets any answer."""
    give_up_s = time.monotonic() + WELL_WITHIN_S
    # nats-server answers on a port that the probe is given, the others where METRICS_PORT says.
    probe = [*image.probe, str(part.port)] if part.port == 8222 else image.probe
    said = ""
    while time.monotonic() < give_up_s and process.poll() is None:
        code, said = box.ask(probe, METRICS_PORT=str(part.port))
        if code == 0 or (not part.becomes_well and said.startswith("503")):
            sys.stdout.write(f"{part.name}: {said}\n")
            return []
        time.sleep(0.5)
    if process.poll() is None:
        process.kill()
    last = (process.stdout.read() if process.stdout else "").strip().splitlines()[-1:]
    return [f"{part.name} is not well: {said}; its last words: {last}"]


def _stopped(image: _Image, part: Part, process: subprocess.Popen[str]) -> list[str]:
    if process.poll() is not None:
        return [f"{part.name} had ended with {process.returncode}"]
    asked_s = time.monotonic()
    process.send_signal(getattr(signal, image.stop_signal))
    try:
        process.communicate(timeout=STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        return [f"{part.name} has not stopped after {STOP_WITHIN_S} s"]
    took_s = time.monotonic() - asked_s
    sys.stdout.write(f"{part.name}: stopped within {took_s:.1f} s, exit {process.returncode}\n")
    return [] if process.returncode == 0 else [f"{part.name} ended with {process.returncode}"]


def _mount(*arguments: str) -> None:
    subprocess.run(["/usr/bin/env", "mount", *arguments], check=True)  # noqa: S603 - ours


def _loopback_up() -> None:
    """A new network namespace has one interface, and it is down (netdevice(7))."""
    get_flags, set_flags, up = 0x8913, 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sh", b"lo", 0).ljust(40, b"\0")
        flags = struct.unpack("16sh", fcntl.ioctl(handle, get_flags, request)[:18])[1]
        fcntl.ioctl(handle, set_flags, struct.pack("16sh", b"lo", flags | up).ljust(40, b"\0"))


def _fail(line: str) -> int:
    sys.stderr.write(f"deploy.image: {line}\n")
    return 1


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(_inside(msgspec.convert(json.loads(sys.argv[1]), _Image), sys.argv[2]))
