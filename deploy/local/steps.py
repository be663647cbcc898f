"""One local deployment step by step, with a line for each: every step is bounded and has a name.

    bought ─▶ halted, refused ─▶ settled ─▶ accounts agree ─▶ deployed again, nothing lost
           ─▶ resumed ─▶ bought ─▶ settled ─▶ accounts agree

Halting before settling brings the account to rest: what the second deployment must not change can
be compared item by item.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from nats.aio.client import Client
from nats.aio.subscription import Subscription

from deploy.local.cloud import Cloud
from functions.core.account import ClaimRefusal
from functions.core.claim import Claim, ClaimState
from protocol.decision import Decision, decode_decision
from protocol.subjects import DECISIONS
from sandbox.audit import disagreements, summary, unfinished
from sandbox.audit_input import STRATEGY, AuditInput, gather, reading_store

SETTLE_EVERY_S: Final = 3
TRADED_WITHIN_S: Final = 90
REFUSED_WITHIN_S: Final = 90
"""Three windows: near the end of each nothing is bought, and not every order finds a match."""
SETTLED_WITHIN_S: Final = 90
"""A window, the venue's delay in resolving it, and a function's cold start."""
CONTROLLED_WITHIN_S: Final = 60
"""A second each once the function is warm; a cold start waits for a core on a busy machine."""
TRADES_SHOWN: Final = 5
COOLDOWN_MS: Final = 300_000  # the workers have no other than the default
_SETUP: Final = ("MemorySize", "Timeout", "Environment")
_WHO: Final = "arn:aws:iam::000000000000:user/local-deployment"
_REASON: Final = "local deployment: to compare the tables"


class StepError(Exception):
    """A step did not end as expected; one sentence."""


class Progress:
    """Says what has happened, with the seconds since the beginning."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._started_s = time.monotonic()
        self.doing = "starting"

    def say(self, line: str) -> None:
        """One line."""
        self._say(f"{self.seconds:6.1f} s  {line}")

    @asynccontextmanager
    async def step(self, doing: str, within_s: float) -> AsyncIterator[None]:
        """What is done inside has a name and an end. Raises StepError when time is up."""
        self.doing = doing
        try:
            async with asyncio.timeout(within_s):
                yield
        except TimeoutError:
            raise StepError(f"not done within {within_s:g} s") from None

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started_s


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deployed:
    """What the stack has made, by the names it gave."""

    state_table: str
    decision_table: str
    reconcile: str
    settle: str
    control: str
    control_url: str

    @classmethod
    async def of(cls, cloud: Cloud, stack: str) -> Self:
        """Ask the stack. Raises CloudError, StepError."""
        made = await cloud.resources(stack)
        wanted = {
            "state_table": "StateTable",
            "decision_table": "DecisionTable",
            "reconcile": "ReconcileLambdaFunction",
            "settle": "SettleLambdaFunction",
            "control": "ControlLambdaFunction",
        }
        missing = [name for name in wanted.values() if name not in made]
        if missing:
            raise StepError(f"the stack has no {', '.join(missing)}")
        names = {field: made[logical] for field, logical in wanted.items()}
        return cls(**names, control_url=await cloud.function_url(names["control"]))


class Run:
    """What is done with a deployed system that trades. Every method raises StepError."""

    def __init__(
        self,
        *,
        progress: Progress,
        cloud: Cloud,
        venue_url: str,
        at: Deployed,
        decisions: Subscription,
    ) -> None:
        self._progress = progress
        self._cloud = cloud
        self._venue_url = venue_url
        self._at = at
        self._decisions = decisions
        self._settle_runs = 0

    async def seed(self) -> None:
        """Make the account, as the first worker would; see who may ask, and that it answers."""
        async with self._progress.step("making the account", CONTROLLED_WITHIN_S):
            async with reading_store(self._cloud.url, self._at.state_table, STRATEGY) as store:
                await store.open_account()
            await self._status(trading=True)
            for signed, wanted in ((False, None), (True, "no IAM identity")):
                url = f"{self._at.control_url}/status"
                code, answer = await self._cloud.request("GET", url, signed=signed)
                if code != 403 or (wanted and wanted not in str(answer)):
                    raise StepError(f"GET {url} ({signed=}) was answered with {code}, {answer}")
        self._progress.say(
            "account made; control answers, and over HTTP to nobody without an identity"
        )

    async def reconcile(self) -> None:
        """One invocation of the deployed function, which repeats for a minute."""
        report = await self._cloud.invoke(self._at.reconcile, {})
        if not report["runs"] or report["failed"]:
            raise StepError(f"reconciliation answered {report}")
        self._progress.say(
            f"reconciled by the deployed function: {report['runs']} runs, none failed"
        )

    async def trade(self) -> None:
        """Until an order has bought something that was decided on from now on."""
        since_ms = _now_ms()
        async with self._progress.step("waiting for a trade", TRADED_WITHIN_S):
            bought = await self._decision(
                lambda each: each.result == "executed" and each.filled_size_e6 > 0, since_ms
            )
        self._progress.say(
            f"bought {bought.outcome} of {bought.slug}: {bought.filled_size_e6 / 1e6:.2f} shares "
            f"for {bought.filled_spend_e6 / 1e6:.2f} USD, fee {bought.fee_e6 / 1e6:.4f}"
        )

    async def halt(self) -> None:
        """Halt through the function, and see a worker refuse."""
        async with self._progress.step("halting through the control function", CONTROLLED_WITHIN_S):
            await self._control("POST", "/halt", {"reason": _REASON})
            await self._status(trading=False)
        since_ms = _now_ms()
        async with self._progress.step("waiting for a worker to refuse", REFUSED_WITHIN_S):
            refused = await self._decision(
                lambda each: each.result == "refused" and each.reason == ClaimRefusal.HALTED,
                since_ms,
            )
        self._progress.say(
            f"halted through the control function; {refused.worker} refuses {refused.slug}"
        )

    async def resume(self) -> None:
        """Resume through the function."""
        async with self._progress.step(
            "resuming through the control function", CONTROLLED_WITHIN_S
        ):
            await self._status(trading=False)  # that is state, too
            await self._control("POST", "/resume")
            await self._status(trading=True)
        self._progress.say("still halted after it; resumed through the control function")

    async def settle(self) -> None:
        """Invoke the deployed function until nothing is held any more; show what it settled."""
        runs, audit_input = await self._settling(lambda seen: not seen.account.claims)
        rows = [row for row in audit_input.ledger if row.state is ClaimState.SETTLED]
        if not rows:
            raise StepError("nothing is held any more, and the ledger shows no settled trade")
        self._progress.say(f"settled by the deployed function (invoked {runs} times):")
        for row in rows[:TRADES_SHOWN]:
            self._progress.say(f"  {trade_line(row)}")
        if len(rows) > TRADES_SHOWN:
            self._progress.say(f"  and {len(rows) - TRADES_SHOWN} more")

    async def converge(self) -> None:
        """Until nothing is on its way any more; what is held may stay."""
        await self._settling(lambda seen: not unfinished(seen))

    async def _settling(self, enough: Callable[[AuditInput], bool]) -> tuple[int, AuditInput]:
        runs = 0
        async with self._progress.step("waiting for settlement", SETTLED_WITHIN_S):
            while True:
                await self._cloud.invoke(self._at.settle, {})
                runs += 1
                self._settle_runs += 1
                audit_input = await self._audit_input()
                if enough(audit_input):
                    return runs, audit_input
                await asyncio.sleep(SETTLE_EVERY_S)  # windows end by the clock; nothing to await

    async def audit(self) -> None:
        """Venue = state = ledger."""
        async with self._progress.step("comparing venue, state and ledger", CONTROLLED_WITHIN_S):
            audit_input = await self._audit_input()
            found = disagreements(audit_input, execution="live", cooldown_ms=COOLDOWN_MS)
        if found:
            raise StepError(f"{len(found)} disagreements: {'; '.join(found[:3])}")
        self._progress.say(f"all accounts agree: {summary(audit_input)}")

    async def state(self) -> dict[str, Any]:
        """Account and ledger as they are stored, by key; to be compared."""
        items = await self._cloud.items(self._at.state_table)
        return {item["sk"]["S"]: comparable(item) for item in items}

    async def setup(self) -> dict[str, Any]:
        """What a change of the stage's parameters changes: how the functions are set up."""
        setups = [
            await self._cloud.configuration(name) for name in (self._at.reconcile, self._at.settle)
        ]
        return {each["FunctionName"]: {name: each.get(name) for name in _SETUP} for each in setups}

    async def scheduled(self) -> None:
        """Say how often the cloud's own scheduler has run settlement; never is no failure."""
        async with self._progress.step("reading the functions' logs", CONTROLLED_WITHIN_S):
            lines = await self._cloud.log_lines(self._at.settle)
        runs = sum(line.startswith("START RequestId") for line in lines) - self._settle_runs
        self._progress.say(f"the cloud's own schedule ran settlement {runs} times, too")

    async def _status(self, *, trading: bool) -> None:
        answer = await self._control("GET", "/status")
        if answer.get("trading") is not trading:
            raise StepError(f"GET /status says {answer}, not that trading is {trading}")

    async def _control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        # Not over HTTP: ministack names no IAM identity there, and the function refuses without.
        answer = await self._cloud.invoke(self._at.control, url_event(method, path, body))
        if answer.get("statusCode") != 200:
            raise StepError(f"{method} {path} was answered with {answer}")
        return json.loads(answer["body"])

    async def _decision(self, wanted: Callable[[Decision], bool], since_ms: int) -> Decision:
        """The first such decision since then; those that came before are still waiting here."""
        while True:
            message = await self._decisions.next_msg(timeout=None)
            decision = decode_decision(message.data)
            if decision.decided_at_ms >= since_ms and wanted(decision):
                return decision

    async def _audit_input(self) -> AuditInput:
        return await gather(self._venue_url, self._cloud.url, self._at.state_table)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def follow_decisions(nc: Client) -> Subscription:
    """Everything the workers publish from now on."""
    return await nc.subscribe(DECISIONS.subjects[0])


def url_event(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a function URL hands to its function (payload format 2.0), as far as it is read."""
    event: dict[str, Any] = {
        "version": "2.0",
        "rawPath": path,
        "requestContext": {
            "http": {"method": method, "path": path},
            "authorizer": {"iam": {"userArn": _WHO}},
        },
        "isBase64Encoded": False,
    }
    return event if body is None else {**event, "body": json.dumps(body)}


def trade_line(row: Claim) -> str:
    """A settled row of the ledger, for a person."""
    price = row.filled_spend_e6 / row.filled_size_e6 if row.filled_size_e6 else 0.0
    return (
        f"{row.slug} {row.outcome}: {row.filled_size_e6 / 1e6:.2f} shares at {price:.3f}, "
        f"paid {row.payout_e6 / 1e6:.2f} USD, P&L after fees {row.pnl_e6 / 1e6:+.4f} USD"
    )


def comparable(item: dict[str, Any]) -> dict[str, Any]:
    """An item without what time alone takes from it: cooldowns and entries are pruned."""
    return {name: value for name, value in item.items() if name not in ("cooldowns", "entries")}


def lost(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """One sentence for each item that is not what it was."""
    return [
        f"{key} {'is gone' if key not in after else 'is new' if key not in before else 'differs'}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
