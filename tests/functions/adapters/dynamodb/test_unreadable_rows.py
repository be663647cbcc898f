"""A row that somebody has edited: it is named, and the others are read."""

from __future__ import annotations

import pytest

from functions.ports import UnreadableRowsError
from tests.support.dynamodb_items import DECISIONS_PK
from tests.support.store_builders import NOW_MS, STRATEGY, TODAY, make_decision
from tests.support.stored_account_contract import ended


@pytest.mark.parametrize("kind", ["ledger", "decisions"])
async def test_one_row_that_cannot_be_read_is_named_and_hides_no_other(
    kind, store, table, log_table
) -> None:
    rows = [ended(attempt=f"a{n}", claimed_at_ms=NOW_MS + n) for n in range(3)]
    told = [make_decision(number) for number in range(3)]
    await store.put_decisions(told)
    for row in rows:
        await store.put_ledger(row)
    rows_of, key, attribute = (
        (table, f"STRATEGY#{STRATEGY}", "spend_e6")
        if kind == "ledger"
        else (log_table, DECISIONS_PK, "timeline")
    )
    item = rows_of.rows(key)[1]
    rows_of.put({**item, attribute: {"S": "much"}})
    with pytest.raises(UnreadableRowsError) as raised:
        await (store.ledger(0, 10**14) if kind == "ledger" else store.decisions(TODAY, 9))
    assert raised.value.readable == ([rows[0], rows[2]] if kind == "ledger" else told[::-2])
    assert str(raised.value).startswith("1 of 3 rows cannot be read, the first: ")
    assert item["sk"]["S"] in str(raised.value)
    assert attribute in str(raised.value)
