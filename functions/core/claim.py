"""Our durable wish to buy (the *intent*), its claim on the account, and the claim's life.

The claim is the record that makes invariants 1-5 hold: it is written before the POST, under one
condition that holds every limit, carries the order id that the venue will know the order by, and
is moved only by evidence.

`TRANSITIONS` is the table that the code executes: `moved` refuses whatever is not in it. Every
transition of a live claim is one conditional write, `attempt = mine AND version = seen` (each
change counts the version up, so it stands for the state); whoever loses looks again and applies its
evidence to what it then finds. A claim that ended (released, settled) is moved first, then copied
to the ledger, then taken out of the account; what a crash leaves in between is completed by
reconciliation. An ended claim that gets late evidence is inserted again, on condition that it is
not there.

While nobody knows what became of a claim (claimed, unknown) it stands in the account under its
market, so that the market takes no other. The change that resolves it puts it under its intent id.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from protocol.bounds import Count, EpochMs, FeeExponent, FeeRate
from protocol.decision import Timeline
from protocol.fee import FeeSchedule
from protocol.fill import TradeStatus
from protocol.side import Side


class ClaimState(StrEnum):
    """Where an intent stands."""

    CLAIMED = "claimed"
    """Reserved; the order may or may not have been posted."""
    UNKNOWN = "unknown"
    """Posted, and nothing proves what became of it."""
    OPEN = "open"
    """The venue has or had the order; what it bought may still be zero, or provisional."""
    RELEASED = "released"
    """Ended: nothing was bought, or what was bought has failed."""
    SETTLED = "settled"
    """Ended: the market was resolved and the position paid out."""


UNRESOLVED: Final = frozenset({ClaimState.CLAIMED, ClaimState.UNKNOWN})
"""Nobody knows yet whether it bought something."""
ENDED: Final = frozenset({ClaimState.RELEASED, ClaimState.SETTLED})


class ClaimEvent(StrEnum):
    """What can happen to a claim; each names the evidence it needs."""

    ACCEPTED = "accepted"
    """Worker: the venue's answer to the POST names our order id."""
    REJECTED = "rejected"
    """Worker: the venue's own text proves that it did not accept the order."""
    NO_PROOF = "no_proof"
    """Worker: timeout, cut connection, 5xx, an answer that proves nothing."""
    FOUND = "found"
    """on_fill, reconcile: the venue shows the order or a trade of it that has not failed."""
    NEVER_THERE = "never_there"
    """reconcile: several complete looks over a minimum age showed nothing bought."""
    ALL_FAILED = "all_failed"
    """on_fill, reconcile: every share the order bought belongs to a FAILED trade."""
    RESOLVED = "resolved"
    """settle: the venue published what the market's tokens pay."""
    LOOKED = "looked"
    """reconcile: one complete look showed nothing; counted, nothing else changes."""


_C, _U, _O, _R, _S = ClaimState
TRANSITIONS: Final[dict[tuple[ClaimState, ClaimEvent], ClaimState]] = {
    (_C, ClaimEvent.ACCEPTED): _O,
    (_C, ClaimEvent.REJECTED): _R,
    (_C, ClaimEvent.NO_PROOF): _U,
    (_C, ClaimEvent.FOUND): _O,  # the worker died after its POST, or has not read the answer yet
    (_C, ClaimEvent.NEVER_THERE): _R,
    (_C, ClaimEvent.ALL_FAILED): _R,
    (_C, ClaimEvent.LOOKED): _C,
    (_U, ClaimEvent.ACCEPTED): _O,  # cannot happen: the one answer made it unknown
    (_U, ClaimEvent.FOUND): _O,
    (_U, ClaimEvent.NEVER_THERE): _R,
    (_U, ClaimEvent.ALL_FAILED): _R,
    (_U, ClaimEvent.LOOKED): _U,
    (_O, ClaimEvent.ACCEPTED): _O,  # the user channel was faster than the answer
    (_O, ClaimEvent.FOUND): _O,  # another trade, or one that is now final
    (_O, ClaimEvent.ALL_FAILED): _R,
    (_O, ClaimEvent.NEVER_THERE): _R,  # accepted, delayed, and never matched
    (_O, ClaimEvent.LOOKED): _O,
    (_O, ClaimEvent.RESOLVED): _S,
    # Invariant 5: the venue's evidence outranks even what has ended.
    (_R, ClaimEvent.FOUND): _O,
    (_S, ClaimEvent.FOUND): _O,
}


class Finality(StrEnum):
    """How final a trade is, of the venue's five statuses: may change, counts no more, is final."""

    PROVISIONAL = "provisional"
    FAILED = "failed"
    CONFIRMED = "confirmed"


FINALITY_OF: Final = {
    TradeStatus.MATCHED: Finality.PROVISIONAL,
    TradeStatus.MINED: Finality.PROVISIONAL,
    TradeStatus.RETRYING: Finality.PROVISIONAL,
    TradeStatus.FAILED: Finality.FAILED,
    TradeStatus.CONFIRMED: Finality.CONFIRMED,
}
FINALITY_RANK: Final = {each: rank for rank, each in enumerate(Finality)}
"""The higher one stays, in whatever order they arrive. Should the venue say both, the chain's word
(CONFIRMED) outranks the relayer's (FAILED): the exposure stays reserved."""


class ClaimFill(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of the order, as far as the venue has said."""

    standing: Finality
    """The name that stored claims have for it."""
    price_e4: int
    size_e6: int


class Trader(msgspec.Struct, frozen=True, kw_only=True):
    """Whose an order is at the venue, and whose eyes see what the venue has on record.

    To everybody else the venue says of each order that it is not there. Two wallets of one signer
    are two traders. Made by `trader_of`.
    """

    signer: str = ""
    """The address whose API key posts and asks."""
    wallet: str = ""
    """The address that holds the funds."""


NOBODY: Final = Trader()
"""Not known: a claim from before traders were stored, and whoever asks without credentials."""
PAPER_ORDER: Final = "paper-"
"""How the id of an order begins that no venue has ever seen."""


def trader_of(signer: str, wallet: str) -> Trader:
    """From two addresses in any case."""
    return Trader(signer=signer.lower(), wallet=wallet.lower())


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One intent as the account item and the ledger keep it.

    `intent_id` names the wish, `attempt_id` the one try to write it: when a conditional write
    fails and the stored claim shows our own attempt id, the write had succeeded and only its
    reply was lost. `version` counts its changes, so that an older copy never replaces a newer one.
    """

    intent_id: str
    attempt_id: str
    order_id: str
    trader: Trader = NOBODY
    """Whose order it is: only what this trader does not see is not there."""
    condition_id: str
    slug: str
    token_id: str
    outcome: str
    side: Side = Side.BUY
    """Claims that were stored before this field existed are BUY."""
    state: ClaimState
    version: Count = 1
    max_price_e4: int
    spend_e6: int
    fee_rate: FeeRate = "0"
    fee_exponent: FeeExponent = 1
    salt: str
    order_timestamp_ms: EpochMs
    claimed_at_ms: EpochMs
    market_end_ms: EpochMs
    reported_spend_e6: int = 0
    """What the answer to the POST said was spent, for `reported_size_e6`."""
    reported_size_e6: int = 0
    recorded_size_e6: int = 0
    """The most that the venue's records have said to be matched, the order's own or, in one look at
    all of them, its trades; they name no money that could be trusted to be all."""
    fills: dict[str, ClaimFill] = {}
    """By trade id."""
    filled_spend_e6: int = 0
    filled_size_e6: int = 0
    fee_e6: int = 0
    """These three follow from report, record and fills (`functions.core.lifecycle.filled`)."""
    looks: Count = 0
    """Complete looks in a row that showed nothing bought."""
    looked_at_ms: EpochMs = 0
    resolved_at_ms: EpochMs = 0
    """When the last evidence about the order was applied."""
    by_intent: bool = msgspec.field(default=False, name="reopened")
    """It stands in the account under its intent id, not under its market. Stored as `reopened`,
    because older versions look at that: they put nothing but reopened claims there."""
    came_back: bool = False
    """It was in the ledger already, and late evidence brought it back."""
    counted: bool = False
    """The entries of its market's window contain it. Older versions do not count: their claims are
    counted with the first change that this one makes."""
    payout_e6: int = 0
    pnl_e6: int = 0
    """What this claim has added to the account's P&L."""
    settled_at_ms: EpochMs = 0
    noted_e6: int = 0
    """Its shares that a note of winnings was told of. To be settled again adds only the others. An
    older version drops this: then all are added, and waited for longer."""
    text: str = ""
    """The venue's own text, if there is one."""
    config_version: Count = 0
    """The configuration under which it was decided and claimed; 0: from before there were any."""
    collective: str = ""
    """The item of the group of accounts in which it is counted, empty: in none. An older version
    drops this with its next change; what the group counts of it then stays until a person corrects
    it."""
    timeline: Timeline | None = None

    @property
    def fee_schedule(self) -> FeeSchedule:
        """The market's taker fee when the claim was made."""
        return FeeSchedule(rate=Decimal(self.fee_rate), exponent=self.fee_exponent)

    @property
    def ended(self) -> bool:
        """Whether it waits only to be filed in the ledger."""
        return self.state in ENDED

    @property
    def slot(self) -> str:
        """Its key in the account's claims: its market's, which it so closes, or its own."""
        return self.intent_id if self.by_intent else self.condition_id

    @property
    def window(self) -> str:
        """The key of its market in the account's entries: text order is the order of the ends."""
        return f"{self.market_end_ms:015d}#{self.condition_id}"

    @property
    def reserved_e6(self) -> int:
        """USD that count towards the day's spend cap: all of it until it has ended."""
        return self.filled_spend_e6 if self.ended else self.spend_e6

    @property
    def booked_at_ms(self) -> int:
        """Where what it has won or lost stands, and is taken back should its trades fail later: its
        last settlement, whose time is the venue's; the worker's that applies fills may be another
        day's. Without any it has won or lost nothing."""
        return self.settled_at_ms or self.resolved_at_ms


class IllegalTransitionError(ValueError):
    """An event that the table does not know in this state: a defect of the caller."""


# A settled claim stays as it is: its market's window is over, and nothing counts in it any more.
_COUNTED: Final = {
    ClaimState.CLAIMED: True,
    ClaimState.UNKNOWN: True,
    ClaimState.OPEN: True,
    ClaimState.RELEASED: False,
}


def moved(claim: Claim, event: ClaimEvent, **changes: object) -> Claim:
    """The claim after `event`, one version on. Raises IllegalTransitionError."""
    state = TRANSITIONS.get((claim.state, event))
    if state is None:
        raise IllegalTransitionError(f"{event} cannot happen to a claim that is {claim.state}")
    return msgspec.structs.replace(
        claim,
        state=state,
        version=claim.version + 1,
        by_intent=claim.by_intent or state not in UNRESOLVED,
        counted=_COUNTED.get(state, claim.counted),
        **changes,
    )


def entries_difference(claim: Claim, seen: Claim) -> int:
    """What the change from `seen` to `claim` adds to the entries of its market's window.

    Nothing once the window is over: nobody enters it any more, and its count is pruned.
    """
    changed_at_ms = max(claim.resolved_at_ms, claim.settled_at_ms, claim.looked_at_ms)
    return 0 if changed_at_ms >= claim.market_end_ms else claim.counted - seen.counted
