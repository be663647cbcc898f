"""When the market's facts are asked for anew, and what an order is made from."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from coincurve import PrivateKey

from venue.trading import direct_orders, official_client
from venue.trading.direct_orders import FACTS_AGE_MAX_S, DirectOrders
from venue.trading.official_client import MarketFacts
from venue.trading.order_amounts import OrderAmountError
from venue.trading.order_builder import OrderBuilder
from venue.trading.order_id import OrderFields, order_id

UP, DOWN = "1" + "0" * 70, "2" + "0" * 70
NOBODY = "0x" + "11" * 20


class Market:
    """What the venue says of it, and how often it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.facts = MarketFacts(token_ids=frozenset((UP, DOWN)), tick_e4=100, neg_risk=False)
        self.asked: list[str] = []
        self.now_s = 1_000.0
        self.forgotten: list[str] = []
        key = PrivateKey(b"\x11" * 32)
        builder = OrderBuilder(
            lambda digest: key.sign_recoverable(digest, hasher=None),
            signer=NOBODY,
            wallet=NOBODY,
            signature_type=0,
            api_key="key",
        )
        monkeypatch.setattr(official_client, "builder_of", lambda _: builder)
        monkeypatch.setattr(official_client, "market_facts", self._facts)
        monkeypatch.setattr(
            official_client, "forget_metadata", lambda _, token_id: self.forgotten.append(token_id)
        )
        for name in ("clob_url_of", "api_credentials", "OrderConnection"):
            place = official_client if name == "clob_url_of" else direct_orders
            monkeypatch.setattr(place, name, lambda *_: None)
        monkeypatch.setattr(direct_orders, "monotonic", lambda: self.now_s)
        client: Any = None
        self.orders = DirectOrders(client)

    async def _facts(self, _: object, token_id: str) -> MarketFacts:
        self.asked.append(token_id)
        return self.facts

    async def shares_e6(
        self, *, max_price_e4: int = 5_200, tick_e4: int = 100, token_id: str = UP
    ) -> int:
        """Asked for with 1.1 USD."""
        built = await self.orders.prepare(
            token_id, spend_e6=1_100_000, max_price_e4=max_price_e4, tick_e4=tick_e4
        )
        return int(json.loads(built.body)["order"]["takerAmount"])


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    return Market(monkeypatch)


async def test_a_market_is_asked_for_once_for_both_tokens(market: Market) -> None:
    await market.orders.warm((UP, DOWN))
    assert await market.shares_e6() == 2_115_300
    await market.shares_e6(token_id=DOWN)
    assert market.asked == [UP]


async def test_facts_are_used_no_longer_than_the_client_uses_them(market: Market) -> None:
    await market.shares_e6()
    market.now_s += FACTS_AGE_MAX_S - 1
    await market.shares_e6()
    assert market.asked == [UP]
    market.now_s += 1
    await market.shares_e6()
    assert market.asked == [UP, UP]


async def test_a_price_off_the_known_tick_is_tried_again_on_the_tick_of_now(market: Market) -> None:
    await market.orders.warm((UP, DOWN))
    market.facts = market.facts._replace(tick_e4=10)
    assert await market.shares_e6(max_price_e4=5_210, tick_e4=10) == 2_111_320
    assert market.asked == [UP, UP]


async def test_a_price_off_the_tick_of_now_is_refused_after_one_question(market: Market) -> None:
    await market.orders.warm((UP, DOWN))
    with pytest.raises(OrderAmountError, match="tick size"):
        await market.shares_e6(max_price_e4=5_210, tick_e4=10)
    assert market.asked == [UP, UP]


async def test_a_price_of_a_coarser_tick_asks_for_no_more_decimals_than_that(
    market: Market,
) -> None:
    market.facts = market.facts._replace(tick_e4=10)
    await market.orders.warm((UP, DOWN))
    assert await market.shares_e6(tick_e4=10) == 2_115_380
    assert await market.shares_e6(tick_e4=100) == 2_115_300
    assert market.asked == [UP]


@pytest.mark.parametrize(("known_e4", "tick_e4"), [(10, 25), (25, 10)])
async def test_of_two_ticks_that_with_fewer_decimals_of_a_share_counts(
    market: Market, known_e4: int, tick_e4: int
) -> None:
    market.facts = market.facts._replace(tick_e4=known_e4)
    await market.orders.warm((UP, DOWN))
    assert await market.shares_e6(max_price_e4=5_150, tick_e4=tick_e4) == 2_135_920


async def test_the_kind_of_market_is_the_venue_s(market: Market) -> None:
    market.facts = market.facts._replace(neg_risk=True)
    built = await market.orders.prepare(UP, spend_e6=1_100_000, max_price_e4=5_200, tick_e4=100)
    assert built.neg_risk
    market.orders.forget((UP, DOWN))
    market.facts = market.facts._replace(neg_risk=False)
    plain = await market.orders.prepare(UP, spend_e6=1_100_000, max_price_e4=5_200, tick_e4=100)
    assert not plain.neg_risk


async def test_a_token_that_is_not_of_the_market_is_not_known_with_it(market: Market) -> None:
    market.facts = market.facts._replace(token_ids=frozenset((UP,)))
    await market.orders.warm((UP, DOWN))
    market.facts = market.facts._replace(token_ids=frozenset((DOWN,)), tick_e4=10)
    await market.shares_e6(token_id=DOWN)
    assert market.asked == [UP, DOWN]


async def test_nothing_is_kept_of_what_is_forgotten(market: Market) -> None:
    await market.orders.warm((UP, DOWN))
    market.orders.forget((UP, DOWN))
    assert (market.orders._tokens, market.forgotten) == ({}, [UP])


def test_a_warm_order_needs_neither_a_turn_of_the_loop_nor_a_timer(market: Market) -> None:
    asyncio.run(market.orders.warm((UP, DOWN)))
    making = market.orders.prepare(UP, spend_e6=1_100_000, max_price_e4=5_200, tick_e4=100)
    with pytest.raises(StopIteration):  # it has come to its end, and no loop is running
        making.send(None)


async def test_a_venue_that_does_not_say_what_its_market_is_is_given_up(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> MarketFacts:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(official_client, "market_facts", silent)
    monkeypatch.setattr(direct_orders, "PREPARE_TIMEOUT_S", 0.001)
    with pytest.raises(TimeoutError):
        await market.shares_e6()


# -- rehearsals ----------------------------------------------------------------------------------


def test_what_a_specimen_is_signed_for_is_no_contract(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[bytes] = []
    signed: list[bytes] = []
    connection = SimpleNamespace(rehearse=bodies.append)  # and nothing to post with
    monkeypatch.setattr(market.orders, "_connection", connection)
    monkeypatch.setattr(market.orders._builder, "_sign", lambda it: signed.append(it) or bytes(65))
    make_specimen = market.orders.rehearsal()
    for _ in range(8):
        make_specimen()
    assert market.asked == []
    orders = [json.loads(body)["order"] for body in bodies]
    assert len({order["salt"] for order in orders}) == len(signed) == 8
    for order, digest in zip(orders, signed, strict=True):
        fields = OrderFields(
            salt=order["salt"],
            maker=order["maker"],
            signer=order["signer"],
            token_id=int(order["tokenId"]),
            maker_amount=int(order["makerAmount"]),
            taker_amount=int(order["takerAmount"]),
            side=0,
            signature_type=order["signatureType"],
            timestamp_ms=int(order["timestamp"]),
            metadata=order["metadata"],
            builder=order["builder"],
        )
        domain = official_client.domain_of(order["tokenId"], neg_risk=False)
        nowhere = msgspec.structs.replace(domain, chain_id=0)
        assert "0x" + digest.hex() == order_id(fields, nowhere) != order_id(fields, domain)
