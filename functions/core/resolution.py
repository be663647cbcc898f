"""What a market's tokens pay, from what the CLOB and Gamma say about it: the evidence rules. Pure.

docs/explanation/claims.md has them as a table. Whatever they do not decide stays undecided, with
the reason in words: an hour after the market's end that is an alarm, and never a guess.
"""

from __future__ import annotations

from typing import Final

from functions.core.evidence import Resolution, Undecided
from venue.wire.listing import ListedResult
from venue.wire.market_record import MarketRecord

GAMMA_ALONE_AFTER_MS: Final = 900_000
"""So long after a market's end Gamma is behind the CLOB at most: what it alone says is then not
early, and a CLOB that has not closed the market by then may never do so."""


class ContradictionError(Exception):
    """The CLOB and Gamma each say for good what the tokens pay, and not the same."""


def needs_gamma(clob: MarketRecord | None, over_ms: int) -> bool:
    """Whether Gamma is worth a question, `over_ms` after the market's end; `clob` None: it has no
    record of the market."""
    undecided = clob is None or (clob.payouts_e6 is None and not clob.closed)
    return not undecided or over_ms >= GAMMA_ALONE_AFTER_MS


def resolution_of(
    clob: MarketRecord | None, gamma: ListedResult | None, over_ms: int
) -> Resolution | Undecided:
    """`gamma` None: it was not asked, or gave no answer. Raises ContradictionError.

    A CLOB record that is closed and has one winner decides, and Gamma may only confirm it or not
    know yet. Otherwise Gamma's final prices decide: at once beside a closed record, or beside a
    winner that they confirm; beside a record that is still open, or gone, only when Gamma calls the
    market resolved expressly, and not early. Prices at or near one half are not believed early
    either: they may be older than the market's status, and one half is where prices begin. Only
    when they are exactly that, and a closed record calls the outcome 50-50, are they believed.
    """
    named = None if clob is None else clob.payouts_e6
    told = None if gamma is None else gamma.payouts_e6
    early = over_ms < GAMMA_ALONE_AFTER_MS
    if gamma is not None and gamma.near_half and early and not _confirms_halves(clob, gamma):
        told = None
    if named is not None and told is not None and named != told:
        raise ContradictionError(f"the CLOB says {named}, Gamma says {told}")
    if clob is not None and clob.closed and named is not None:
        return Resolution(payouts_e6=named, source="clob")
    said = f"{_said(clob)}; {'Gamma was not asked yet' if gamma is None else gamma.text}"
    if told is None:
        return Undecided(reason=said)
    beside_the_clob = named is not None or (clob is not None and clob.closed)
    if beside_the_clob or (gamma is not None and gamma.resolved and not early):
        return Resolution(payouts_e6=told, source="gamma")
    return Undecided(reason=f"{said}, but it does not call the market resolved")


def _confirms_halves(clob: MarketRecord | None, gamma: ListedResult) -> bool:
    halved = gamma.payouts_e6 is not None and len(set(gamma.payouts_e6.values())) == 1
    return clob is not None and clob.closed and clob.halves and halved


def _said(clob: MarketRecord | None) -> str:
    if clob is None:
        return "the CLOB has no record of it"
    if clob.closed:
        return "the CLOB names no winner"
    return "the CLOB has not closed it"
