"""The official client, and the only place that touches what is internal to it.

Internals used, all covered by tests against the pinned version: an environment with other URLs
(to trade on a simulated venue), a client made with API credentials that are proven already, the
signature that asks for them, the exchange contracts' addresses (for the order id), a faster signer,
a connection of our own for orders, a market's cached metadata (to refresh it: it lives ten minutes,
a market fifteen; and to know which contract was signed for), and raw requests (it has no call for
refreshing a balance, and reads the answer to an order too strictly). Those of its connections are
in `venue.trading.connections`. What is only read is read without it (`venue.rest`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable
from typing import Any, Final, NamedTuple, TypeVar

import httpx
from eth_account.signers.local import LocalAccount
from polymarket import AsyncSecureClient
from polymarket._internal.actions.account import build_update_balance_allowance_request
from polymarket._internal.actions.auth import build_l1_auth_headers
from polymarket._internal.actions.orders.post import build_post_order_request
from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
from polymarket._internal.l1_auth import sign_api_key_auth
from polymarket._internal.protocol import is_v2_position_id
from polymarket._internal.wallet import signature_type_for
from polymarket.clients._transport import AsyncTransport, TransportOptions
from polymarket.environments import PRODUCTION, Environment
from polymarket.errors import PolymarketError, RequestRejectedError, UserInputError
from polymarket.models.clob import ApiKeyCreds
from polymarket.models.clob.orders import SignedOrder

from protocol.units import to_price_e4
from venue import rest
from venue.errors import (
    AccountRefusedError,
    NotSentError,
    VenueError,
    VenueUnreachableError,
    one_line,
)
from venue.trading.connections import (
    ORDER_ANSWER_BYTES_MAX,
    bound,
    bound_answers,
    close_what_has_more,
)
from venue.trading.order_builder import OrderBuilder
from venue.trading.order_id import ExchangeDomain, OrderFields, order_id
from venue.trading.order_signer import OrderSigner
from venue.wallet import asset_type
from venue.wire.order_answer import HttpAnswer

_T = TypeVar("_T")
FAILURES: Final = (
    *(PolymarketError, TimeoutError, ValueError, RecursionError),
    *(ArithmeticError, TypeError, LookupError, AttributeError),
)
"""What the client's calls raise: its own errors, and what JSON, hex digits, a number like `sNaN` or
a field of another kind make its code raise."""
NOT_DEPLOYED: Final = (
    "WALLET: this wallet is not deployed yet; make the first deposit on the venue's website"
)
SIDE_CODES: Final = {"BUY": 0, "SELL": 1}
# Over HTTP/1.1 (see `prepare_for_orders`) these come before the first byte.
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
ORDER_TIMEOUT: Final = httpx.Timeout(connect=0.5, read=10.0, write=2.0, pool=0.5)
"""Of the connection's parts. How long an answer to a POST is waited for is said in
`functions.adapters.live_exchange`, which is less than this read timeout."""


def environment(clob_url: str, gamma_url: str) -> Environment:
    """The production environment, with other URLs where they differ from the real venue's."""
    if (clob_url, gamma_url) == (PRODUCTION_CONFIG.clob_url, PRODUCTION_CONFIG.gamma_url):
        return PRODUCTION
    elsewhere = dataclasses.replace(
        PRODUCTION_CONFIG,
        clob_url=clob_url,
        gamma_url=gamma_url,
        # Never let a client of another venue fall back to the real one's services.
        relayer_url=clob_url,
        data_url=clob_url,
        rpc_url=f"{clob_url}/rpc",  # where a simulated venue plays the chain
    )
    return create_environment(name="custom", config=elsewhere)


def login_headers(signer: LocalAccount, now_s: int) -> dict[str, str]:
    """The L1 headers, which prove to the venue who asks for API credentials."""
    chain_id = PRODUCTION_CONFIG.chain_id
    return build_l1_auth_headers(sign_api_key_auth(signer, chain_id=chain_id, timestamp=now_s))


async def client_of(
    private_key: str, *, wallet: str, credentials: ApiKeyCreds, clob_url: str, gamma_url: str
) -> AsyncSecureClient:
    """As `AsyncSecureClient.create`, with credentials that the venue has just given: `create` would
    ask for them again, and blame whatever is in the way on them.

    Raises polymarket.errors.PolymarketError, and AccountRefusedError for a wallet that is not on
    chain.
    """
    client = await AsyncSecureClient._create(
        private_key=private_key,
        # Always named: without it the client would derive one. (The signer's own deposit wallet,
        # if it does not exist yet, is created on chain by the client even so.)
        wallet=wallet,
        environment=environment(clob_url, gamma_url),
        credentials=credentials,
        validate_credentials=False,
    )
    bound_answers(client)
    try:
        return await client._ensure_wallet_ready()
    except UserInputError:
        # Whatever it says (it names keys for deploying one without gas): there is no such wallet.
        await client.close()
        raise AccountRefusedError(NOT_DEPLOYED) from None
    except BaseException:
        await client.close()
        raise


def domain_of(token_id: str, *, neg_risk: bool) -> ExchangeDomain:
    """The contract an order on this token is for."""
    config = PRODUCTION_CONFIG
    if is_v2_position_id(token_id):
        return ExchangeDomain(chain_id=config.chain_id, contract=config.exchange_v3, version="3")
    contract = config.neg_risk_exchange if neg_risk else config.standard_exchange
    return ExchangeDomain(chain_id=config.chain_id, contract=contract, version="2")


STANDARD_EXCHANGE: Final = PRODUCTION_CONFIG.standard_exchange
"""The contract that orders of up/down markets are for."""
EXCHANGES: Final = (STANDARD_EXCHANGE, PRODUCTION_CONFIG.exchange_v3)
"""The latter is for position ids, should such markets get them."""


def id_of(order: SignedOrder, *, neg_risk: bool) -> str:
    """The venue's id of a signed order (which does not carry it)."""
    fields = OrderFields(
        salt=order.salt,
        maker=order.maker,
        signer=order.signer,
        token_id=int(order.token_id),
        maker_amount=order.maker_amount,
        taker_amount=order.taker_amount,
        side=SIDE_CODES[order.side],
        signature_type=order.signature_type,
        timestamp_ms=order.timestamp,
        metadata=order.metadata,
        builder=order.builder,
    )
    return order_id(fields, domain_of(order.token_id, neg_risk=neg_risk))


async def prepare_for_orders(client: AsyncSecureClient) -> None:
    """Give the client a faster signer, and a connection for orders that sends each byte once.

    HTTP/1.1 only: with HTTP/2 httpcore sends a request again, body and all, when the server
    announces that it goes away (GOAWAY), and reports a connection that then fails as one that was
    never made. Over HTTP/1.1 a connect error means that nothing has been sent. The short connect
    timeout keeps a book from growing old on its way.
    """
    ctx = client._ctx
    orders = AsyncTransport(
        base_url=ctx.environment_config.clob_url,
        options=TransportOptions(http2=False, timeout=ORDER_TIMEOUT),
        header_resolver=ctx.secure_clob._header_resolver,
    )
    bound(orders, ctx.credentials, ORDER_ANSWER_BYTES_MAX)
    await ctx.secure_clob.close()
    client._ctx = dataclasses.replace(
        ctx,
        signer=OrderSigner(ctx.signer),  # type: ignore[arg-type]
        secure_clob=orders,
    )


async def signed_for_neg_risk(client: AsyncSecureClient, token_id: str) -> bool:
    """Which kind of market the client takes a token's market for: it decides what is signed.

    From the client's cache once the market is warm. Raises polymarket.errors.PolymarketError.
    """
    ctx = client._ctx
    metadata = await ctx.order_metadata.resolve_market(ctx, token_id=token_id)  # type: ignore[arg-type]
    return metadata.neg_risk


class MarketFacts(NamedTuple):
    """What an order depends on, of its token's market."""

    token_ids: frozenset[str]
    tick_e4: int
    neg_risk: bool


async def market_facts(client: AsyncSecureClient, token_id: str) -> MarketFacts:
    """Fetch them, into the client's cache too, whatever is cached. The token is among `token_ids`.

    Raises what FAILURES names.
    """
    ctx = client._ctx
    market = await ctx.order_metadata.fetch_current_market(ctx, token_id=token_id)  # type: ignore[arg-type]
    return MarketFacts(
        token_ids=frozenset(market.token_ids),
        tick_e4=to_price_e4(market.tick_size),
        neg_risk=market.neg_risk,
    )


def forget_metadata(client: AsyncSecureClient, token_id: str) -> None:
    """Drop what the client's cache has of a token's market: it drops nothing by itself."""
    cache = client._ctx.order_metadata
    conditions: dict[Any, Any] = cache._conditions._values
    condition = conditions.pop(token_id, None)
    market = condition and cache._markets._values.pop(condition.value, None)
    for each in market.value.asset_ids if market else ():
        conditions.pop(each, None)


async def refresh_balance(client: AsyncSecureClient, token_id: str | None = None) -> None:
    """Make the venue count the wallet's money, or its shares of a token, anew.

    Its view of the chain is cached. Raises polymarket.errors.PolymarketError.
    """
    ctx = client._ctx
    path, params = build_update_balance_allowance_request(
        asset_type="COLLATERAL" if token_id is None else asset_type(token_id),
        asset_id=token_id,
        signature_type=signature_type_for(ctx.wallet_type),
    )
    await ctx.secure_clob.get_bytes(path, params=params)


def clob_url_of(client: AsyncSecureClient) -> str:
    """Where the client's orders go."""
    return client._ctx.environment_config.clob_url


def builder_of(client: AsyncSecureClient) -> OrderBuilder:
    """What builds orders of the client's account; after `prepare_for_orders`."""
    ctx = client._ctx
    signer: Any = ctx.signer
    return OrderBuilder(
        signer.sign,
        signer=signer.address,
        wallet=ctx.wallet,
        signature_type=signature_type_for(ctx.wallet_type),
        api_key=ctx.credentials.key,
    )


def body_of(client: AsyncSecureClient, order: SignedOrder) -> bytes:
    """What the client sends to post an order."""
    _, payload = build_post_order_request(order, owner_api_key=client._ctx.credentials.key)
    return json.dumps(payload, separators=(",", ":")).encode()


async def post_order(client: AsyncSecureClient, body: bytes) -> HttpAnswer:
    """Send a signed order once; the answer as it is, whatever its status.

    As `AsyncSecureClient.post_order` sends it, with the client's own headers and on the connection
    of `prepare_for_orders`. Only the answer is not read here: of a success the client refuses what
    lacks a field, and of a refusal it keeps one text of many. Raises NotSentError; httpx.HTTPError
    where it may have been sent, also for an answer of more than ORDER_ANSWER_BYTES_MAX bytes. Not
    bounded in time.
    """
    transport = client._ctx.secure_clob
    resolve = transport._header_resolver
    headers = dict(await resolve("POST", "/order", body.decode())) if resolve is not None else {}
    headers["Content-Type"] = "application/json"
    await close_what_has_more(transport)
    try:
        response = await transport._client.request("POST", "/order", content=body, headers=headers)
    except _NEVER_SENT as error:
        raise NotSentError(one_line(f"{type(error).__name__}: {error}")) from error
    return HttpAnswer(
        status=response.status_code,
        body=response.content,
        content_type=response.headers.get("content-type", ""),
        retry_after=response.headers.get("retry-after", ""),
    )


class Receipt(NamedTuple):
    """What the chain says of a transaction that it has taken."""

    reverted: bool
    gas_wei: int
    """What it cost; 0 when the receipt does not say."""


async def receipt_of(client: AsyncSecureClient, transaction: str) -> Receipt | None:
    """The receipt of a transaction that the wallet itself has sent, None while there is none.

    The client's own `wait` asks until there is one, and does not tell the cost. Raises
    polymarket.errors.PolymarketError, ValueError.
    """
    told = await client._ctx.rpc.eth_get_transaction_receipt(transaction)
    if told is None:
        return None
    status, used = _whole(told.get("status")), _whole(told.get("gasUsed"))
    price = _whole(told.get("effectiveGasPrice"))
    if status not in (0, 1):
        raise ValueError(f"transaction {transaction}: unreadable status")
    return Receipt(reverted=status == 0, gas_wei=(used or 0) * (price or 0))


def _whole(written: object) -> int | None:
    """A quantity of JSON-RPC (`0x1a`), also as a number; None when it is none."""
    if isinstance(written, bool):
        return None
    if isinstance(written, int):
        return written
    try:
        return int(written, 16) if isinstance(written, str) else None
    except ValueError:
        return None


async def bounded_call(what: str, call: Awaitable[_T], timeout_s: float | None = None) -> _T:
    """What a call of the official client's returns, within `timeout_s` (`ANSWER_TIMEOUT_S`).

    Raises VenueError with one line that begins with `what`; the client's error is its `__cause__`.
    Beside its own errors the client lets through FAILURES.
    """
    timeout_s = rest.ANSWER_TIMEOUT_S if timeout_s is None else timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except TimeoutError as error:
        raise VenueUnreachableError(f"{what}: no answer within {timeout_s:g} s") from error
    except VenueError as error:
        raise VenueError(one_line(f"{what}: {error}"), error.status) from error
    except RequestRejectedError as error:
        text = one_line(f"{what}: HTTP {error.status}: {error}")
        raise VenueError(text, error.status) from error
    except FAILURES as error:
        raise VenueError(one_line(f"{what}: {type(error).__name__}: {error}")) from error
