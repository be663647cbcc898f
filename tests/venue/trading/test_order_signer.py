from __future__ import annotations

from typing import Any

from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st
from polymarket._internal.actions.orders.typed_data import build_order_typed_data
from polymarket._internal.actions.orders.types import UnsignedOrder
from polymarket._internal.l1_auth import build_api_key_auth_typed_data

from venue.trading.order_signer import OrderSigner

ACCOUNT = Account.create()
SIGNER = OrderSigner(ACCOUNT)
CONTRACT = "0xE111180000d2663C0091e4f400237545B87B996B"
words = st.binary(min_size=32, max_size=32).map(lambda b: "0x" + b.hex())


def unsigned(signature_type: int, **values: Any) -> UnsignedOrder:
    fields: dict[str, Any] = {
        "builder": "0x" + "00" * 32,
        "chain_id": 137,
        "exchange_address": CONTRACT,
        "expiration": 0,
        "maker": ACCOUNT.address,
        "maker_amount": 1_100_000,
        "metadata": "0x" + "00" * 32,
        "order_type": "FAK",
        "salt": 1,
        "side": "BUY",
        "signature_type": signature_type,
        "signer": ACCOUNT.address,
        "taker_amount": 2_200_000,
        "timestamp": 1_790_000_000_000,
        "token_id": "123",
        "protocol_version": "2",
        **values,
    }
    return UnsignedOrder(**fields)


@given(
    salt=st.integers(0, 2**53 - 1),
    maker_amount=st.integers(1, 10**15),
    taker_amount=st.integers(1, 10**15),
    side=st.sampled_from(["BUY", "SELL"]),
    token_id=st.integers(0, 2**256 - 1).map(str),
    timestamp=st.integers(1, 2**45),
    metadata=words,
    builder=words,
    protocol_version=st.sampled_from(["2", "3"]),
    signature_type=st.sampled_from([0, 1, 2, 3]),
)
@settings(max_examples=50)
def test_an_order_is_signed_bit_by_bit_as_the_client_would(
    signature_type: int, **values: Any
) -> None:
    message = build_order_typed_data(unsigned(signature_type, **values))
    theirs = ACCOUNT.sign_typed_data(full_message=message)
    assert SIGNER.sign_typed_data(full_message=message).signature == bytes(theirs.signature)


def test_a_deposit_wallet_s_order_is_wrapped() -> None:
    assert build_order_typed_data(unsigned(3))["primaryType"] == "TypedDataSign"


def test_everything_that_is_not_an_order_is_signed_by_eth_account() -> None:
    login = build_api_key_auth_typed_data(address=ACCOUNT.address, chain_id=137, timestamp=1)
    theirs = ACCOUNT.sign_typed_data(full_message=login)
    assert SIGNER.sign_typed_data(full_message=login).signature == theirs.signature


def test_the_key_does_not_show() -> None:
    assert bytes(ACCOUNT.key).hex() not in f"{SIGNER!r} {SIGNER}"
