"""Watching an account from outside, ten times a second: when each order was first seen recorded.

The times are those of the read that saw it, so they err on the late side by up to a tenth of a
second. What was seen is kept for as long as the run lasts.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import Final

from functions.core.account import Account
from functions.core.claim import Claim, ClaimState
from functions.ports import StoreError
from sandbox.audit_input import reading_store
from sandbox.services import STATE_TABLE

POLL_EVERY_S: Final = 0.1
FAILURES_MAX: Final = 50


@dataclasses.dataclass(kw_only=True)
class Sighting:
    """What was seen of one order's claim. Epoch milliseconds, 0: not seen."""

    claimed_ms: int = 0
    recorded_ms: int = 0
    """Open, or resolved in another way."""
    state: ClaimState = ClaimState.CLAIMED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Appearance:
    """One read that showed new claims."""

    versions: frozenset[int]
    """The configurations that the new ones were made under."""
    live: int
    """How many there were then, new or not, without those that late evidence brought back."""


class ClaimWatch:
    """Of one account. `orders` is by order id; `on_claimed` is awaited after a read that sees
    claims `claimed`.

    Who changes the configuration sets `binding_version` once the change has returned.
    """

    def __init__(self, dynamodb_url: str, account: str) -> None:
        self._dynamodb_url = dynamodb_url
        self._account = account
        self.orders: dict[str, Sighting] = {}
        self.account: Account | None = None
        self.binding_version = 0
        self._bound_by = 0
        """The version that had returned before the last read that succeeded began."""
        self.appearances: list[Appearance] = []
        self.outdated: list[str] = []
        """A sentence for each claim that was written too late for its configuration."""
        self.on_claimed: Callable[[list[Claim]], Awaitable[None]] = _nothing

    async def run(self) -> None:
        """Look until cancelled. Raises StoreError when the store does not answer for seconds."""
        failures = 0
        async with reading_store(self._dynamodb_url, STATE_TABLE, self._account) as store:
            while True:
                started_s, binding = time.monotonic(), self.binding_version
                try:
                    account = await store.account()
                    claimed = self.saw(account, time.time_ns() // 1_000_000, binding)
                    failures = 0
                    if claimed:
                        await self.on_claimed(claimed)
                except StoreError:
                    failures += 1
                    if failures > FAILURES_MAX:
                        raise
                await asyncio.sleep(max(0.0, started_s + POLL_EVERY_S - time.monotonic()))

    def saw(self, account: Account, now_ms: int, binding_version: int = 0) -> list[Claim]:
        """Take note of one read; returns the claims in state `claimed`.

        `binding_version` is the one that had returned when the read began.
        """
        self.account = account
        self._judge_new(account)
        self._bound_by = binding_version
        claimed = []
        for claim in account.claims.values():
            seen = self.orders.setdefault(claim.order_id, Sighting(claimed_ms=now_ms))
            seen.state = claim.state
            if claim.state is ClaimState.CLAIMED:
                claimed.append(claim)
            elif claim.state is not ClaimState.UNKNOWN and not seen.recorded_ms:
                seen.recorded_ms = now_ms
        live = {claim.order_id for claim in account.claims.values()}
        for order_id, seen in self.orders.items():
            if order_id not in live and not seen.recorded_ms:
                seen.recorded_ms = now_ms  # it ended between two looks
        return claimed

    def _judge_new(self, account: Account) -> None:
        made = [claim for claim in account.claims.values() if not claim.came_back]
        new = [claim for claim in made if claim.order_id not in self.orders]
        if new:
            versions = frozenset(claim.config_version for claim in new)
            self.appearances.append(Appearance(versions=versions, live=len(made)))
        self.outdated += [
            f"order {claim.order_id} was claimed under version {claim.config_version}, after a look"
            f" at the account that version {self._bound_by} was in force for"
            for claim in new
            if claim.config_version < self._bound_by
        ]


async def _nothing(_: list[Claim]) -> None:
    """Nobody waits for claims."""
