"""The claim race on one file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.core.account import Account
from tests.support.claim_race_contract import ClaimRaceContract, Place
from tests.support.sqlite_stores import SqliteTable


class TestClaimRace(ClaimRaceContract):
    @pytest.fixture
    def place(self, table: SqliteTable) -> Place:
        return {"file": str(table.path)}

    @pytest.fixture
    def account_in(self, table: SqliteTable) -> Callable[[str], Account]:
        return table.account
