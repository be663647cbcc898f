"""What a chaos run does, and when: drawn from the seed alone, so that a run can be done again.

The plan is the same for the same seed; what the processes make of it is not, because they share a
machine with the rest of the world. Processes, venue and store have streams of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, TypeAlias

KILL: Final = "kill"
STOP: Final = "stop"
AMBUSH: Final = "ambush"
"""Kill all workers as soon as an order of theirs is matched, and its answer not there yet."""
AMBUSH_FAULTS: Final[dict[str, float | int]] = {
    "delay_after": 1.0,
    "delay_after_ms": 2_000,
    # Otherwise the user channel would nearly always be faster than the ambush.
    "user_lost": 0.7,
}
"""What the venue does besides while an ambush waits."""

PAUSE_S: Final = (0.5, 1.5)
STOPPED_S: Final = (0.2, 8.0)
_ACTIONS: Final = {KILL: 73, STOP: 17, AMBUSH: 10}
_TARGETS: Final = {"worker": 38, "schedule": 20, "user-feeder": 20, "feeder": 10, "nats": 12}

VENUE_S: Final = (2.0, 6.0)
STORE_S: Final = (2.0, 6.0)
_CALM: Final = 0.25
"""How often nothing is wrong with the venue, or with the store, for a while."""
_RANGES: Final[dict[str, dict[str, tuple[float, float]]]] = {
    # Each row is one thing that goes wrong; chances and milliseconds are drawn from the ranges.
    "answers lost": {"drop_after": (0.3, 0.9)},
    "errors after the match": {"error_after": (0.3, 0.9)},
    "connections dropped before": {"drop_before": (0.2, 0.6)},
    "late landings": {"late_landing": (0.3, 0.8), "late_landing_ms": (200, 12_000)},
    "slow orders": {"delay_before": (0.5, 1.0), "delay_before_ms": (200, 4_000)},
    "slow answers": {"delay_after": (0.5, 1.0), "delay_after_ms": (300, 6_000)},
    "delayed matches": {
        "delayed": (0.4, 0.9),
        "delayed_ms": (300, 8_000),
        "unmatched": (0.0, 0.5),
    },
    "partial fills": {"partial": (0.5, 1.0)},
    "failed trades": {"failed_trade": (0.3, 0.9), "settle_ms": (0, 3_000)},
    "lagging reads": {"lag_ms": (500, 8_000)},
    "failing reads": {"read_error": (0.2, 0.7)},
    "cut user channel": {"user_cut": (0.2, 0.7)},
    "lost events": {"user_lost": (0.3, 1.0)},
    "events twice": {"user_duplicated": (0.3, 1.0)},
    "events out of order": {"user_reordered": (0.3, 1.0), "user_reordered_ms": (0, 2_000)},
    "split resolutions": {"split": (0.2, 0.6)},
    "terse answers": {"null_lists": (0.5, 1.0), "unit_short": (0.3, 1.0)},
    "winnings paid out by the venue": {"auto_redeem": (0.5, 1.0), "auto_redeem_ms": (0, 3_000)},
}
_WINDOWS: Final[dict[str, dict[str, tuple[float, float]]]] = {
    # These make the whole account pause, for longer each time: rarer, or nothing would be traded.
    "engine restart": {"restart": (0.2, 0.5), "restart_ms": (500, 4_000), "post_only_ms": (0, 800)},
    "trading disabled": {"disabled": (0.2, 0.4), "disabled_ms": (500, 2_000)},
    "cancel only": {"cancel_only": (0.2, 0.4), "cancel_only_ms": (500, 2_000)},
    "a firewall": {"blocked": (0.05, 0.2), "blocked_ms": (0, 500)},
    "rate limit": {"rate_limited": (0.3, 0.8), "rate_limited_ms": (200, 2_000)},
    "phantom lock": {"phantom_lock_after": (1, 6), "phantom_lock_ms": (500, 3_000)},
}
_MARKET: Final[dict[str, dict[str, tuple[float, float]]]] = {
    # Of frames a few a second and connection; of connections one every few seconds, or nothing
    # would be traded.
    "lost deltas": {"market_lost": (0.002, 0.02)},
    "deltas out of order": {"market_reordered": (0.002, 0.02)},
    "deltas twice": {"market_duplicated": (0.05, 0.3), "market_duplicated_ms": (0, 6)},
    "wrong sizes": {"market_corrupted": (0.002, 0.02)},
    "wrong hashes": {"market_wrong_hash": (0.002, 0.02), "market_hash_ahead": (0.01, 0.1)},
    "stale books": {"market_stale_book": (0.002, 0.02)},
    "no opening books": {"market_no_book": (0.2, 0.8), "market_late_book": (0.0, 0.5)},
    "late trade prices": {"late_trade_ms": (2, 400)},
    "frozen market channel": {"market_frozen": (0.05, 0.3)},
    "half-open market channel": {"market_half_open": (0.05, 0.2)},
    "cut market channel": {"market_cut": (0.05, 0.3), "market_cut_midframe": (0.0, 0.1)},
    "messages too big": {"market_closed_1009": (0.05, 0.2)},
    "failing books": {"book_error": (0.3, 1.0), "book_corrupted": (0.0, 0.5)},
    "hanging books": {"book_hang": (0.2, 0.6)},
    "lagging books": {"book_lag_ms": (200, 2_000)},
}
_MARKET_SHARE: Final = 0.6
"""Of the spells that are not calm."""
_WINDOW_SHARE: Final = 0.12
_FAILED_TRADE: Final = 0.15
"""In every spell that is not calm: a run has too few matches to leave reversals to a rare draw."""
_STORE: Final = {
    # Chances of one request.
    "throttle": 0.15,
    "conflict": 0.15,
    "error": 0.1,
    "cut_before": 0.12,
    "cut_after": 0.15,
    "late": 0.06,
    "slow": 0.06,
    "foreign": 0.1,
}

CHANGE_S: Final = (1.0, 4.0)
_FEW_POSITIONS: Final = (2, 8)
_SIZE_USD: Final = (1.1, 3.0)
_PARAMETERS: Final = {
    "book_imbalance_crypto": ("imbalance_min", (0.4, 0.6)),
    "order_flow_imbalance": ("flow_min_ticks", (1.0, 3.0)),
}
"""By strategy: what is tuned of it, and within what it still gives signals."""

FaultRates: TypeAlias = dict[str, float | int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessFault:
    """One deed against a process, `after_s` after the one before."""

    after_s: float
    action: str
    target: str
    """`worker-2`, `schedule`, `nats` ...; every worker for an ambush."""
    for_s: float = 0.0
    """How long it is stopped."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retuning:
    """One change of an account's configuration, `after_s` after the one before."""

    after_s: float
    account: int
    """Which of the run's."""
    changes: dict[str, str]
    """As a person types them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spell:
    """Faults that hold for a while."""

    for_s: float
    faults: FaultRates


def process_faults(seed: int, workers: int) -> Iterator[ProcessFault]:
    """What is done to processes, without end."""
    random = Random(f"{seed}/strikes")
    while True:
        after_s = random.uniform(*PAUSE_S)
        [action] = random.choices(list(_ACTIONS), list(_ACTIONS.values()))
        [kind] = random.choices(list(_TARGETS), list(_TARGETS.values()))
        target = f"worker-{random.randint(1, workers)}" if kind == "worker" else kind
        for_s = random.uniform(*STOPPED_S)
        yield ProcessFault(
            after_s=after_s,
            action=action,
            target="workers" if action == AMBUSH else target,
            for_s=for_s if action == STOP else 0.0,
        )


def venue_spells(seed: int) -> Iterator[Spell]:
    """What is wrong with the venue, without end; the market channel has a stream of its own."""
    random, market = Random(f"{seed}/venue"), Random(f"{seed}/market")
    while True:
        for_s = random.uniform(*VENUE_S)
        faults: FaultRates = {}
        if random.random() >= _CALM:
            faults["failed_trade"] = _FAILED_TRADE
            for name in random.sample(sorted(_RANGES), random.randint(1, 4)):
                faults |= _drawn(random, _RANGES[name])
            if random.random() < _WINDOW_SHARE:
                faults |= _drawn(random, _WINDOWS[random.choice(sorted(_WINDOWS))])
            if market.random() < _MARKET_SHARE:
                for name in market.sample(sorted(_MARKET), market.randint(1, 3)):
                    faults |= _drawn(market, _MARKET[name])
        yield Spell(for_s=for_s, faults=faults)


def store_spells(seed: int) -> Iterator[Spell]:
    """What is wrong with the store, without end: the chance of each fault for one request."""
    random = Random(f"{seed}/store")
    while True:
        for_s = random.uniform(*STORE_S)
        faults: FaultRates = {}
        if random.random() >= _CALM:
            for name in random.sample(sorted(_STORE), random.randint(1, 3)):
                faults[name] = _STORE[name] * random.uniform(0.3, 1)
        yield Spell(for_s=for_s, faults=faults)


def retunings(seed: int, strategies: Sequence[str], positions: int) -> Iterator[Retuning]:
    """What is done to the accounts of these strategies, without end.

    One change in two is of how many positions there may be: few, or `positions` again.
    """
    random = Random(f"{seed}/configurations")
    few = [False] * len(strategies)
    while True:
        after_s = random.uniform(*CHANGE_S)
        account = random.randrange(len(strategies))
        tuned, bounds = _PARAMETERS.get(strategies[account], ("size_usd", _SIZE_USD))
        if random.random() < 0.5:
            few[account] = not few[account]
            allowed = random.randint(*_FEW_POSITIONS) if few[account] else positions
            changes = {"max_positions": str(allowed)}
        elif random.random() < 0.5:
            changes = {"size_usd": f"{random.uniform(*_SIZE_USD):.2f}"}
        else:
            changes = {tuned: f"{random.uniform(*bounds):.2f}"}
        yield Retuning(after_s=after_s, account=account, changes=changes)


def _drawn(random: Random, ranges: dict[str, tuple[float, float]]) -> FaultRates:
    return {
        name: round(random.uniform(low, high))
        if name.endswith(("_ms", "_after")) and high > 1
        else round(random.uniform(low, high), 3)
        for name, (low, high) in ranges.items()
    }
