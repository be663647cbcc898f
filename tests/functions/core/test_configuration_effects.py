"""What a change would mean for an account as it stands."""

from __future__ import annotations

from typing import Any

import msgspec

from functions.core.configuration_effects import Effects, effects_of
from tests.support.store_builders import LIMITS, NOW_MS, TODAY, make_account, make_claim

SIZE_E6 = 1_100_000
HELD = make_account(
    claims={f"0xm{n}": make_claim(f"0xm{n}", f"a{n}") for n in range(2)},
    cooldowns={"0xm0": NOW_MS + 60_000, "0xm1": NOW_MS - 1},
    spent_e6={TODAY: 2_200_000, "2026-09-20": 9_000_000},
    pnl_e6={TODAY: -3_000_000},
    entries={make_claim().window: 1, f"{NOW_MS - 1:015d}#over": 9},
)


def effects(**changes: Any) -> Effects:
    after = msgspec.structs.replace(LIMITS, **changes)
    return effects_of(HELD, LIMITS, after, size_e6=SIZE_E6, now_ms=NOW_MS, today=TODAY)


def test_without_a_change_nothing_is_said() -> None:
    same = effects()
    assert same.sentences == ()
    assert (same.positions, same.positions_over, same.windows_full) == (2, 0, 0)
    assert (same.spent_e6, same.spend_room_e6) == (2_200_000, 47_800_000)
    assert (same.cooldowns, same.cooldowns_until_ms) == (1, NOW_MS + 60_000)


def test_positions_above_the_new_maximum_are_kept() -> None:
    fewer = effects(max_positions=1)
    assert fewer.positions_over == 1
    assert fewer.sentences == (
        "2 positions are held, 1 more than the new maximum of 1: none is sold, and none is bought"
        " until 2 have ended",
    )
    assert effects(max_positions=5).sentences == ("2 positions are held: room for 3 more",)
    assert effects(max_positions=2).sentences == ("2 positions are held: room for 0 more",)


def test_the_room_that_is_left_of_the_day() -> None:
    assert effects(daily_spend_cap_e6=5_000_000).sentences == (
        "2.20 USD are spent today: room for 2.80 USD more, 2 orders",
    )
    spent = effects(daily_spend_cap_e6=2_000_000)
    assert spent.spend_room_e6 == -200_000
    assert spent.sentences == ("2.20 USD are spent today: no order has room until 00:00 UTC",)


def test_a_loss_that_is_over_the_new_limit() -> None:
    lost = effects(daily_loss_limit_e6=3_000_000)
    assert lost.loss_reached
    assert lost.sentences == ("the P&L of today is -3.00 USD: no more entries today",)
    assert not effects(daily_loss_limit_e6=3_000_001).loss_reached


def test_windows_that_have_had_their_entries() -> None:
    full = effects(max_entries_per_market=1)
    assert full.windows_full == 1
    assert full.sentences == ("1 running windows have had their entries under the new limit",)


def test_cooldowns_that_run_end_as_they_began() -> None:
    sooner, later = effects(cooldown_ms=1_000), effects(cooldown_ms=900_000)
    begun = "1 cooldowns run and end as they began, the last in 60 s; later ones are"
    assert (sooner.sentences, later.sentences) == ((f"{begun} shorter",), (f"{begun} longer",))
    assert (sooner.cooldowns_shorter, later.cooldowns_shorter) == (1, 0)
