"""What every store promises of what it stores, on DynamoDB's two engines."""

from __future__ import annotations

from tests.support.stored_account_contract import StoredAccountContract
from tests.support.stored_claim_contract import StoredClaimContract
from tests.support.stored_group_contract import StoredGroupContract
from tests.support.stored_move_contract import StoredMoveContract


class TestAccounts(StoredAccountContract):
    """With the fixtures of `conftest`, as all of these."""


class TestClaims(StoredClaimContract):
    pass


class TestMoves(StoredMoveContract):
    pass


class TestGroups(StoredGroupContract):
    pass
