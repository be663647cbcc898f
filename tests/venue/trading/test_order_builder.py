"""Orders built here against the official client's own, byte for byte."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, get_args
from unittest.mock import patch

import pytest
from eth_account import Account
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from polymarket import AsyncSecureClient
from polymarket._internal.actions.orders import orders as client_orders
from polymarket._internal.actions.orders.market import (
    _build_protected_market_order_draft,
    validate_market_order_params,
)
from polymarket._internal.actions.orders.market_data import MarketInfo, PlatformFeeInfo
from polymarket._internal.actions.orders.post import build_post_order_request
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket._internal.wallet import WalletType, signature_type_for

from protocol.units import price_decimal, usd_decimal
from tests.venue.trading.test_order_id import by_eth_account, by_the_older_client
from venue.trading.official_client import domain_of
from venue.trading.order_amounts import TICKS_E4, OrderAmountError, buy_amounts
from venue.trading.order_builder import BuiltOrder, OrderBuilder
from venue.trading.order_id import OrderFields
from venue.trading.order_signer import OrderSigner

ACCOUNT = Account.from_key("0x" + "11" * 32)
WALLET = "0x" + "aB" * 20
API_KEY = 'key-%d-"quoted"-é'
FREE = PlatformFeeInfo(rate=price_decimal(0), exponent=price_decimal(0))


def by_the_client(
    token_id: str,
    order: BuiltOrder,
    *,
    limit: tuple[int, int],
    spend_e6: int,
    wallet: WalletType,
) -> bytes:
    """The body that the client makes of the same order, with the salt and time of `order`."""
    price_e4, tick_e4 = limit
    address = ACCOUNT.address if wallet == "EOA" else WALLET
    context: Any = SimpleNamespace(
        environment_config=PRODUCTION_CONFIG,
        wallet=address,
        wallet_type=wallet,
        signer=ACCOUNT,
        signer_type="OWNER",
    )
    draft = _build_protected_market_order_draft(
        context,
        validate_market_order_params(
            asset_id=token_id,
            side="BUY",
            amount=usd_decimal(spend_e6),
            max_price=price_decimal(price_e4),
        ),
        metadata=MarketInfo(
            fee_info=FREE,
            neg_risk=order.neg_risk,
            tick_size=price_decimal(tick_e4),
            token_ids=frozenset(),
        ),
        builder_taker_fee_rate=price_decimal(0),
    )
    client: Any = SimpleNamespace(_ctx=context)
    with (
        patch.object(client_orders, "_generate_salt", lambda: order.salt),
        patch.object(client_orders, "_current_timestamp_ms", lambda: order.timestamp_ms),
    ):
        signed = asyncio.run(AsyncSecureClient._sign_order(client, draft, post_only=False))
    path, payload = build_post_order_request(signed, owner_api_key=API_KEY)
    assert path == "/order"
    return json.dumps(payload, separators=(",", ":")).encode()


def builder_for(wallet: WalletType) -> OrderBuilder:
    return OrderBuilder(
        OrderSigner(ACCOUNT).sign,
        signer=ACCOUNT.address,
        wallet=ACCOUNT.address if wallet == "EOA" else WALLET,
        signature_type=signature_type_for(wallet),
        api_key=API_KEY,
    )


@st.composite
def orders(draw: st.DrawFn) -> tuple[tuple[int, int], int]:
    """A limit (price and tick), and money that can be spent at it."""
    tick_e4 = draw(st.sampled_from(sorted(TICKS_E4)))
    price_e4 = draw(st.integers(1, 10_000 // tick_e4 - 1)) * tick_e4
    spend_e6 = draw(st.integers(1_000_000, 10**10))
    try:
        buy_amounts(spend_e6, price_e4, tick_e4)
    except OrderAmountError:  # too coarse a tick for so little
        reject()
    return (price_e4, tick_e4), spend_e6


v2_positions = st.integers(0, 2**256 - 1).map(lambda number: number & ~(((1 << 64) - 1) << 40))


@given(
    order=orders(),
    token_id=st.one_of(st.integers(0, 2**256 - 1), v2_positions).map(str),
    wallet=st.sampled_from(get_args(WalletType)),
    neg_risk=st.booleans(),
    salt=st.integers(0, 2**53 - 1),
    timestamp_ms=st.integers(1, 2**45),
)
@settings(max_examples=60, deadline=None)
def test_an_order_is_byte_for_byte_the_official_client_s(
    order: tuple[tuple[int, int], int],
    token_id: str,
    wallet: WalletType,
    neg_risk: bool,
    salt: int,
    timestamp_ms: int,
) -> None:
    limit, spend_e6 = order
    domain = domain_of(token_id, neg_risk=neg_risk)
    builder = builder_for(wallet)
    form = builder.form_of(token_id, domain, neg_risk=neg_risk)
    amounts = buy_amounts(spend_e6, *limit)
    built = builder.build(form, amounts, salt=salt, timestamp_ms=timestamp_ms)
    assert (built.salt, built.timestamp_ms) == (salt, timestamp_ms)
    assert (built.maker_e6, built.taker_e6) == amounts
    assert built.body == by_the_client(
        token_id, built, limit=limit, spend_e6=spend_e6, wallet=wallet
    )
    sent = json.loads(built.body)["order"]
    fields = OrderFields(
        salt=salt,
        maker=sent["maker"],
        signer=sent["signer"],
        token_id=int(token_id),
        maker_amount=amounts[0],
        taker_amount=amounts[1],
        side=0,
        signature_type=sent["signatureType"],
        timestamp_ms=timestamp_ms,
        metadata=sent["metadata"],
        builder=sent["builder"],
    )
    assert built.order_id == by_eth_account(fields, domain)
    assert built.order_id == by_the_older_client(fields, domain)


def test_salt_and_time_are_made_as_the_client_makes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = builder_for("DEPOSIT_WALLET")
    form = builder.form_of("1", domain_of("1", neg_risk=False), neg_risk=False)
    monkeypatch.setattr(
        "secrets.randbits", lambda bits: 7 if bits == client_orders._SALT_BITS else 0
    )
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0019)
    built = builder.build(form, (1_000_000, 2_000_000))
    monkeypatch.undo()
    assert (built.salt, built.timestamp_ms) == (7, 1_800_000_000_001)
    salts = {builder.build(form, (1_000_000, 2_000_000)).salt for _ in range(8)}
    assert len(salts) == 8


@pytest.mark.parametrize("token_id", ["", "1.5", str(2**256), "-1"])
def test_a_token_id_that_is_no_word_is_refused(token_id: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        builder_for("EOA").form_of(token_id, domain_of("1", neg_risk=False), neg_risk=False)


def test_neither_key_nor_credentials_show() -> None:
    builder = builder_for("EOA")
    form = builder.form_of("1", domain_of("1", neg_risk=False), neg_risk=False)
    shown = f"{builder!r} {form!r} {builder.build(form, (1_000_000, 2_000_000))!r}"
    assert "11" * 32 not in shown
    assert "quoted" not in shown
