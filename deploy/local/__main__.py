"""`python -m deploy.local`: the template as packaged, deployed to a cloud on this machine, used.

    serverless.yml ──osls──▶ ministack: tables and functions ◀── workers, feeders, NATS, venue

Deploys stage `local`, trades on the deployed tables until the deployed functions have settled a
trade, deploys once more in place, and removes everything: also after a failure, or Ctrl-C. Exit
code 0: every step ended as expected, and venue, state and ledger agree to the micro-dollar; 1: one
line says what did not; 130: stopped by a signal. Leaves nothing but logs.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import aiohttp
import typer
from nats.errors import Error as NatsError

from deploy.local.cloud import (
    INVOKE_TIMEOUT_S,
    Cloud,
    CloudError,
    ministack,
    missing_tools,
    opened_cloud,
)
from deploy.local.stack import NAME, Stack
from deploy.local.steps import Deployed, Progress, Run, StepError, follow_decisions, lost
from deploy.local.system import System, still_listening
from functions.ports import StoreError
from local.child import ROOT, Child, ChildError
from protocol.snapshot import ProtocolError
from runtime.nats import connect_once
from runtime.process import stop_tasks
from sandbox.services import Options

LOG_DIR: Final = Path("sandbox-logs") / "deploy-local"
ZIPS: Final = [
    ROOT / ".build" / "functions" / "local" / f"{name}.zip"
    for name in ("reconcile", "settle", "control")
]
WINDOW_S: Final = 900
EXIT_STOPPED: Final = 130
SERVERS_WITHIN_S: Final = 60
SERVICES_WITHIN_S: Final = 60
DEPLOYED_WITHIN_S: Final = 120
"""Fifteen seconds on two idle cores."""
CHANGED: Final = {"functionMemory": "384"}
"""What the second deployment changes: a parameter of the stage, of no consequence here."""
_FAILURES: Final = (
    CloudError,
    StepError,
    ChildError,
    StoreError,
    ProtocolError,
    NatsError,
    aiohttp.ClientError,
    OSError,
)


def main(
    speed: Annotated[int, typer.Option(min=1, max=60, help="a window lasts 900 s / speed")] = 30,
    workers: Annotated[int, typer.Option(min=1, max=16)] = 2,
    markets: Annotated[int, typer.Option(min=1, max=6)] = 6,
) -> None:
    """Deploy locally, trade, update in place, remove."""
    if WINDOW_S % speed:
        raise typer.BadParameter(f"--speed must divide {WINDOW_S} (the window's seconds)")
    if missing := missing_tools(ZIPS):
        sys.exit("\n".join(missing))
    raise typer.Exit(asyncio.run(_run_all(Options(speed=speed, workers=workers, markets=markets))))


async def _run_all(options: Options) -> int:
    progress = Progress(typer.echo)
    _cancel_on_signals()
    try:
        await _live(progress, options)
    except asyncio.CancelledError:
        progress.say("stopped by a signal; everything is removed")
        return EXIT_STOPPED
    except _FAILURES as error:
        progress.say(f"FAILED while {progress.doing}: {error}")
        progress.say(f"what every process said: {LOG_DIR}/")
        return 1
    progress.say("done: deployed, traded, settled, updated in place, removed")
    return 0


def _cancel_on_signals() -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made one
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:  # a second signal would cancel the removal
            stopping = True
            task.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, stop)


async def _live(progress: Progress, options: Options) -> None:
    LOG_DIR.mkdir(parents=True, exist_ok=True)
    for old in LOG_DIR.glob("*.log"):
        old.unlink()
    system = System(options, LOG_DIR)
    urls: list[str] = []
    try:
        async with AsyncExitStack() as stack:
            scratch = Path(stack.enter_context(TemporaryDirectory(prefix="local-stack-")))
            async with progress.step("starting ministack, NATS and the venue", SERVERS_WITHIN_S):
                stack.push_async_callback(system.stop)
                await system.start_servers()
                url = await stack.enter_async_context(ministack(Child("ministack", LOG_DIR)))
                cloud = await stack.enter_async_context(opened_cloud(url))
                urls += [url, *system.addresses()]
                local = Stack(url, await _given(cloud, system), scratch, LOG_DIR)
            progress.say(
                f"ministack at {url}, NATS and a simulated venue; account and secrets made"
            )
            await _deployed(progress, cloud, system, local)
    finally:
        listening = await still_listening(urls)
    if listening:
        raise StepError(f"still listening: {', '.join(listening)}")
    progress.say(f"{system.count + 1} processes ended, nothing listens any more")


async def _given(cloud: Cloud, system: System) -> dict[str, str]:
    """What the stage takes from outside: secrets that exist before the stack, and addresses."""
    account = await system.open_account(cloud.url)
    return {
        "SIGNING_KEY_SECRET_ARN": await cloud.put_secret("signing-key", account.private_key),
        "API_CREDENTIALS_SECRET_ARN": await cloud.put_secret(
            "api-credentials", account.api_credentials
        ),
        "WALLET": account.wallet,
        "EXECUTION": "live",
        "CLOB_URL": system.venue_url,
        "GAMMA_URL": system.venue_url,
    }


async def _deployed(progress: Progress, cloud: Cloud, system: System, local: Stack) -> None:
    """Deploy, live, remove: whatever happens in between."""
    try:
        async with progress.step("deploying", DEPLOYED_WITHIN_S):
            await local.deploy()
            at = await Deployed.of(cloud, NAME)
        progress.say(
            f"deployed {NAME}: {at.state_table}, {at.decision_table}, "
            f"{at.reconcile}, {at.settle}, {at.control}"
        )
        async with AsyncExitStack() as stack:
            # Listening from before the first decision.
            nc = await connect_once(system.nats_url, "deploy")
            stack.push_async_callback(nc.close)
            run = Run(
                progress=progress,
                cloud=cloud,
                venue_url=system.venue_url,
                at=at,
                decisions=await follow_decisions(nc),
            )
            await run.seed()
            # It repeats for a minute; meanwhile trades come and go.
            reconciled = asyncio.create_task(run.reconcile())
            stack.push_async_callback(stop_tasks, reconciled)
            async with progress.step("starting the services", SERVICES_WITHIN_S):
                count = await system.start_services(at.state_table, at.decision_table)
            progress.say(f"{count} services run on the deployed tables, none of them settles")
            await _unless(system.died(), _lived(progress, run, local, reconciled))
            await _stopped(progress, system)
    except BaseException:  # a signal, too
        doing = progress.doing
        await system.stop_services()
        try:
            await _removed(progress, cloud, local)
        except (CloudError, StepError) as error:  # ministack ends in a moment, and all of it
            progress.say(f"not removed in order: {error}")
        progress.doing = doing
        raise
    await _removed(progress, cloud, local)


async def _lived(
    progress: Progress, run: Run, local: Stack, reconciled: asyncio.Task[None]
) -> None:
    await run.trade()
    await run.halt()
    await run.settle()
    await run.audit()
    async with progress.step("waiting for reconciliation to end its minute", INVOKE_TIMEOUT_S):
        await reconciled
    before, setup = await run.state(), await run.setup()
    async with progress.step("deploying again, in place", DEPLOYED_WITHIN_S):
        await local.deploy(**CHANGED)
    if await run.setup() == setup:
        raise StepError("the second deployment changed nothing")
    if found := lost(before, await run.state()):
        raise StepError(f"it changed the state: {'; '.join(found)}")
    progress.say(f"deployed again in place ({CHANGED}); all {len(before)} items as before")
    await run.resume()
    await run.trade()
    await run.halt()
    await run.converge()
    await run.audit()
    await run.scheduled()


async def _stopped(progress: Progress, system: System) -> None:
    progress.doing = "stopping the services"
    if failed := await system.stop_services():
        raise StepError("; ".join(failed))


async def _removed(progress: Progress, cloud: Cloud, local: Stack) -> None:
    async with progress.step("removing the stack", DEPLOYED_WITHIN_S):
        await local.remove()
        if left := await cloud.left():
            raise StepError(f"left behind: {', '.join(left)}")
    progress.say("removed: no table, function or stack is left")


async def _unless(died: Coroutine[Any, Any, str], work: Coroutine[Any, Any, None]) -> None:
    """Do the work. Raises ChildError when a process dies meanwhile."""
    tasks = death, life = asyncio.create_task(died), asyncio.create_task(work)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if not life.cancelled():
        life.result()
    else:
        raise ChildError(death.result())


if __name__ == "__main__":
    typer.run(main)
