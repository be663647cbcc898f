"""`functions.ports.VenueRecords`: orders, trades, resolutions and positions at the venue.

Every request is bounded in time and every list in pages. What was not answered, or not
intelligibly, is RecordsError with one line: never "not found".

How a market was resolved is read from its CLOB record and, behind that, from Gamma's listing.
`market_resolved` events would be earlier, but are not received: they come on the market channel,
which a scheduled function does not listen to, and were reported never sent (rs-clob-client#226).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

import structlog

from functions.core.claim import NOBODY, Claim, Trader
from functions.core.evidence import OrderLookup, Resolution, Undecided, plausible
from functions.core.resolution import ContradictionError, needs_gamma, resolution_of
from functions.ports import MinedTransaction, RecordsDisagreeError, RecordsError
from protocol.fill import Fill
from venue.errors import VenueError, VenueRefusedError
from venue.rest import VenueReads
from venue.wallet import asset_type, signature_type
from venue.wire import endpoints
from venue.wire.balances import read_balance_e6
from venue.wire.errors import WireError
from venue.wire.listing import ListedResult, read_result
from venue.wire.market_record import MarketRecord, read_market_record, says_no_market
from venue.wire.orders import OrderRecord, read_order, says_not_found
from venue.wire.trades import Rejection, VenueTrade, read_trades_page

MARKET_PAGES_MAX: Final = 5
"""Of the trades in one market: an account has a handful there."""
SHOWN_MAX: Final = 5
"""Of the trades of one answer that cannot be read."""
SINCE_PAGES_MAX: Final = 10
POSITIONS_AT_ONCE: Final = 4
_T = TypeVar("_T")
_log = structlog.get_logger()


@contextmanager
def raising_records_error(what: str = "") -> Iterator[None]:
    """RecordsError, beginning with `what`, for whatever the venue did not answer intelligibly."""
    try:
        yield
    except (VenueError, WireError) as error:
        raise RecordsError(f"{what}: {error}" if what else str(error)) from error


class Redeemer(Protocol):
    """Who holds the signing key, which nothing else here needs."""

    async def redeem(self, condition_id: str) -> None:
        """See `functions.ports.VenueRecords.redeem`."""

    async def mined(self) -> tuple[MinedTransaction, ...]:
        """See `functions.ports.VenueRecords.mined`."""

    async def close(self) -> None:
        """Release connections."""


class LiveRecords:
    """`functions.ports.VenueRecords` of `trader`, whose signer's API credentials `reads` has.

    Without a `redeemer` nothing can be redeemed.
    """

    def __init__(
        self, reads: VenueReads, trader: Trader, *, redeemer: Redeemer | None = None
    ) -> None:
        self.trader = trader
        self._reads = reads
        self._signature_type = signature_type(trader.signer, trader.wallet)
        self._redeemer = redeemer

    async def lookup(self, claim: Claim) -> OrderLookup:
        """The order by its id, then the trades of its market that name it as the taker's order.

        In this sequence: a match between the two questions shows in the second. The venue filters
        by market, we by order id, which its documented parameters do not offer. Complete, or
        RecordsError: also when there are more pages than `MARKET_PAGES_MAX`.
        """
        begun_s = time.monotonic()
        order = await self._order(claim.order_id)
        told_ms, took_ms = self._reads.now_ms(), math.ceil((time.monotonic() - begun_s) * 1000)
        found, complete = await self._trades(MARKET_PAGES_MAX, market=claim.condition_id)
        if not complete:
            raise RecordsError(f"trades of {claim.slug}: more than {MARKET_PAGES_MAX} pages")
        ours = claim.order_id.lower()
        own = []
        for each in found:
            if isinstance(each, Rejection):
                if each.taker_order_id in (ours, None):  # it may be ours
                    raise RecordsError(f"trades of {claim.slug}: {each.text}")
            elif each.fill.order_id == ours:
                own.append(each)
        _report_unknown_statuses(own)
        trades = tuple(sorted((each.fill for each in own), key=_when))
        lookup = OrderLookup(
            seen_by=self.trader,
            order=order,
            trades=trades,
            asked_at_ms=None if told_ms is None else told_ms - took_ms,
        )
        if not plausible(claim, lookup):
            _log.critical(
                "implausible_records",
                order_id=claim.order_id,
                order=lookup.order,
                trades=lookup.trades,
            )
            raise RecordsError(f"order {claim.order_id}: more on record than it could pay for")
        return lookup

    async def trades_since(self, since_ms: int) -> tuple[Fill, ...]:
        """What the account traded as a taker, oldest first; to the second, which is how exactly
        the venue gives the time of a match.

        A trade that cannot be read is logged and left out, so that it does not hide the others;
        `lookup` refuses it for the claim that it belongs to.
        """
        since_s = since_ms // 1000
        # One second earlier: whether the venue includes the one it is given is not documented.
        found, complete = await self._trades(SINCE_PAGES_MAX, after=str(since_s - 1))
        if not complete:
            _log.error("trades_cut", pages=SINCE_PAGES_MAX, trades=len(found), since_ms=since_ms)
        unreadable = [each.text for each in found if isinstance(each, Rejection)]
        if unreadable:  # one line for all: a run may bring thousands
            _log.error("unreadable_trade", errors=unreadable[:SHOWN_MAX], trades=len(unreadable))
        # On whichever side: the order id says whose it is.
        taken = [each for each in found if not (isinstance(each, Rejection) or each.as_maker)]
        _report_unknown_statuses(taken)
        fills = [each.fill for each in taken]
        return tuple(sorted((each for each in fills if _when(each) >= since_s * 1000), key=_when))

    def now_ms(self) -> int:
        """See `VenueRecords.now_ms`."""
        return _now_ms(self._reads)

    async def resolution(self, claim: Claim) -> Resolution | Undecided:
        """How the claim's market was resolved (see `read_resolution`)."""
        return await read_resolution(self._reads, claim)

    async def positions(self, token_ids: Sequence[str]) -> dict[str, int]:
        """Shares held, in 1e-6; the venue is made to look at the chain first."""
        held: dict[str, int] = {}
        wanted = list(dict.fromkeys(token_ids))
        for start in range(0, len(wanted), POSITIONS_AT_ONCE):
            batch = wanted[start : start + POSITIONS_AT_ONCE]
            # All are waited for, so that none is left running when one fails.
            balances = await asyncio.gather(*map(self._held, batch), return_exceptions=True)
            for token_id, balance in zip(batch, balances, strict=True):
                if isinstance(balance, BaseException):
                    raise balance
                held[token_id] = balance
        return held

    async def redeem(self, condition_id: str) -> None:
        """See `VenueRecords.redeem`. Raises RecordsError, also without a key to redeem with."""
        if self._redeemer is None:
            raise RecordsError(f"redeeming {condition_id}: this process holds no signing key")
        await self._redeemer.redeem(condition_id)

    async def mined(self) -> tuple[MinedTransaction, ...]:
        """See `VenueRecords.mined`. Raises RecordsError."""
        return () if self._redeemer is None else await self._redeemer.mined()

    async def close(self) -> None:
        """Close the connections."""
        try:
            await self._reads.close()
        finally:
            if self._redeemer is not None:
                await self._redeemer.close()

    async def _order(self, order_id: str) -> OrderRecord | None:
        what = f"order {order_id}"
        try:
            with raising_records_error(what):
                body = await self._reads.private(endpoints.order(order_id), {})
        except RecordsError as error:
            refused = error.__cause__
            if (
                isinstance(refused, VenueRefusedError)
                and refused.own_word
                and says_not_found(refused.status, refused.reason, order_id)
            ):
                return None
            raise
        with raising_records_error():
            return read_order(body, order_id)

    async def _trades(
        self, pages_max: int, **wanted: str
    ) -> tuple[list[VenueTrade | Rejection], bool]:
        """What is listed, and whether that is all."""
        found: list[VenueTrade | Rejection] = []
        cursor: str | None = None
        for _ in range(pages_max):
            params = wanted if cursor is None else {**wanted, "next_cursor": cursor}
            page = await _read(
                "trades", self._reads.private(endpoints.TRADES, params), read_trades_page
            )
            found += page.trades
            cursor = page.next_cursor
            if cursor is None:
                return found, True
        return found, False

    async def _held(self, token_id: str) -> int:
        what = f"balance of token {token_id}"
        params = {
            "asset_type": asset_type(token_id),
            "signature_type": str(self._signature_type),
            "token_id": token_id,
        }
        # Cached otherwise: shares that were redeemed would be held for ever.
        await _read(what, self._reads.private(endpoints.BALANCE_REFRESH, params), len)
        return await _read(what, self._reads.private(endpoints.BALANCE, params), read_balance_e6)


class PublicRecords:
    """`functions.ports.VenueRecords` without an account: resolutions, which anybody may read.

    For paper execution, of whose orders the venue knows nothing: so there are no orders, trades or
    positions. And for settlement where nothing is redeemed, which asks for resolutions alone. Never
    for reconciling a live account: that an order is not found here is no evidence.
    """

    trader = NOBODY

    def __init__(self, clob_url: str, gamma_url: str) -> None:
        self._reads = VenueReads(clob_url, gamma_url)

    async def lookup(self, claim: Claim) -> OrderLookup:
        """Never found; the time is ours, since nobody is asked."""
        return OrderLookup(seen_by=NOBODY, order=None, trades=(), asked_at_ms=_our_now_ms())

    async def trades_since(self, since_ms: int) -> tuple[Fill, ...]:
        """None."""
        return ()

    def now_ms(self) -> int:
        """See `VenueRecords.now_ms`."""
        return _now_ms(self._reads)

    async def resolution(self, claim: Claim) -> Resolution | Undecided:
        """How the claim's market was resolved (see `read_resolution`)."""
        return await read_resolution(self._reads, claim)

    async def positions(self, token_ids: Sequence[str]) -> dict[str, int]:
        """None."""
        return {}

    async def redeem(self, condition_id: str) -> None:
        """Nothing to redeem."""

    async def mined(self) -> tuple[MinedTransaction, ...]:
        """None."""
        return ()

    async def close(self) -> None:
        """Close the connections."""
        await self._reads.close()


async def read_resolution(reads: VenueReads, claim: Claim) -> Resolution | Undecided:
    """What the tokens of the claim's market pay (`functions.core.resolution` has the rules).

    Raises RecordsError, and when the CLOB and Gamma contradict each other also alarms: that is for
    a person, never for a guess.
    """
    clob = await _market(reads, claim)
    now_ms = reads.now_ms()
    # By a clock that is ahead what Gamma alone says is not early any more. Not told: it is early.
    over_ms = 0 if now_ms is None else now_ms - claim.market_end_ms
    gamma: ListedResult | None = None
    if needs_gamma(clob, over_ms):
        try:
            gamma = await _listed(reads, claim)
        except RecordsError as error:
            if clob is None or not clob.closed or clob.payouts_e6 is None:
                raise
            _log.warning("resolution_unconfirmed", slug=claim.slug, error=str(error))
    try:
        return resolution_of(clob, gamma, over_ms)
    except ContradictionError as error:
        _log.critical(
            "resolutions_disagree",
            slug=claim.slug,
            condition_id=claim.condition_id,
            clob=None if clob is None else clob.payouts_e6,
            gamma=None if gamma is None else gamma.payouts_e6,
        )
        text = f"market {claim.slug}: CLOB and Gamma disagree about the resolution"
        raise RecordsDisagreeError(text) from error


async def _market(reads: VenueReads, claim: Claim) -> MarketRecord | None:
    """The CLOB's record of the claim's market, None when the CLOB says that it has none."""
    condition_id, token_id = claim.condition_id, claim.token_id
    try:
        return await _read(
            f"market {claim.slug}",
            reads.public(endpoints.market(condition_id), {}),
            lambda body: read_market_record(body, condition_id, token_id),
        )
    except RecordsError as error:
        refused = error.__cause__
        if isinstance(refused, VenueRefusedError) and says_no_market(
            refused.status, refused.reason
        ):
            return None
        raise


async def _listed(reads: VenueReads, claim: Claim) -> ListedResult:
    return await _read(
        f"listing {claim.slug}",
        reads.listing(endpoints.EVENTS, {"slug": claim.slug}),
        lambda body: read_result(body, claim.condition_id, claim.token_id),
    )


async def _read(what: str, asked: Awaitable[bytes], reader: Callable[[bytes], _T]) -> _T:
    """The venue's answer, read. Raises RecordsError."""
    with raising_records_error(what):
        return reader(await asked)


def _report_unknown_statuses(trades: Iterable[VenueTrade]) -> None:
    """One line for all that one question has brought."""
    unknown = [each for each in trades if each.unknown_status is not None]
    if unknown:
        first = unknown[0]
        _log.warning(
            "unknown_trade_status",
            trade=first.fill.trade_id,
            status=first.unknown_status,
            trades=len(unknown),
        )


def _now_ms(reads: VenueReads) -> int:
    now_ms = reads.now_ms()
    return _our_now_ms() if now_ms is None else now_ms


def _our_now_ms() -> int:
    return time.time_ns() // 1_000_000


def _when(fill: Fill) -> int:
    return fill.matched_at_ms
