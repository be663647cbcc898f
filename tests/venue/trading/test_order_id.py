"""The order id against two implementations that know nothing of ours."""

from __future__ import annotations

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2
from py_clob_client_v2.order_utils.model.side import Side
from py_clob_client_v2.order_utils.model.signature_type_v2 import SignatureTypeV2
from py_clob_client_v2.signer import Signer

from venue.trading.order_id import ExchangeDomain, OrderFields, order_id

KEY = "0x" + "11" * 32
ADDRESS = Account.from_key(KEY).address
CONTRACT = "0xE111180000d2663C0091e4f400237545B87B996B"

words = st.binary(min_size=32, max_size=32).map(lambda b: "0x" + b.hex())
orders = st.builds(
    OrderFields,
    salt=st.integers(0, 2**53 - 1),
    maker=st.just(ADDRESS),
    signer=st.just(ADDRESS),
    token_id=st.integers(0, 2**256 - 1),
    maker_amount=st.integers(1, 10**15),
    taker_amount=st.integers(1, 10**15),
    side=st.sampled_from([0, 1]),
    signature_type=st.sampled_from([0, 1, 2, 3]),
    timestamp_ms=st.integers(1, 2**45),
    metadata=words,
    builder=words,
)
domains = st.builds(
    ExchangeDomain,
    chain_id=st.just(137),
    contract=st.just(CONTRACT),
    version=st.sampled_from(["2", "3"]),
)


def by_eth_account(order: OrderFields, domain: ExchangeDomain) -> str:
    types = {
        "Order": [
            {"name": "salt", "type": "uint256"},
            {"name": "maker", "type": "address"},
            {"name": "signer", "type": "address"},
            {"name": "tokenId", "type": "uint256"},
            {"name": "makerAmount", "type": "uint256"},
            {"name": "takerAmount", "type": "uint256"},
            {"name": "side", "type": "uint8"},
            {"name": "signatureType", "type": "uint8"},
            {"name": "timestamp", "type": "uint256"},
            {"name": "metadata", "type": "bytes32"},
            {"name": "builder", "type": "bytes32"},
        ]
    }
    message = encode_typed_data(
        {
            "name": "Polymarket CTF Exchange",
            "version": domain.version,
            "chainId": domain.chain_id,
            "verifyingContract": domain.contract,
        },
        types,
        {
            "salt": order.salt,
            "maker": order.maker,
            "signer": order.signer,
            "tokenId": order.token_id,
            "makerAmount": order.maker_amount,
            "takerAmount": order.taker_amount,
            "side": order.side,
            "signatureType": order.signature_type,
            "timestamp": order.timestamp_ms,
            "metadata": bytes.fromhex(order.metadata[2:]),
            "builder": bytes.fromhex(order.builder[2:]),
        },
    )
    return "0x" + keccak(b"\x19" + message.version + message.header + message.body).hex()


def by_the_older_client(order: OrderFields, domain: ExchangeDomain) -> str:
    builder = ExchangeOrderBuilderV2(
        domain.contract, domain.chain_id, Signer(KEY, 137), domain_version=domain.version
    )
    typed = builder.build_order_typed_data(
        OrderV2(
            salt=str(order.salt),
            maker=order.maker,
            signer=order.signer,
            tokenId=str(order.token_id),
            makerAmount=str(order.maker_amount),
            takerAmount=str(order.taker_amount),
            side=Side(order.side),
            signatureType=SignatureTypeV2(order.signature_type),
            timestamp=str(order.timestamp_ms),
            metadata=order.metadata,
            builder=order.builder,
        )
    )
    return str(builder.build_order_hash(typed))


@given(order=orders, domain=domains)
@settings(max_examples=50)
def test_the_id_is_what_eth_account_hashes(order: OrderFields, domain: ExchangeDomain) -> None:
    assert order_id(order, domain) == by_eth_account(order, domain)


@given(order=orders, domain=domains)
@settings(max_examples=50)
def test_the_id_is_what_the_older_client_hashes(order: OrderFields, domain: ExchangeDomain) -> None:
    assert order_id(order, domain) == by_the_older_client(order, domain)
