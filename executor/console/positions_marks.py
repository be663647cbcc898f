"""What live positions are worth now, if they could be sold. Pure.

The mark of a position is its shares times the best bid, less the taker fee that this sale would
cost. It says nothing of how many shares the best bid takes. Where there is no bid that is proven
and fresh, there is no mark: what nobody knows is not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from executor.reports import Position, positions_of
from functions.core.account import Account, Redemption
from functions.core.claim import Claim, ClaimState
from functions.core.lifecycle import final, overdue, unsettled
from functions.core.winnings import market_of, stuck
from protocol.book import Proof
from protocol.fee import taker_fee_e6
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE

MARK_AGE_MAX_MS: Final = 2_000
"""An older book is not now."""
ENDED: Final = "its market has ended: it waits for the resolution"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What one position is worth; None: not known, and `why_not` says why."""

    bid_e4: int | None = None
    fee_e6: int | None = None
    """Of selling all at the bid."""
    value_e6: int | None = None
    """After that fee."""
    unrealised_e6: int | None = None
    """The value less what was paid, with its fee."""
    why_not: str = ""


def mark_of(claim: Claim, book: BookSnapshot | None, now_ms: int) -> Mark:
    """Of a live claim, by the newest book of its market."""
    bid_e4 = None
    if book is not None:
        bids = {each.token_id: each.best_bid_e4 for each in book.books}
        bid_e4 = bids.get(claim.token_id)
    why_not = _no_position(claim, now_ms) or _no_book(book, now_ms)
    if why_not or bid_e4 is None:
        return Mark(why_not=why_not or "no bid")
    fee_e6 = taker_fee_e6(claim.fee_schedule, bid_e4, claim.filled_size_e6)
    value_e6 = bid_e4 * claim.filled_size_e6 // PRICE_SCALE - fee_e6
    return Mark(
        bid_e4=bid_e4,
        fee_e6=fee_e6,
        value_e6=value_e6,
        unrealised_e6=value_e6 - claim.filled_spend_e6 - claim.fee_e6,
    )


def _no_position(claim: Claim, now_ms: int) -> str:
    """Why nothing could be sold; empty: something could be."""
    if not claim.filled_size_e6:
        return "not known to have bought anything"
    if claim.ended:
        return "it has ended, and is about to be filed in the ledger"
    return ENDED if now_ms >= claim.market_end_ms else ""


def _no_book(book: BookSnapshot | None, now_ms: int) -> str:
    """Why its bid is not that of now; empty: it is."""
    if book is None:
        return "no book of its market has come"
    age_ms = now_ms - book.received_at_ns // 1_000_000
    if age_ms > MARK_AGE_MAX_MS:
        return f"its book is {age_ms / 1_000:.1f} s old"
    return "its book is not proven" if book.proof is Proof.NONE else ""


class MarkedPosition(msgspec.Struct, frozen=True, kw_only=True):
    """One live claim: as `executor positions` has it, with its mark."""

    account: str
    position: Position
    mark: Mark
    words: str
    """Its state in words."""
    alarm: bool
    """Whether a person must look."""


_WORDS: Final = {
    ClaimState.CLAIMED: "claimed: its order is on its way, or nobody has its answer yet",
    ClaimState.UNKNOWN: "unknown: sent, and nothing proves what became of it; the venue is asked",
}


def words_of(claim: Claim, now_ms: int) -> tuple[str, bool]:
    """What its state means, and whether a person must look."""
    if claim.ended:
        return "ended; not filed in the ledger yet", False
    if overdue(claim, now_ms):
        return f"{claim.state}: for long, nobody knows what it bought; a person must look", True
    if claim.state in _WORDS:
        return _WORDS[claim.state], False
    if unsettled(claim, now_ms):
        return "its market ended long ago, and it is not settled: a person must look", True
    return _open_words(claim, now_ms), False


def _open_words(claim: Claim, now_ms: int) -> str:
    if not claim.filled_size_e6:
        return "open: the venue has the order; nothing is bought yet"
    if now_ms >= claim.market_end_ms:
        return "held to the end: waits for the market's resolution"
    return "open: bought, and final" if final(claim) else "open: bought; trades may still fail"


def marked_positions(
    name: str, account: Account, book_of: Callable[[str], BookSnapshot | None], now_ms: int
) -> list[MarkedPosition]:
    """The live claims of an account, oldest first; `book_of`: by condition id."""
    claims = sorted(account.claims.values(), key=lambda claim: claim.claimed_at_ms)
    shown = positions_of(name, account, [], now_ms).positions
    marked = []
    for claim, position in zip(claims, shown, strict=True):
        words, alarm = words_of(claim, now_ms)
        mark = mark_of(claim, book_of(claim.condition_id), now_ms)
        marked.append(
            MarkedPosition(account=name, position=position, mark=mark, words=words, alarm=alarm)
        )
    return marked


class MarkedTotal(msgspec.Struct, frozen=True, kw_only=True):
    """What positions come to; None: not one of them has a mark."""

    paid_e6: int
    """Of all that have bought something, with the fees."""
    value_e6: int | None
    unrealised_e6: int | None
    """Of those that have a mark."""
    unmarked: int
    """How many have bought something, and have no mark."""


def total_of(positions: Iterable[MarkedPosition]) -> MarkedTotal:
    """All together."""
    bought = [each for each in positions if each.position.size_e6]
    marked = [each.mark for each in bought if each.mark.value_e6 is not None]
    nothing = bool(bought) and not marked
    return MarkedTotal(
        paid_e6=sum(each.position.spent_e6 + each.position.fee_e6 for each in bought),
        value_e6=None if nothing else sum(each.value_e6 or 0 for each in marked),
        unrealised_e6=None if nothing else sum(each.unrealised_e6 or 0 for each in marked),
        unmarked=len(bought) - len(marked),
    )


class WaitingWinnings(msgspec.Struct, frozen=True, kw_only=True):
    """Winnings that were not seen paid out yet."""

    account: str
    condition_id: str
    market: str
    """Its slug; empty: the ledger that is read does not have it."""
    size_e6: int
    """Shares, each of which pays a dollar at most; 0: not known."""
    since_ms: int
    asked: str
    alarm: bool


def waiting_winnings(
    name: str, redeem: dict[str, Redemption], slug_of: Callable[[str], str], now_ms: int
) -> list[WaitingWinnings]:
    """The notes of an account, oldest first."""
    return [
        WaitingWinnings(
            account=name,
            condition_id=market_of(key),
            market=slug_of(market_of(key)),
            size_e6=note.size_e6,
            since_ms=note.since_ms,
            asked=_asked(note, stopped=stuck(note, now_ms)),
            alarm=stuck(note, now_ms),
        )
        for key, note in sorted(redeem.items(), key=lambda each: each[1].since_ms)
    ]


def _asked(note: Redemption, *, stopped: bool) -> str:
    if stopped:
        return "asked for in vain: a person must look" if note.asked_at_ms else "nobody could ask"
    tries = max(note.tries, int(note.asked_at_ms > 0))
    if not tries:
        return "not asked for yet"
    return "asked for once" if tries == 1 else f"asked for {tries} times"
