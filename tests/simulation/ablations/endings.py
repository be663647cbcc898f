"""After a market's end: what is not resolved is told, and winnings are asked for with patience."""

from __future__ import annotations

from typing import Any, Final

from functions.adapters.dynamodb import redemptions
from functions.core import winnings
from functions.core.account import Redemption
from functions.core.claim import Claim
from functions.core.lifecycle import final
from functions.handlers import reconcile, settle
from tests.simulation.ablations.ablation import Ablation, replaced, together
from tests.simulation.ablations.provocations import calm, two_wallets
from tests.simulation.faults import Faults


def unresolved(faults: Faults) -> None:
    calm(faults)
    faults.venue.unresolved = 0.5


def in_vain(faults: Faults) -> None:
    """No request to redeem has an effect."""
    calm(faults)
    faults.venue.reverts = 1.0


def self_redeeming(faults: Faults) -> None:
    calm(faults)
    faults.venue.self_redeems = 1.0
    faults.venue.self_redeems_s = (0.0, 5.0)


async def _compare_until_settled(_: Any, records: Any, account: Any, report: Any) -> None:
    """Positions of all live claims that are final, as long as there are any."""
    expected: dict[str, int] = {}
    for claim in account.claims.values():
        if not claim.ended and final(claim):
            expected[claim.token_id] = expected.get(claim.token_id, 0) + claim.filled_size_e6
    held = await records.positions(sorted(expected)) if expected else {}
    report.mismatches = [
        f"token {token}: the venue holds {held[token]}e-6 shares, the claims {shares}e-6"
        for token, shares in expected.items()
        if held[token] != shares
    ]


def _at_once(note: Redemption, now_ms: int) -> bool:
    return winnings._tries(note) < winnings.TRIES_MAX


def _for_ever(note: Redemption, now_ms: int) -> bool:
    return not note.asked_at_ms or winnings._waited(note, now_ms)


def _alone(claim: Claim, seen: Claim, since_ms: int, _: Redemption | None) -> Redemption:
    """The note that is there is replaced."""
    return winnings.note_of(claim, seen, since_ms, None)


ENDINGS: Final = (
    Ablation(
        "what is not resolved is told",
        replaced(settle, "unsettled", lambda *_: False),
        "and nobody is told",
        unresolved,
    ),
    Ablation(
        "shares may go after the end",
        replaced(reconcile, "_compare_positions", _compare_until_settled),
        "[mismatch]",
        self_redeeming,
    ),
    Ablation(
        "notes go whoever redeemed",
        replaced(winnings, "gone", lambda *_: False),
        "are still waiting",
        self_redeeming,
    ),
    Ablation(
        "a note for each token and wallet",
        together(
            replaced(redemptions, "key_of", lambda claim: claim.condition_id),
            replaced(redemptions, "note_of", _alone),
        ),
        "were never redeemed",
        two_wallets,
        3,
    ),
    Ablation(
        "a note of all its shares",
        replaced(redemptions, "note_of", _alone),
        "do not name",
        in_vain,
        4,
    ),
    Ablation("requests become rarer", replaced(winnings, "due", _at_once), "again after", in_vain),
    Ablation("requests come to an end", replaced(winnings, "due", _for_ever), "times", in_vain),
    Ablation(
        "requests are counted first",
        replaced(winnings, "asked", lambda note, *_, anew=False: note),
        "times",
        in_vain,
    ),
    Ablation(
        "the last request is told",
        replaced(winnings, "stuck", lambda *_: False),
        "and nobody is told",
        in_vain,
    ),
)
