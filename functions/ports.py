"""The two ports of the hot path, as small as the handler needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from functions.core.answer import Answer
from functions.core.decide import Trade
from functions.core.evidence import Look, Resolution
from functions.core.intent import Account, Claim, ClaimRefusal, ClaimState, Limits
from protocol.decision import Decision, Timeline
from protocol.fill import Fill
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot


class PreparedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A signed order that nobody has seen yet, and the id the venue will know it by."""

    order_id: str
    salt: str
    order_timestamp_ms: int
    spend_e6: int
    size_e6: int
    payload: Any
    """The adapter's own object; the handler only hands it back."""


class UnpreparableOrderError(Exception):
    """The order cannot be built (off the tick grid, amounts that round to zero, no metadata)."""


class Exchange(Protocol):
    """Where orders go: the venue, or paper."""

    async def warm(self, market: MarketInfo) -> None:
        """Make the first order on `market` as fast as the tenth. Raises nothing: it only helps."""

    async def prepare(self, trade: Trade, snapshot: BookSnapshot) -> PreparedOrder:
        """Build and sign, without sending. Raises UnpreparableOrderError."""

    async def post(self, order: PreparedOrder) -> Answer:
        """Send once, never again. Network failures are answers (`Unknown`), not exceptions."""

    async def upkeep(self) -> None:
        """What must be done beside the orders (keeping connections warm), until cancelled."""

    async def close(self) -> None:
        """Release connections."""


class StoreError(Exception):
    """The store did not answer, or not intelligibly: whether the write happened is not known."""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """The claim is durable and ours."""


class ClaimRefused(msgspec.Struct, frozen=True, kw_only=True):
    """The account took no claim; `account` is the item that refused (None: no such item)."""

    reason: ClaimRefusal
    account: Account | None


ClaimResult: TypeAlias = Claimed | ClaimRefused


class Store(Protocol):
    """Claims, ledger and decision log of one strategy account."""

    async def open_account(self) -> Account:
        """Create the account item if it is missing (enabled, empty) and return what is stored.

        Idempotent; an existing item is never changed. Raises StoreError.
        """

    async def claim(self, claim: Claim, limits: Limits, now_ms: int) -> ClaimResult:
        """ONE conditional write: every limit holds, or nothing is written. Raises StoreError."""

    async def resolve(self, claim: Claim, seen: ClaimState) -> bool:
        """Move our claim from `seen` to `claim.state`, under `state = seen AND attempt = mine`.

        `released` removes it from the account. True when the stored state is now `claim.state`
        (also when an earlier, unanswered try of ours had already done it). Raises StoreError.
        """

    async def put_ledger(self, claim: Claim, timeline: Timeline) -> None:
        """Write the intent's ledger row; the same row twice is the same row. Raises StoreError."""

    async def put_decisions(self, decisions: Sequence[Decision]) -> None:
        """Write decision rows with a TTL, keyed by decision id. Raises StoreError."""

    async def upkeep(self) -> None:
        """What must be done beside the claims (keeping the connection open), until cancelled."""

    async def close(self) -> None:
        """Release connections."""


class RecordsError(Exception):
    """The venue did not answer a look-up, or not intelligibly: nothing is known."""


class Records(Protocol):
    """What the venue has on record. Every call is bounded in time and raises RecordsError."""

    async def look(self, claim: Claim) -> Look:
        """Ask for the order by its id, then for its trades (by taker order id)."""

    async def trades_since(self, since_ms: int) -> tuple[Fill, ...]:
        """The account's trades as a taker matched at or after `since_ms` (epoch), oldest first."""

    async def resolution(self, claim: Claim) -> Resolution | None:
        """How the claim's market was resolved, None while it is not: the CLOB's market record
        first, then Gamma's (closed, with final outcome prices)."""

    async def positions(self, token_ids: Sequence[str]) -> dict[str, int]:
        """Shares held of each of these tokens, in 1e-6."""

    async def refresh_balance(self) -> None:
        """Ask the venue to look at the balance anew: a cure for phantom locks."""

    async def redeem(self, condition_id: str) -> None:
        """Ask for a resolved market's positions to be paid out; asking twice is harmless.

        Only sends the request: whether it was done shows in `positions`.
        """

    async def close(self) -> None:
        """Release connections."""
