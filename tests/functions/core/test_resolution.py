"""What a market's tokens pay: one row of the table in docs/explanation/claims.md each."""

from __future__ import annotations

import pytest

from functions.core.evidence import Resolution, Undecided
from functions.core.resolution import (
    GAMMA_ALONE_AFTER_MS,
    ContradictionError,
    needs_gamma,
    resolution_of,
)
from venue.wire.listing import ListedResult
from venue.wire.market_record import MarketRecord

WON = {"up": 1_000_000, "down": 0}
LOST = {"up": 0, "down": 1_000_000}
HALF = {"up": 500_000, "down": 500_000}
VOID = {"up": 505_000, "down": 495_000}

CLOSED_WON = MarketRecord(closed=True, payouts_e6=WON)
CLOSED = MarketRecord(closed=True, payouts_e6=None)
HALVED = MarketRecord(closed=True, payouts_e6=None, halves=True)
OPEN_HALVED = MarketRecord(closed=False, payouts_e6=None, halves=True)
OPEN_WON = MarketRecord(closed=False, payouts_e6=WON)
OPEN = MarketRecord(closed=False, payouts_e6=None)
GONE = None

SILENT = ListedResult(text="Gamma has not closed it")
EARLY, LATE = GAMMA_ALONE_AFTER_MS - 1, GAMMA_ALONE_AFTER_MS
NEVER = 10**12


def final(payouts_e6: dict[str, int], *, resolved: bool = True) -> ListedResult:
    near_half = payouts_e6 in (HALF, VOID)
    return ListedResult(
        payouts_e6=payouts_e6, text="prices", resolved=resolved, near_half=near_half
    )


@pytest.mark.parametrize(
    ("clob", "gamma", "over_ms", "payouts_e6", "source"),
    [
        (CLOSED_WON, None, 0, WON, "clob"),
        (CLOSED_WON, SILENT, NEVER, WON, "clob"),
        (CLOSED_WON, final(WON), 0, WON, "clob"),
        (CLOSED, final(WON, resolved=False), 0, WON, "gamma"),
        (CLOSED, final(HALF, resolved=False), LATE, HALF, "gamma"),
        (HALVED, final(HALF, resolved=False), 0, HALF, "gamma"),
        (HALVED, final(WON, resolved=False), 0, WON, "gamma"),
        (HALVED, final(VOID), LATE, VOID, "gamma"),
        (CLOSED, final(VOID), LATE, VOID, "gamma"),
        (OPEN_WON, final(WON, resolved=False), 0, WON, "gamma"),
        (OPEN, final(WON), LATE, WON, "gamma"),
        (OPEN, final(VOID), LATE, VOID, "gamma"),
        (GONE, final(WON), LATE, WON, "gamma"),
        (GONE, final(HALF), LATE, HALF, "gamma"),
    ],
)
def test_what_decides(
    clob: MarketRecord | None,
    gamma: ListedResult | None,
    over_ms: int,
    payouts_e6: dict[str, int],
    source: str,
) -> None:
    expected = Resolution(payouts_e6=payouts_e6, source=source)
    assert resolution_of(clob, gamma, over_ms) == expected


@pytest.mark.parametrize(
    ("clob", "gamma", "over_ms"),
    [
        (CLOSED, None, NEVER),
        (CLOSED, SILENT, NEVER),
        (CLOSED, final(VOID), EARLY),
        (CLOSED, final(HALF), EARLY),
        (CLOSED, final(HALF, resolved=False), EARLY),
        (HALVED, None, NEVER),
        (HALVED, SILENT, NEVER),
        (HALVED, final(VOID), EARLY),
        (OPEN_HALVED, final(HALF), EARLY),
        (OPEN_WON, None, NEVER),
        (OPEN_WON, SILENT, NEVER),
        (OPEN, None, NEVER),
        (OPEN, SILENT, NEVER),
        (OPEN, final(WON), EARLY),
        (OPEN, final(WON, resolved=False), NEVER),
        (OPEN, final(HALF, resolved=False), NEVER),
        (GONE, None, NEVER),
        (GONE, SILENT, NEVER),
        (GONE, final(WON), EARLY),
        (GONE, final(WON, resolved=False), NEVER),
    ],
)
def test_what_decides_nothing_says_why(
    clob: MarketRecord | None, gamma: ListedResult | None, over_ms: int
) -> None:
    undecided = resolution_of(clob, gamma, over_ms)
    assert isinstance(undecided, Undecided)
    assert "the CLOB" in undecided.reason


@pytest.mark.parametrize("clob", [CLOSED_WON, OPEN_WON])
@pytest.mark.parametrize("gamma", [final(LOST), final(HALF, resolved=False), final(VOID)])
def test_a_contradiction_is_none_of_both(clob: MarketRecord, gamma: ListedResult) -> None:
    with pytest.raises(ContradictionError):
        resolution_of(clob, gamma, LATE)


@pytest.mark.parametrize("old", [final(VOID), final(HALF), final(HALF, resolved=False)])
def test_prices_near_one_half_contradict_nobody_while_they_may_be_old(old: ListedResult) -> None:
    assert resolution_of(CLOSED_WON, old, EARLY) == Resolution(payouts_e6=WON, source="clob")


def test_gamma_is_asked_when_it_may_decide() -> None:
    for clob in (CLOSED_WON, CLOSED, OPEN_WON):
        assert needs_gamma(clob, 0)
    for clob in (OPEN, GONE):
        assert not needs_gamma(clob, EARLY)
        assert needs_gamma(clob, LATE)
