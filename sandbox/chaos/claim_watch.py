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


class ClaimWatch:
    """`orders` is by order id; `on_claimed` is awaited after a read that sees claims `claimed`."""

    def __init__(self, dynamodb_url: str, account: str) -> None:
        self._dynamodb_url = dynamodb_url
        self._account = account
        self.orders: dict[str, Sighting] = {}
        self.account: Account | None = None
        self.on_claimed: Callable[[list[Claim]], Awaitable[None]] = _nothing

    async def run(self) -> None:
        """Look until cancelled. Raises StoreError when the store does not answer for seconds."""
        failures = 0
        async with reading_store(self._dynamodb_url, STATE_TABLE, self._account) as store:
            while True:
                started_s = time.monotonic()
                try:
                    claimed = self.saw(await store.account(), time.time_ns() // 1_000_000)
                    failures = 0
                    if claimed:
                        await self.on_claimed(claimed)
                except StoreError:
                    failures += 1
                    if failures > FAILURES_MAX:
                        raise
                await asyncio.sleep(max(0.0, started_s + POLL_EVERY_S - time.monotonic()))

    def saw(self, account: Account, now_ms: int) -> list[Claim]:
        """Take note of one read; returns the claims in state `claimed`."""
        self.account = account
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


async def _nothing(_: list[Claim]) -> None:
    """Nobody waits for claims."""
