"""The claim race, of any store that several processes share.

32 racers in 2 processes over 7 markets with 3 slots: exactly 3 win, at most one a market. A
subclass in a test module gives the fixtures `place`, which the racers are told, and `account_in`:
what an account looks like from outside.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from functions.core.account import Account
from tests.support.claim_racer import MARKETS, RACERS
from tests.support.dynamodb_engines import ROOT
from tests.support.store_builders import LIMITS

PROCESSES = 2  # each takes a second or two of CPU to import its libraries
ROUNDS = 2
REFUSALS = {"market_claimed", "cooldown", "max_positions"}
Place = dict[str, str]


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"a racer ended with exit code {process.wait()}"
    return line.strip()


class ClaimRaceContract:
    """Inherit it, and give the fixtures `place` and `account_in`."""

    @pytest.fixture
    def racers(self, place: Place) -> Iterator[list[subprocess.Popen[str]]]:
        with ExitStack() as stack:
            started = []
            for number in range(PROCESSES):
                process = stack.enter_context(
                    subprocess.Popen(  # noqa: S603 - our own module
                        [
                            *(sys.executable, "-m", "tests.support.claim_racer"),
                            *(json.dumps(place), f"p{number}"),
                        ],
                        cwd=ROOT,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
                stack.callback(process.kill)
                started.append(process)
            yield started

    @pytest.mark.timeout(120)
    def test_exactly_as_many_win_as_there_are_slots(
        self, racers: list[subprocess.Popen[str]], account_in: Callable[[str], Account]
    ) -> None:
        for number in range(ROUNDS):
            account_name = f"round-{number}"
            for process in racers:
                tell(process, account_name)
            for process in racers:
                assert hear(process) == "warm"
            for process in racers:
                tell(process, "go")
            results = [result for process in racers for result in json.loads(hear(process))]

            assert len(results) == PROCESSES * RACERS
            assert len({market for market, _, _ in results}) == MARKETS
            won = {market: attempt for market, attempt, outcome in results if outcome == "claimed"}
            assert sum(outcome == "claimed" for _, _, outcome in results) == LIMITS.max_positions
            assert len(won) == LIMITS.max_positions, "a market was won twice"
            assert {outcome for _, _, outcome in results} - {"claimed"} <= REFUSALS
            stored = account_in(account_name)
            assert {market: claim.attempt_id for market, claim in stored.claims.items()} == won
            assert set(stored.cooldowns) == set(won)
