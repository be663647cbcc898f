"""What shares are held of resolved markets, and redeeming them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest
from aiohttp import web

from functions.adapters import redeemer
from functions.adapters.redeemer import records_of
from functions.adapters.venue_records import LiveRecords
from functions.core.claim import trader_of
from functions.ports import RecordsError
from sandbox.simulator import Venue
from sandbox.simulator.gamma import event_json
from tests.support import canned_venue as canned
from tests.support.canned_venue import KEY, UP, CannedVenue, account
from tests.support.venue_records import (
    one_line,
)


async def test_the_venue_looks_at_the_chain_before_it_counts_shares(
    venue: CannedVenue, live: LiveRecords
) -> None:
    venue.says_text("/balance-allowance/update", "")  # whatever it says
    venue.says("/balance-allowance", {"balance": "5", "allowances": {}})
    assert await live.positions([UP]) == {UP: 5}
    asked = {"asset_type": "CONDITIONAL", "token_id": UP, "signature_type": "0"}
    assert venue.requests == [
        ("/balance-allowance/update", asked),
        ("/balance-allowance", asked),
    ]


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"balance": "1.5", "allowances": {}}, {"balance": "-1", "allowances": {}}],
)
async def test_a_balance_that_cannot_be_read_is_not_zero(
    venue: CannedVenue, live: LiveRecords, body: object
) -> None:
    venue.says("/balance-allowance/update", "")
    venue.says("/balance-allowance", body)
    with pytest.raises(RecordsError, match="balance of token"):
        await live.positions([UP])


async def test_four_balances_at_a_time() -> None:
    class Counting(LiveRecords):
        running = most = 0

        async def _held(self, token_id: str) -> int:
            self.running += 1
            self.most = max(self.most, self.running)
            for _ in range(10):
                await asyncio.sleep(0)
            self.running -= 1
            return int(token_id)

    counting = Counting(None, trader_of(KEY.address, KEY.address))  # type: ignore[arg-type]
    assert await counting.positions([str(n) for n in range(10)]) == {str(n): n for n in range(10)}
    assert counting.most == 4


def chain_of(sent: list[object]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A JSON-RPC node that takes every transaction."""
    results = {
        "eth_chainId": "0x89",
        "eth_getTransactionCount": "0x0",
        "eth_gasPrice": "0x1",
        "eth_estimateGas": "0x5208",
        "eth_sendRawTransaction": "0x" + "ee" * 32,
    }

    async def answer(request: web.Request) -> web.Response:
        call = await request.json()
        assert call["method"] in results  # never for a receipt
        if call["method"] == "eth_sendRawTransaction":
            sent.append(call["params"])
        result = results[call["method"]]
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": result})

    return answer


def listed_for_redemption() -> list[object]:
    simulated = Venue()
    market = simulated.add_market("btc-updown-15m-1800000000", start_ms=0, end_ms=900_000)
    market.payouts, market.resolves_at_ms = (Decimal(1), Decimal(0)), 900_000
    listed = event_json(market, simulated.now_ms())["markets"][0]
    return [{**listed, "conditionId": canned.CONDITION_ID, "version": "v1"}]


async def test_a_redemption_is_sent_and_not_waited_for(
    venue: CannedVenue, live: LiveRecords
) -> None:
    sent: list[object] = []
    venue.answers["/rpc"] = chain_of(sent)
    venue.says("/markets/keyset", {"markets": listed_for_redemption()})
    await live.redeem(canned.CONDITION_ID)
    assert len(sent) == 1


async def test_what_a_transaction_has_cost_is_told_once_it_is_mined(
    venue: CannedVenue, live: LiveRecords
) -> None:
    sent: list[object] = []
    venue.answers["/rpc"] = chain_of(sent)
    venue.says("/markets/keyset", {"markets": listed_for_redemption()})
    await live.redeem(canned.CONDITION_ID)
    receipt: dict[str, object] | None = None
    venue.says("/rpc", {"jsonrpc": "2.0", "id": 1, "result": receipt})
    assert await live.mined() == ()
    for unreadable in ({}, {"status": "0x7"}, {"status": None}, [], "0x1"):
        venue.says("/rpc", {"jsonrpc": "2.0", "id": 1, "result": unreadable})
        with pytest.raises(RecordsError, match="receipt of"):
            await live.mined()
    receipt = {"status": "0x0", "gasUsed": "0x10", "effectiveGasPrice": "0x3"}
    venue.says("/rpc", {"jsonrpc": "2.0", "id": 1, "result": receipt})
    [mined] = await live.mined()
    assert (mined.condition_id, mined.reverted, mined.gas_wei) == (canned.CONDITION_ID, True, 48)
    venue.requests.clear()
    assert await live.mined() == ()
    assert venue.requests == []


async def test_a_chain_that_does_not_answer_is_not_waited_for_and_asked_again(
    venue: CannedVenue, live: LiveRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []
    venue.answers["/rpc"] = chain_of(sent)
    venue.says("/markets/keyset", {"markets": listed_for_redemption()})
    await live.redeem(canned.CONDITION_ID)
    monkeypatch.setattr(redeemer, "MINED_TIMEOUT_S", 0.05)
    gone = venue.falls_silent("/rpc")
    async with asyncio.timeout(30):
        with pytest.raises(RecordsError, match=r"receipt of .* no answer"):
            await live.mined()
        await gone.wait()
    monkeypatch.undo()
    receipt = {"status": "0x1", "gasUsed": "0x10", "effectiveGasPrice": "0x3"}
    venue.says("/rpc", {"jsonrpc": "2.0", "id": 1, "result": receipt})
    assert len(await live.mined()) == 1


async def test_without_the_signing_key_nothing_is_redeemed(venue: CannedVenue) -> None:
    reader = await records_of(account(venue.url), redeem=False)
    venue.requests.clear()
    with pytest.raises(RecordsError, match="no signing key"):
        await reader.redeem(canned.CONDITION_ID)
    await reader.close()
    assert venue.requests == []


async def test_a_redemption_that_was_refused_is_tried_again(
    venue: CannedVenue, live: LiveRecords
) -> None:
    venue.says("/markets/keyset", {"markets": []})
    with pytest.raises(RecordsError, match="redeeming") as refused:
        await live.redeem(canned.CONDITION_ID)
    one_line(refused)
    sent: list[object] = []
    venue.answers["/rpc"] = chain_of(sent)
    venue.says("/markets/keyset", {"markets": listed_for_redemption()})
    await live.redeem(canned.CONDITION_ID)
    assert len(sent) == 1


@pytest.mark.parametrize("result", [None, "0x", "zz", 7, {"error": {}}, []])
async def test_a_chain_that_answers_nonsense_is_one_line(
    venue: CannedVenue, live: LiveRecords, result: object
) -> None:
    venue.says("/rpc", {"jsonrpc": "2.0", "id": 1, "result": result})
    venue.says("/markets/keyset", {"markets": listed_for_redemption()})
    with pytest.raises(RecordsError, match="redeeming"):
        await live.redeem(canned.CONDITION_ID)
