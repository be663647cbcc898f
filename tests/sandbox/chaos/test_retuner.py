"""What changes configurations: it counts what is known to have returned, and binds the watch."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.child import ChildError
from sandbox.chaos import retuner as module
from sandbox.chaos.claim_watch import ClaimWatch
from sandbox.chaos.retuner import Retuner
from sandbox.cluster import Cluster
from sandbox.services import Options
from strategies.book_imbalance import BookImbalance
from tests.support.configuration_builders import a_row
from tests.support.dynamodb_engines import dynamodb_server, state_table, store_on

__all__ = ["dynamodb_server", "state_table"]

ACCOUNT = "book_imbalance_crypto"


def retuner(tmp_path: Path, dynamodb_url: str, watch: ClaimWatch) -> Retuner:
    """Of a run with one account, whose server of NATS is down."""
    cluster = Cluster(Options(max_positions=40, retuned=True), tmp_path)
    cluster.nats_url = "nats://127.0.0.1:1"
    return Retuner(cluster, dynamodb_url, {ACCOUNT: watch})


async def test_a_change_that_returned_binds_the_watch_and_a_lost_one_is_counted(
    tmp_path: Path, dynamodb_server: str, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STATE_TABLE", state_table)
    watch = ClaimWatch(dynamodb_server, ACCOUNT)
    changing = retuner(tmp_path, dynamodb_server, watch)
    async with store_on(dynamodb_server, state_table, ACCOUNT) as store:
        await store.open_account()
        row = a_row(parameters=BookImbalance.Parameters())
        assert await store.set_configuration(row, 0)
        await changing.begin()
        [entry] = Options().accounts
        assert await changing._change(entry, {"max_positions": "3", "imbalance_min": "0.6"})
        in_force = await store.configuration()
    assert in_force is not None
    assert in_force.version == watch.binding_version == 3
    assert in_force.who == "chaos"
    assert '"max_positions":3' in in_force.values.replace(" ", "")
    assert '"imbalance_min":0.6' in in_force.parameters.replace(" ", "")
    assert [each.version for each in changing.returned] == [2, 3]
    assert changing.lowered == 1
    away = retuner(tmp_path, "http://127.0.0.1:1", watch)
    assert not await away._change(entry, {"max_positions": "3"})
    assert (away.not_known, away.returned, watch.binding_version) == (1, [], 3)


async def test_a_run_whose_workers_seed_nothing_fails_with_the_accounts_name(
    tmp_path: Path, dynamodb_server: str, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STATE_TABLE", state_table)
    monkeypatch.setattr(module, "BEGIN_TIMEOUT_S", 0.0)
    changing = retuner(tmp_path, dynamodb_server, ClaimWatch(dynamodb_server, ACCOUNT))
    with pytest.raises(ChildError, match=f"{ACCOUNT} has no configuration"):
        await changing.begin()
