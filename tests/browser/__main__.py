"""`python -m tests.browser`: Chromium through every view of the console of a running system.

The simulated venue is replayed, `executor paper --venue` runs against it as a person would start
it, and `walk.mjs` drives the browser. What only the machine can do or see (suspend the feeder, read
the account) the walk asks for, one JSON object a line on its stdout, and is answered on its stdin.
Screenshots are left in `.build/browser/`.

Exit code 0: every step held. 1: one did not. 2: there is no browser here, with a word why.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from local.child import ROOT, Child, ChildError
from local.status import SystemStatus, read_status
from sandbox.cluster import start_venue
from sandbox.services import Options

HERE: Final = Path(__file__).parent
PICTURES: Final = ROOT / ".build/browser"
NODE: Final = ROOT / ".venv-infra/bin/node"
SPEED: Final = 10
"""A market's window lasts 90 s."""
READY_S: Final = 120
WALK_S: Final = 480
"""About 80 s on a quiet machine."""
EXIT_SKIPPED: Final = 2
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser", description=__doc__)
    parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    missing = [
        *([] if browser else ["no Chromium on the path"]),
        *([] if NODE.exists() else ["no node"]),
        *([] if (HERE / "node_modules/playwright-core").is_dir() else ["no playwright-core"]),
    ]
    if missing or browser is None:
        print(f"browser: not tried here: {', '.join(missing)} (`make browser-tools`)")
        return EXIT_SKIPPED
    return asyncio.run(_walk_all(browser))


async def _walk_all(browser: str) -> int:
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="browser-") as scratch:
        folder = Path(scratch)
        venue, system = Child("venue", folder / "log"), Child("system", folder / "log")
        (folder / "log").mkdir()
        try:
            url, series = await start_venue(venue, Options(speed=SPEED, execution="paper"))
            await system.start(
                *(sys.executable, "-m", "executor", "paper", "--venue", url),
                *("--data", str(folder / "data"), "--console-port", "0"),
                env=_environment(folder / "data", series),
            )
            link = await _link(folder / "data", system)
            return await _walk(browser, link, Machine(folder / "data"))
        except ChildError as error:
            print(f"browser: {error}")
            return 1
        finally:
            await system.stop()
            await venue.stop()


def _environment(data: Path, series: list[str]) -> dict[str, str]:
    """What a person would have set, at this speed."""
    return {
        "HOME": str(data.parent),
        "EXECUTOR_DATA": str(data),
        "SERIES": ",".join(series),
        "COOLDOWN_S": str(300 / SPEED),
        "MIN_TIME_TO_CLOSE_S": str(300 / SPEED),
        "MAX_POSITIONS": "8",
    }


async def _link(data: Path, system: Child) -> str:
    """A one-time link, once the console runs."""
    for _ in range(READY_S * 10):
        if system.returncode is not None:
            raise ChildError(f"executor paper ended at start{system.last_words()}")
        told = read_status(data)
        if told is not None and told.console_url:
            return (await _command(data, "console", "--link")).strip()
        await asyncio.sleep(0.1)  # a file is all that says it; nothing to await
    raise ChildError(f"the console does not run{system.last_words()}")


async def _command(data: Path, *arguments: str) -> str:
    """What a command says of the system."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "executor", *arguments),
        cwd=ROOT,
        env={"PATH": os.environ.get("PATH", ""), "EXECUTOR_DATA": str(data)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return said.decode()


class Machine:
    """What the walk asks for beside the browser."""

    def __init__(self, data: Path) -> None:
        self._data = data

    async def answer(self, asked: dict[str, Any]) -> Any:
        """The answer to one request of the walk. Raises KeyError for one that there is not."""
        match asked["ask"]:
            case "suspend":
                os.kill(self._pid(asked["process"]), signal.SIGSTOP)
                return True
            case "continue":
                os.kill(self._pid(asked["process"]), signal.SIGCONT)
                return True
            case "executor":
                return json.loads(await _command(self._data, *asked["arguments"], "--json"))
        raise KeyError(asked["ask"])

    def _system(self) -> SystemStatus:
        status = read_status(self._data)
        if status is None:
            raise ChildError("there is no system.json")
        return status

    def _pid(self, name: str) -> int:
        return next(each.pid for each in self._system().processes if each.name == name)


async def _walk(browser: str, link: str, machine: Machine) -> int:
    """Run the walk; its exit code."""
    # The link is a secret for as long as it has not been used, and anybody may list arguments.
    node = await asyncio.create_subprocess_exec(
        *(str(NODE), str(HERE / "walk.mjs")),
        env={
            "PATH": os.environ.get("PATH", ""),
            "HOME": os.environ.get("HOME", "/tmp"),  # noqa: S108 - where Chromium keeps its profile
            "BROWSER": browser,
            "LINK": link,
            "PICTURES": str(PICTURES),
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert node.stdin is not None and node.stdout is not None  # PIPE
    try:
        async with asyncio.timeout(WALK_S):
            while line := await node.stdout.readline():
                said = json.loads(line)
                if "ask" in said:
                    answer = {"answer": await machine.answer(said)}
                    node.stdin.write(json.dumps(answer).encode() + b"\n")
                    await node.stdin.drain()
                else:
                    print(said["say"], flush=True)
            return await node.wait()
    except TimeoutError:
        print(f"browser: the walk has not ended within {WALK_S} s")
        return 1
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()


if __name__ == "__main__":
    sys.exit(main())
