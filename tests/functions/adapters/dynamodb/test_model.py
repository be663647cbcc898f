"""DynamoDB's conditions against the pure model, on two engines."""

from __future__ import annotations

from tests.support.stored_model_contract import StoredModelContract


class TestModel(StoredModelContract):
    """With the fixtures of `conftest`."""
