"""Draws, windows and the request that sets faults; no venue."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.simulator.faults import NAMES, Chance, Faults, InvalidFaultsError, parse_faults


def drawn(seed: int, *names: str, times: int = 50) -> list[list[bool]]:
    chance = Chance(seed)
    return [[chance.hit(name, 0.5) for name in names] for _ in range(times)]


def test_nothing_goes_wrong_unless_it_is_asked_for() -> None:
    assert set(msgspec.structs.asdict(Faults()).values()) == {0}


@given(st.integers(), st.sampled_from(NAMES))
def test_rates_0_and_1_are_never_and_always(seed: int, name: str) -> None:
    chance = Chance(seed)
    assert not any(chance.hit(name, 0.0) for _ in range(20))
    assert all(chance.hit(name, 1.0) for _ in range(20))
    assert chance.injected == {name: 20}


def test_a_seed_decides_and_another_seed_decides_otherwise() -> None:
    assert drawn(7, "restart") == drawn(7, "restart")
    assert drawn(7, "restart") != drawn(8, "restart")


def test_faults_do_not_disturb_each_other() -> None:
    alone = [hit for (hit,) in drawn(7, "drop_after")]
    among = [row[1] for row in drawn(7, "restart", "drop_after", "delayed")]
    assert alone == among


def test_a_window_stays_open_for_its_time_and_is_followed_by_another() -> None:
    chance = Chance()
    assert chance.in_window("restart", 1.0, 100, now_ms=1_000)
    assert chance.in_window("restart", 0.0, 100, now_ms=1_099), "open, whatever the rate is now"
    assert not chance.closed_within("restart", 50, now_ms=1_099)
    assert not chance.in_window("restart", 0.0, 100, now_ms=1_100)
    assert chance.closed_within("restart", 50, now_ms=1_149)
    assert not chance.closed_within("restart", 50, now_ms=1_150)
    assert chance.injected == {"restart": 2}


def test_a_hit_without_a_duration_is_about_one_request() -> None:
    chance = Chance()
    assert chance.in_window("disabled", 1.0, 0, now_ms=1_000)
    assert not chance.open("disabled", 1_000)


def test_faults_are_read_as_they_are_named() -> None:
    faults, seed = parse_faults(b'{"drop_after": 0.25, "lag_ms": 300, "seed": 9}')
    assert (faults, seed) == (Faults(drop_after=0.25, lag_ms=300), 9)
    assert parse_faults(b"{}") == (Faults(), None)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"no", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"drop": 1, "zap": 1}', "unknown faults: drop, zap; there are: restart, "),
        (b'{"drop_after": 1.5}', r"<= 1.* at `\$.drop_after`"),
        (b'{"drop_after": true}', r"at `\$.drop_after`"),
        (b'{"lag_ms": -1}', r">= 0.* at `\$.lag_ms`"),
        (b'{"lag_ms": 0.5}', r"at `\$.lag_ms`"),
        (b'{"seed": "x"}', "seed is not an integer"),
    ],
)
def test_what_is_no_set_of_faults_is_named(body: bytes, text: str) -> None:
    with pytest.raises(InvalidFaultsError, match=text):
        parse_faults(body)


@given(st.dictionaries(st.sampled_from(NAMES), st.just(1), max_size=5))
def test_what_is_set_can_be_set_again(wanted: dict[str, int]) -> None:
    faults, _ = parse_faults(json.dumps(wanted).encode())
    again, _ = parse_faults(msgspec.json.encode(faults))
    assert again == faults
