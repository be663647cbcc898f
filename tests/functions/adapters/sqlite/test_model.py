"""The embedded store against the pure model: any account, any claim, any history; and its group."""

from __future__ import annotations

from tests.support.stored_account_contract import StoredAccountContract
from tests.support.stored_claim_contract import StoredClaimContract
from tests.support.stored_group_contract import StoredGroupContract
from tests.support.stored_model_contract import StoredModelContract
from tests.support.stored_move_contract import StoredMoveContract


class TestAccounts(StoredAccountContract):
    """With the fixtures of `conftest`, as all of these."""


class TestClaims(StoredClaimContract):
    pass


class TestMoves(StoredMoveContract):
    pass


class TestGroups(StoredGroupContract):
    pass


class TestModel(StoredModelContract):
    pass
