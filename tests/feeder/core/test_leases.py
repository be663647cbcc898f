from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeder.core.leases import (
    SETTLED_TRIES,
    Change,
    Lease,
    LeaseHolder,
    LeaseTable,
    LeaseTableError,
    Member,
    Observer,
    Standing,
    balance,
    decode_table,
    encode_table,
    next_table,
)

LEASE_S = 1.0
MARGIN_S = 0.1
WALL_MS = 1_700_000_000_000


def holder(feeder_id: str = "a", *follows: str) -> LeaseHolder:
    return LeaseHolder(feeder_id, follows or ("btc", "eth"), LEASE_S, MARGIN_S)


def renew(
    who: LeaseHolder, table: LeaseTable, now_s: float, wall_ms: int = WALL_MS, fit: bool = True
) -> LeaseTable:
    """A try that succeeds within no time."""
    who.begin(now_s)
    proposed = who.propose(table, now_s, wall_ms, fit)
    who.written(now_s)
    return decode_table(encode_table(proposed))


def started(who: LeaseHolder, now_s: float = 0.0) -> LeaseTable:
    """The table after a feeder alone has waited for its series."""
    table = renew(who, LeaseTable("first"), now_s - LEASE_S)
    return renew(who, table, now_s)


# --- the table's encoding


def test_unknown_fields_are_ignored() -> None:
    table = decode_table(
        b'{"table_id": "t", "more": [],'
        b' "members": {"a": {"counter": 1, "series": ["btc"], "standing": 2, "zone": "x"}},'
        b' "series": {"btc": {"owner": "a", "epoch": 7, "since": 1}}}'
    )
    assert table.members == {"a": Member(1, ("btc",), Standing.SETTLED)}
    assert table.owned("a") == {"btc": 7}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"table_id": "t", "members": {"a": 1}}',
        b'{"series": {"btc": {"owner": "a", "epoch": -1}}}',
        b'{"series": {"btc": {"owner": "a", "epoch": 100000000000000000}}}',
    ],
    ids=lambda payload: repr(payload[:30]),
)
def test_a_damaged_table_is_one_clear_error(payload: bytes) -> None:
    with pytest.raises(LeaseTableError, match=r"^lease table: "):
        decode_table(payload)


# --- who should own what


NAMES = st.sampled_from("abcd")
SERIES = st.sampled_from(("s1", "s2", "s3", "s4", "s5", "s6", "s7"))


@st.composite
def tables(draw: st.DrawFn) -> LeaseTable:
    """Any mixture of members, followed series and owners."""
    members = draw(
        st.dictionaries(
            NAMES,
            st.builds(
                Member,
                st.just(1),
                st.frozensets(SERIES).map(sorted).map(tuple),
                st.sampled_from(Standing),
            ),
            min_size=1,
        )
    )
    series = {}
    for name in draw(st.frozensets(SERIES)):
        followers = [each for each, member in members.items() if name in member.series]
        owner = draw(st.sampled_from(["", *followers]))
        series[name] = Lease(owner, draw(st.integers(0, 10)))
    return LeaseTable("t", members, series)


@given(tables())
def test_a_balance_is_one_that_no_single_move_improves(table: LeaseTable) -> None:
    owners = balance(table.members, table.series)
    assert owners.keys() == table.series.keys()
    loads = Counter(owners.values())
    for name, owner in owners.items():
        followers = [each for each, member in table.members.items() if name in member.series]
        assert (owner in followers) or (owner == "" and not followers)
        for other in followers:
            if table.members[other].standing == Standing.SETTLED:
                assert loads[owner] - loads[other] <= 1


@given(tables())
def test_a_balanced_table_stays_as_it_is(table: LeaseTable) -> None:
    owners = balance(table.members, table.series)
    series = {name: Lease(owner, 1) for name, owner in owners.items()}
    assert balance(table.members, series) == owners


@given(st.integers(1, 4), st.integers(0, 9))
def test_shares_of_settled_feeders_differ_by_one_at_most(members: int, count: int) -> None:
    names = tuple(f"s{number}" for number in range(count))
    everybody = {f"f{number}": Member(1, names, Standing.SETTLED) for number in range(members)}
    loads = Counter(balance(everybody, {name: Lease("f0", 1) for name in names}).values())
    assert all(count // members <= loads[each] <= -(-count // members) for each in everybody)


def owners_of(*standings: Standing, series: dict[str, Lease]) -> list[str]:
    """Balanced owners, where a, b, ... follow everything."""
    members = {
        name: Member(1, tuple(series), standing)
        for name, standing in zip("abc", standings, strict=False)
    }
    return sorted(balance(members, series).values())


def test_a_newcomer_is_given_its_part_only_once_it_has_settled() -> None:
    series = {name: Lease("a", 1) for name in ("btc", "eth")}
    assert owners_of(Standing.SETTLED, Standing.FIT, series=series) == ["a", "a"]
    assert owners_of(Standing.SETTLED, Standing.SETTLED, series=series) == ["a", "b"]


def test_a_feeder_without_books_gives_way_to_any_that_has_some() -> None:
    series = {name: Lease("a", 1) for name in ("btc", "eth")}
    assert owners_of(Standing.UNFIT, Standing.FIT, series=series) == ["b", "b"]
    assert owners_of(Standing.UNFIT, Standing.UNFIT, series=series) == ["a", "a"]


def test_a_free_series_goes_to_the_best_that_follows_it() -> None:
    members = {
        "a": Member(1, ("btc",), Standing.SETTLED),
        "b": Member(1, ("btc", "eth"), Standing.UNFIT),
    }
    free = {"btc": Lease("", 1), "eth": Lease("", 1)}
    assert balance(members, free) == {"btc": "a", "eth": "b"}


def test_a_feeder_has_settled_after_being_fit_many_times_in_a_row() -> None:
    who = holder("a")
    fits = [True] * SETTLED_TRIES + [False] + [True] * SETTLED_TRIES
    table = LeaseTable("t")
    standings = []
    for fit in fits:
        table = renew(who, table, 0.0, fit=fit)
        standings.append(table.members["a"].standing)
    once = [Standing.FIT] * (SETTLED_TRIES - 1) + [Standing.SETTLED]
    assert standings == [*once, Standing.UNFIT, *once]


# --- one feeder's next table


def test_a_series_that_nobody_follows_leaves_the_table_but_not_its_epoch() -> None:
    table = LeaseTable(
        "t", {"a": Member(1, ("btc",), Standing.SETTLED)}, {"old": Lease("", 50)}, 40
    )
    after = next_table(
        table,
        "a",
        Member(2, ("btc",), Standing.SETTLED),
        held={},
        dead=(),
        orphaned=("btc",),
        epoch_max=3,
        wall_ms=0,
    )
    assert after.series == {"btc": Lease("a", 51)}


def test_a_series_that_the_last_feeder_leaves_is_free_for_the_next() -> None:
    table = started(holder("a", "btc"))
    leaver = next_table(table, "a", None, held={}, dead=(), orphaned=(), epoch_max=0, wall_ms=0)
    assert leaver.series == {"btc": Lease("", WALL_MS)}
    after = renew(holder("b", "btc"), leaver, 0.0)
    assert after.owned("b") == {"btc": WALL_MS + 1}


def test_an_observer_needs_an_unchanged_counter_for_the_whole_time() -> None:
    observer = Observer(LEASE_S)

    def see(now_s: float, **counters: int) -> set[str]:
        members = {
            name: Member(counter, (), Standing.SETTLED) for name, counter in counters.items()
        }
        observer.observe(LeaseTable("t", members), (), now_s)
        return observer.dead(now_s)

    assert see(0.0, x=1, y=1) == set()
    assert see(0.9, x=2, y=1) == set()
    assert see(1.0, x=2, y=1) == {"y"}
    assert see(1.1, x=2) == set()  # y is out of the table: forgotten
    assert see(1.8, x=2, y=1) == set()
    assert see(2.0, x=2, y=1) == {"x"}


# --- one feeder's leases


def test_a_lease_lasts_from_before_the_table_was_read() -> None:
    who = holder()
    table = started(who)
    who.begin(10.0)
    who.propose(table, 10.3, WALL_MS, True)
    who.written(10.6)
    assert who.epoch("btc", 10.89) is not None
    assert who.epoch("btc", 10.9) is None
    assert who.epoch("sol", 10.6) is None


def test_a_renewal_whose_answer_comes_too_late_is_none() -> None:
    who = holder()
    table = started(who)
    who.begin(10.0)
    who.propose(table, 10.1, WALL_MS, True)
    who.written(10.95)
    assert who.epoch("btc", 10.95) is None
    assert not who.held


def test_a_lapse_is_told_although_it_was_mended_at_once() -> None:
    who = holder("a", "btc")
    table = started(who)
    ((kind, series, epoch),) = who.take_changes()
    assert (kind, series) == (Change.ACQUIRED, "btc")
    table = renew(who, table, 0.5)
    assert who.take_changes() == []
    renew(who, table, 1.4)
    assert who.take_changes() == [(Change.LOST, "btc", epoch), (Change.ACQUIRED, "btc", epoch)]


def test_every_try_has_a_counter_of_its_own() -> None:
    who = holder()
    first = who.propose(LeaseTable("new"), 0.0, WALL_MS, True)
    second = who.propose(LeaseTable("new"), 0.0, WALL_MS, True)
    assert first.members["a"].counter < second.members["a"].counter


def test_a_new_table_gives_nothing_before_a_lease_could_have_run_out() -> None:
    who = holder()
    table = renew(who, LeaseTable("new"), 0.0)
    table = renew(who, table, 0.99)
    assert not table.series
    table = renew(who, table, 1.0)
    assert table.owned("a").keys() == {"btc", "eth"}


@pytest.mark.parametrize("wall_ms", [WALL_MS, 0, 2 * WALL_MS])
def test_a_dead_feeder_is_replaced_with_a_higher_epoch(wall_ms: int) -> None:
    dead, alive = holder("a"), holder("b")
    table = started(dead)
    before = table.owned("a")
    table = renew(alive, table, 0.0)
    table = renew(alive, table, 0.99, wall_ms)
    assert table.owned("a") == before
    table = renew(alive, table, 1.0, wall_ms)
    assert "a" not in table.members
    assert all(epoch > before[name] for name, epoch in table.owned("b").items())
    assert alive.epoch("btc", 1.1) == table.series["btc"].epoch >= wall_ms


def test_who_leaves_is_replaced_at_once() -> None:
    leaver, other = holder("a"), holder("b")
    table = renew(other, started(leaver), 0.0)
    leaver.leave()
    assert leaver.epoch("btc", 0.0) is None
    table = renew(leaver, table, 0.1)
    assert "a" not in table.members
    table = renew(other, table, 0.1)
    assert table.owned("b").keys() == {"btc", "eth"}


def test_a_surplus_is_no_longer_ours_before_the_table_says_so() -> None:
    old, new = holder("a"), holder("b")
    table = started(old)
    for number in range(SETTLED_TRIES):
        table = renew(new, table, number / SETTLED_TRIES / 2)
    old.take_changes()
    old.begin(0.6)
    table = old.propose(table, 0.6, WALL_MS, True)  # whether it will ever be written nobody knows
    ((kind, series, epoch),) = old.take_changes()
    assert kind is Change.RELEASED
    assert old.epoch(series, 0.6) is None
    assert len(old.held) == 1
    table = renew(new, table, 0.6)
    assert table.owned("b")[series] > epoch


def test_a_holder_writes_itself_back_into_an_empty_table_and_nobody_else_is_faster() -> None:
    who, other = holder("a"), holder("b")
    before = renew(other, started(who), 0.5).owned("a")
    assert before
    table = renew(other, LeaseTable("new"), 0.6)
    assert not table.series
    table = renew(who, table, 0.7)
    assert table.owned("a") == before
    assert renew(other, table, 1.6).owned("a") == before


def test_a_former_holder_does_not_write_itself_back() -> None:
    who = holder("a")
    started(who)
    assert not renew(who, LeaseTable("new"), 0.9).series


def test_what_was_seen_of_a_lost_table_says_nothing_about_the_next() -> None:
    other, who = holder("b"), holder("a")
    renew(other, LeaseTable("first"), 0.0)  # no entries there; before the next look come two losses
    started(who, 1.0)
    assert not renew(other, LeaseTable("second"), 1.1).series


def test_after_a_loss_of_everything_epochs_go_on_for_those_who_have_seen_them() -> None:
    who, other = holder("a", "btc"), holder("b", "btc")
    epoch = renew(other, started(who), 0.0, 0).owned("a")["btc"]
    table = renew(other, LeaseTable("new"), 0.0, 0)
    assert renew(other, table, 1.0, 0).owned("b")["btc"] > epoch


def test_what_one_has_seen_binds_another_that_has_not() -> None:
    who, other = holder("b", "btc"), holder("a", "btc")
    epoch = started(who).owned("b")["btc"]
    table = renew(other, LeaseTable("new"), 1.0, 0)
    table = renew(who, table, 1.5, 0)
    assert renew(other, table, 2.0, 0).owned("a")["btc"] > epoch


def test_a_feeder_owns_only_what_it_follows() -> None:
    first, second = holder("a", "btc", "eth"), holder("b", "eth", "sol")
    table = LeaseTable("new")
    for tenths in range(0, 100, 2):
        table = renew(first, table, tenths / 10)
        table = renew(second, table, tenths / 10)
    assert table.owned("a").keys() | table.owned("b").keys() == {"btc", "eth", "sol"}
    assert "btc" in table.owned("a")
    assert "sol" in table.owned("b")
