"""The ports: where orders go, where claims live, what the venue has on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from functions.core.account import Account, ClaimRefusal, Limits, Pause, Redemption
from functions.core.claim import NOBODY, Claim, Trader
from functions.core.collective import CollectiveLimits, CollectiveState
from functions.core.configuration import ConfigurationRow
from functions.core.evidence import OrderLookup, Resolution, Undecided
from functions.core.trade import Trade
from protocol.decision import Decision
from protocol.fill import Fill
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from venue.wire.clob_market import ClobMarket
from venue.wire.order_answer import Answer


class UnpreparableOrderError(Exception):
    """The order cannot be built (off the tick grid, amounts that round to zero, no metadata)."""


class StoreError(Exception):
    """The store did not answer, or not intelligibly: whether the write happened is not known."""


class StoreDeniedError(StoreError):
    """Who asks may not do this: another account's partition, say."""


class StoreMisconfiguredError(StoreError):
    """Only a person can mend it; the text is one line that begins with the variable."""


class StoreRefusedError(StoreError):
    """The store does not take what was given: nothing was written, nor would be the next time."""


class StoreBusyError(StoreError):
    """The store refused before it wrote anything (throttled, a conflict, no connection)."""


class StoreFullError(StoreError):
    """The store has no room left: nothing was written, nor will be until somebody makes some."""


class UnreadableRowsError(StoreError):
    """Some rows of an answer cannot be read, the others can: who can go on with these, does.

    `readable`: those, as structs, in order. `unreadable`: one sentence for each of the others.
    """

    def __init__(self, readable: Sequence[Any], unreadable: Sequence[str]) -> None:
        self.readable = list(readable)
        self.unreadable = tuple(unreadable)
        rows = len(self.readable) + len(self.unreadable)
        one = unreadable[0]
        super().__init__(f"{len(unreadable)} of {rows} rows cannot be read, the first: {one}")


class RecordsError(Exception):
    """The venue did not answer a lookup, or not intelligibly: nothing is known."""


class RecordsDisagreeError(RecordsError):
    """The venue has answered, and its records contradict each other: that is for a person."""


class PreparedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A signed order that nobody has seen yet, and the id the venue will know it by."""

    order_id: str
    trader: Trader = NOBODY
    """Whose it will be at the venue; NOBODY's on paper."""
    salt: str
    order_timestamp_ms: int
    spend_e6: int
    size_e6: int
    payload: Any
    """The adapter's own object; the handler only hands it back."""


class MinedTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction of ours that was mined: done or reverted, and paid for in any case."""

    condition_id: str
    """Whose winnings it was for."""
    transaction: str
    reverted: bool
    gas_wei: int
    """0 when the receipt does not say."""


class Exchange(Protocol):
    """Where orders go: the venue, or paper."""

    async def warm(self, market: MarketInfo) -> None:
        """Make the first order on `market` as fast as the tenth. Raises nothing: it only helps."""

    async def prepare(self, trade: Trade, snapshot: BookSnapshot) -> PreparedOrder:
        """Build and sign, without sending. Raises UnpreparableOrderError."""

    async def post(self, order: PreparedOrder) -> Answer:
        """Send once, never again. Network failures are answers (`Unknown`), not exceptions."""

    def observe(self, snapshot: BookSnapshot) -> None:
        """Each book that comes, the newest of its market (`functions.core.fencing`): what paper
        orders are filled from. May cost no more than a note of it."""

    def forget(self, condition_id: str) -> None:
        """A market that is not dealt with any more: nothing is to be kept for it."""

    def problem(self) -> str | None:
        """What keeps orders from being taken, for a person, None when nothing does."""

    async def refresh_balance(self) -> None:
        """Ask the venue to count the balance anew: the cure for a phantom lock
        (py-clob-client#342). Raises nothing: it only helps."""

    def rehearsal(self) -> Callable[[], object] | None:
        """What computes all that an order takes until its bytes leave, for a specimen that no
        contract takes, and gives it to nobody: without awaiting or asking anything, or leaving a
        trace. None where there is nothing to keep warm (`functions.rehearsal`)."""

    async def upkeep(self) -> None:
        """What must be done beside the orders (keeping connections warm), until cancelled."""

    async def close(self) -> None:
        """Release connections."""


class ClobMarkets(Protocol):
    """The CLOB's own word on a market, which the listing is compared with."""

    async def market(self, condition_id: str) -> ClobMarket:
        """Ask now, bounded in time. Raises RecordsError."""

    async def close(self) -> None:
        """Release connections."""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """The claim is durable and ours."""


class ClaimRefused(msgspec.Struct, frozen=True, kw_only=True):
    """The account took no claim; `account` is the item that refused (None: no such item)."""

    reason: ClaimRefusal
    account: Account | None
    collective: CollectiveState | None = None
    """The group's item, if that refused, and there is one."""


ClaimResult: TypeAlias = Claimed | ClaimRefused


class AccountReads(Protocol):
    """What may be looked at of any account. Every call is bounded in time and raises StoreError."""

    async def account(self) -> Account:
        """The account as it is now (a consistent read)."""

    async def ledger(self, since_ms: int, until_ms: int) -> list[Claim]:
        """Claims that ended, of those made in [since_ms, until_ms), oldest first.

        Raises UnreadableRowsError.
        """


class Store(AccountReads, Protocol):
    """Claims, ledger and decision log of one strategy account.

    Every call is bounded in time and raises StoreError.
    """

    @property
    def account_name(self) -> str:
        """Whose it is."""

    async def open_account(self) -> Account:
        """Create what is missing of the account item (enabled, empty) and return what is stored.

        Idempotent; what is there is never changed.
        """

    async def join_wallet(self, wallet: str) -> None:
        """Say that this account trades with `wallet`. Before its first claim of it, so that whoever
        compares the wallet's shares reads this account as well. Idempotent."""

    async def accounts_of_wallet(self, wallet: str) -> list[str]:
        """The names of all accounts that have ever joined `wallet` (a consistent read)."""

    def account_named(self, account_name: str) -> AccountReads:
        """Any account of the same table, to be looked at. Makes no call."""

    async def claim(
        self, claim: Claim, limits: Limits, now_ms: int, collective: CollectiveLimits | None = None
    ) -> ClaimResult:
        """ONE conditional write: every limit holds, or nothing is written.

        With collective limits, which the claim then names, it is one transaction of the account and
        of the group's item, and what moves the claim later changes both as well.
        """

    async def move(self, claim: Claim, seen: Claim, *, redeem: bool = False) -> bool:
        """Replace `seen` by `claim` in the account, if it is still exactly what was seen.

        The difference in P&L and in reserved money goes to the account's day in the same write, the
        one in entries to the market's window, and with `redeem` its winnings join those that wait,
        and the note of the same market, token and wallet, if there is one. What is resolved frees
        its market. False: look again; it is another version by now (perhaps this one, whose reply
        was lost), or gone.
        """

    async def reopen(self, claim: Claim, seen: Claim) -> bool:
        """Put `claim`, which is `seen` in the ledger, back among the live ones.

        Its market takes no new entry until the market's end. False: look again; somebody else
        already has, or the ledger has another version by now.
        """

    def group(self, name: str) -> GroupStore:
        """The item of a group of accounts, in the same table."""

    async def put_ledger(self, claim: Claim) -> None:
        """Write the row of a claim that has ended, unless a newer version stands there."""

    async def forget(self, claim: Claim) -> None:
        """Take `claim` out of the account if it is still this version; otherwise do nothing."""

    async def ledger_row(self, claim: Claim) -> Claim | None:
        """The row of the same intent."""

    async def halt(self, reason: str) -> None:
        """Once this returns, every later claim is refused, until somebody resumes *this* halt."""

    async def resume(self, seen: Account) -> bool:
        """Lift the halt that was seen. False: there is another one by now, and it holds.

        Conditional, because a resume that is late on its way must not lift a newer halt.
        """

    async def set_pause(self, pause: Pause, seen: Pause) -> bool:
        """Replace the account's pause if it is still the one seen."""

    async def prune(self, account: Account, now_ms: int) -> None:
        """Remove cooldowns that have long been over, ended windows, and days that are past."""

    async def set_redemptions(
        self, changes: Mapping[str, Redemption | None], seen: Mapping[str, Redemption]
    ) -> bool:
        """Replace notes of winnings, if all of `seen` are still so; None: paid. By their keys; all
        of `changes` are in `seen`, and differ from it."""

    async def configuration(self) -> ConfigurationRow | None:
        """The version in force (a consistent read), None before the first one."""

    async def configurations(self, limit: int) -> list[ConfigurationRow]:
        """The newest versions, newest first. Raises UnreadableRowsError."""

    async def set_configuration(self, row: ConfigurationRow, seen_version: int) -> bool:
        """Put `row`, of the version after the seen one (0: there is none yet), in force.

        Once this returns, every claim under an earlier version is refused. The same row again is
        the same change. False: look again; another version is in force than was seen. On an account
        that nobody has opened: False.
        """

    async def put_decisions(self, decisions: Sequence[Decision]) -> None:
        """Write decision rows with a TTL, keyed by decision id.

        Raises StoreRefusedError when one of them can never be written.
        """

    async def decisions(self, day: str, limit: int) -> list[Decision]:
        """The newest decisions of a UTC day, newest first. Raises UnreadableRowsError."""

    async def upkeep(self) -> None:
        """What must be done beside the claims (keeping the connection open), until cancelled."""

    def problem(self) -> str | None:
        """While `upkeep` runs: that the store has not answered for long, a sentence; else None."""

    async def close(self) -> None:
        """Release connections."""


class GroupStore(Protocol):
    """What the accounts of a group may do together, and what they have done.

    Every call is bounded in time and raises StoreError.
    """

    name: str

    async def join(self, account_name: str) -> None:
        """Note that the account, which has been opened, is of this group and of no other. Whoever
        may claim for it does so before it looks whether the group has an item."""

    async def open(self, account_name: str | None) -> CollectiveState:
        """Make what is missing of the group's item, and return what is stored. Idempotent; what is
        there is never changed. Once this returns, every claim of the account (which joins; None: of
        all that have joined) is refused that is not counted here."""

    async def state(self) -> CollectiveState | None:
        """The group's item as it is now (a consistent read), None where nobody has opened it."""

    async def accounts(self) -> dict[str, Account]:
        """By name, each account that has ever joined (consistent reads)."""

    async def prune(self, seen: CollectiveState, now_ms: int) -> None:
        """Remove days that are past."""

    async def correct(self, exposure_e6: int, seen: CollectiveState) -> bool:
        """Replace the exposure, by a person's order. False: something was counted since."""

    async def configuration(self) -> ConfigurationRow | None:
        """The version of the group's limits in force, None before the first one."""

    async def configurations(self, limit: int) -> list[ConfigurationRow]:
        """The newest versions, newest first. Raises UnreadableRowsError."""

    async def set_configuration(self, row: ConfigurationRow, seen_version: int) -> bool:
        """As `Store.set_configuration`: once it returns, a claim under an earlier version is
        refused, of whichever account."""


class VenueRecords(Protocol):
    """What the venue has on record. Every call is bounded in time and raises RecordsError."""

    @property
    def trader(self) -> Trader:
        """In whose name all of it is asked, NOBODY without credentials."""

    def now_ms(self) -> int:
        """Epoch ms by the venue's clock, as far as its answers have told; before any has, by ours.

        Whether a time is over is asked of this, never of the clock of a schedule: by one that is
        ahead, all is over.
        """

    async def lookup(self, claim: Claim) -> OrderLookup:
        """Ask for the order by its id, then for its trades (by taker order id)."""

    async def trades_since(self, since_ms: int) -> tuple[Fill, ...]:
        """The account's trades as a taker matched at or after `since_ms` (epoch), oldest first."""

    async def resolution(self, claim: Claim) -> Resolution | Undecided:
        """How the claim's market was resolved, or why that is not final yet: by the CLOB's market
        record and Gamma's listing (`functions.core.resolution`)."""

    async def positions(self, token_ids: Sequence[str]) -> dict[str, int]:
        """Shares held of each of these tokens, in 1e-6."""

    async def redeem(self, condition_id: str) -> None:
        """Ask for a resolved market's positions to be paid out; asking twice is harmless.

        Only sends the request: whether it was done shows in `positions`.
        """

    async def mined(self) -> tuple[MinedTransaction, ...]:
        """Transactions that `redeem` has sent from this process and that were mined since the last
        call. None where a relayer sends, and pays, them."""

    async def close(self) -> None:
        """Release connections."""
