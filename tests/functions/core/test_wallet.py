"""What all accounts of a wallet claim together."""

from __future__ import annotations

from itertools import permutations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from functions.core.account import Account
from functions.core.claim import NOBODY, Claim, ClaimFill, ClaimState, Finality, Trader
from functions.core.wallet import ALONE, Siblings, comparable_shares, difference
from tests.support.fake_ports import NEW_ACCOUNT
from tests.support.trading_builders import MADE_AT_MS, MARKET_END_MS, STRANGER, TRADER, a_claim

NOW_MS = MADE_AT_MS + 1_000
SIZE_E6 = 2_000_000


def bought(number: int = 1, size_e6: int = SIZE_E6, **changes: object) -> Claim:
    fill = ClaimFill(standing=Finality.CONFIRMED, price_e4=5_500, size_e6=size_e6)
    claim = a_claim(
        intent_id=f"i{number}",
        order_id=f"0xo{number}",
        state=ClaimState.OPEN,
        by_intent=True,
        reported_size_e6=size_e6,
        fills={"t1": fill},
        filled_size_e6=size_e6,
    )
    return msgspec.structs.replace(claim, **changes)


def account_of(*claims: Claim) -> Account:
    return msgspec.structs.replace(NEW_ACCOUNT, claims={each.slot: each for each in claims})


def shares(own: Account, now_ms: int = NOW_MS, **siblings: Account) -> dict[str, dict[str, int]]:
    return comparable_shares("own", own, Siblings(accounts=siblings), TRADER, now_ms)


def test_shares_of_one_token_are_told_by_the_account_that_claims_them() -> None:
    own = account_of(bought(1), bought(2), bought(3, token_id="down"))
    sibling = account_of(bought(4), bought(5, token_id="elsewhere"))
    assert shares(own) == {"up": {"own": 2 * SIZE_E6}, "down": {"own": SIZE_E6}}
    assert shares(own, beta=sibling) == {
        "up": {"own": 2 * SIZE_E6, "beta": SIZE_E6},
        "down": {"own": SIZE_E6},
    }
    assert shares(NEW_ACCOUNT, beta=sibling) == {}  # that is for beta to say


def test_where_a_trade_of_a_sibling_is_on_its_way_nothing_is_compared() -> None:
    own = account_of(bought(1), bought(2, token_id="down"))
    down = {"down": {"own": SIZE_E6}}
    for moving in (
        a_claim(intent_id="i9"),
        bought(9, fills={}),
        bought(9, trader=NOBODY),
        bought(9, state=ClaimState.RELEASED),
        bought(9, market_end_ms=NOW_MS),
    ):
        assert shares(own, beta=account_of(moving)) == down
    assert shares(own, MARKET_END_MS, beta=account_of(bought(9))) == {}


def test_a_sibling_s_claim_of_another_wallet_is_not_about_these_shares() -> None:
    own = account_of(bought(1))
    another = account_of(bought(9, trader=STRANGER), a_claim(intent_id="i8", trader=STRANGER))
    assert shares(own, beta=another) == {"up": {"own": SIZE_E6}}
    # Of the same wallet it is, whoever signs for it.
    same = Trader(signer=STRANGER.signer, wallet=TRADER.wallet)
    held = shares(own, beta=account_of(bought(9, trader=same)))
    assert held == {"up": {"own": SIZE_E6, "beta": SIZE_E6}}


def test_a_difference_says_who_holds_what_and_alone_as_ever() -> None:
    siblings = Siblings(accounts={"beta": NEW_ACCOUNT})
    held = {"own": 3, "beta": 4}
    assert difference("up", 7, held, siblings) is None
    text = "token up: the venue holds 8e-6 shares, the claims 7e-6"
    assert difference("up", 8, held, siblings) == f"{text} (beta 4e-6, own 3e-6)"
    assert difference("up", 8, {"own": 7}, ALONE) == text


SIZES = st.integers(0, 3).map(lambda number: number * SIZE_E6)


@given(st.lists(SIZES, min_size=1, max_size=4), st.integers(-1, 1))
def test_whoever_looks_says_the_same_of_a_token_that_all_hold(
    sizes: list[int], more_e6: int
) -> None:
    """Nobody's share is counted twice, and none is forgotten."""
    accounts = {
        f"a{number}": account_of(bought(number, size_e6) if size_e6 else a_claim(token_id="other"))
        for number, size_e6 in enumerate(sizes)
    }
    seen_e6 = sum(sizes) + more_e6
    said = set()
    for name, account in accounts.items():
        siblings = Siblings(accounts={k: each for k, each in accounts.items() if k != name})
        held = comparable_shares(name, account, siblings, TRADER, NOW_MS).get("up")
        if held is not None:
            assert sum(held.values()) == sum(sizes)
            said.add(difference("up", seen_e6, held, siblings))
    assert len(said) <= 1
    assert said <= {None} if more_e6 == 0 else None not in said


def test_the_order_in_which_siblings_were_read_changes_nothing() -> None:
    own = account_of(bought(1))
    others = {f"b{n}": account_of(bought(n + 2)) for n in range(3)}
    told = {
        difference("up", 1, shares(own, **{name: others[name] for name in order})["up"], Siblings(
            accounts=others
        ))
        for order in permutations(others)
    }  # fmt: skip
    assert len(told) == 1
