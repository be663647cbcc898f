"""The claim race on DynamoDB, on two engines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.core.account import Account
from tests.support.claim_race_contract import ClaimRaceContract, Place
from tests.support.dynamodb_items import Table


class TestClaimRace(ClaimRaceContract):
    @pytest.fixture
    def place(self, table: Table) -> Place:
        return {"url": table.url, "table": table.name}

    @pytest.fixture
    def account_in(self, table: Table) -> Callable[[str], Account]:
        return table.account
