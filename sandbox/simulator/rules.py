"""What the venue refuses, in its own words. Pure.

Sources of the texts: [docs] the venue's page of error codes, [seen] quoted by several users from
live answers, [client] what the official client looks for, [ours] not known, written for this
simulation.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Final

from protocol.fee import FeeSchedule
from sandbox.simulator.market import Market
from sandbox.simulator.order import Order
from sandbox.simulator.text import PRICE_TEXT, decimal_text, size_text
from sandbox.simulator.wallets import DEPOSIT, PLAIN, deposit_wallet_of

# Decimals of (USD, shares) in a market BUY, by tick size. Source: rounding tables of the venue's
# clients; the 2 is the venue's rule for market BUYs at every tick.
_SHARE_DECIMALS: Final = {1000: 3, 100: 4, 50: 5, 25: 6, 10: 5, 1: 6}
_USD_DECIMALS: Final = 2
_MARKETABLE_BUY_MIN_E6: Final = 1_000_000

INVALID_PAYLOAD: Final = "Invalid order payload"  # [docs]
WRONG_OWNER: Final = "the order owner has to be the owner of the API KEY"  # [docs]
WRONG_SIGNER: Final = "the order signer address has to be the address of the API KEY"  # [docs]
INVALID_SIGNATURE: Final = "invalid signature"  # [seen]
NOT_READY: Final = "the market is not yet ready to process new orders"  # [docs]
NO_MATCH: Final = (  # [docs]
    "no orders found to match with FAK order. "
    "FAK orders are partially filled or killed if no match is found."
)
NOT_FILLED: Final = (
    "order couldn't be fully filled. FOK orders are fully filled or killed."  # [docs]
)
RESTARTING: Final = "the matching engine is restarting"  # [ours], status 425 [docs]
DISABLED: Final = "Trading is currently disabled. Check polymarket.com for updates"  # [docs]
POST_ONLY_CODE: Final = "post_only_mode"  # [seen], without a text
CANCEL_ONLY_CODE: Final = "cancel_only"  # [docs]
BLOCKED_PAGE: Final = (  # [ours], that it is a page of Cloudflare's [seen]
    "<html><head><title>Attention Required! | Cloudflare</title></head>"
    "<body>Sorry, you have been blocked</body></html>"
)
RATE_LIMITED: Final = "Too Many Requests"  # [docs]
INTERNAL: Final = "could not process the request"  # [ours]
MAKER_NOT_ALLOWED: Final = (  # [seen]
    "maker address not allowed, please use the deposit wallet flow"
)
NOT_MODELLED: Final = "simulated venue: only FAK and FOK BUY orders are modelled"  # [ours]


class Refused(Exception):  # noqa: N818 - a refusal is an answer of the venue, not an error of ours
    """HTTP 400 with this text."""


def no_orderbook(token_id: str) -> str:
    """[seen] Unknown token, or a market that has ended."""
    return f"the orderbook {token_id} does not exist"


def duplicated(order_id: str) -> str:
    """[docs]"""
    return f"order {order_id} is invalid. Duplicated."


def not_cancelled(*, held: bool) -> str:
    """[ours] for an order that is held, [seen] for one that is gone."""
    if held:
        return "order can't be canceled while its matching is delayed"
    return "order can't be found - already canceled or matched"


def check_identity(
    order: Order, api_key: str, address: str, grandfathered: Collection[str]
) -> None:
    """Who owns, makes and signed the order; `address` is the API key's. Raises Refused.

    Only deposit wallets may trade, and the plain ones that are `grandfathered` (lower case).
    """
    if order.owner != api_key:
        raise Refused(WRONG_OWNER)
    if order.side != "BUY" or order.order_type not in ("FAK", "FOK"):
        raise Refused(NOT_MODELLED)
    if order.signature_type == DEPOSIT:
        wallet = deposit_wallet_of(address).lower()
    elif order.signature_type == PLAIN and order.maker in grandfathered:
        wallet = address
    else:
        raise Refused(MAKER_NOT_ALLOWED)
    if order.signer != wallet:
        raise Refused(WRONG_SIGNER)
    if order.recovered != address or order.maker != wallet:
        raise Refused(INVALID_SIGNATURE)


def limit_price_e4(order: Order, tick_size_e4: int) -> int:
    """The highest price a BUY accepts, on the tick grid. Raises Refused.

    A market BUY states USD and shares, and the shares are rounded down, so USD / shares lies at or
    a hair above the price that was meant: the limit is the grid price below, and it must explain
    the shares up to one unit of their coarsest rounding.
    """
    share_unit_e6 = 10 ** (6 - min(4, _SHARE_DECIMALS[tick_size_e4]))
    usd_e10, shares_e6 = order.maker_amount_e6 * 10_000, order.taker_amount_e6
    price_e4 = usd_e10 // (shares_e6 * tick_size_e4) * tick_size_e4
    if not tick_size_e4 <= price_e4 <= 10_000 - tick_size_e4 or usd_e10 >= price_e4 * (
        shares_e6 + share_unit_e6
    ):
        price = decimal_text(round(Decimal(order.maker_amount_e6) / shares_e6, 18))
        raise Refused(  # [docs]
            f"order {order.order_id} is invalid. Price ({price}) breaks minimum tick size rule: "
            f"{PRICE_TEXT[tick_size_e4]}"
        )
    return price_e4


def check_decimals(order: Order, tick_size_e4: int) -> None:
    """Accuracy of a market BUY's amounts. Raises Refused."""
    shares = _SHARE_DECIMALS[tick_size_e4]
    if order.maker_amount_e6 % 10 ** (6 - _USD_DECIMALS) or order.taker_amount_e6 % 10 ** (
        6 - shares
    ):
        raise Refused(  # [seen]
            "invalid amounts, the market buy orders maker amount supports a max accuracy of "
            f"{_USD_DECIMALS} decimals, taker amount a max of {shares} decimals"
        )


def check_minimum(order: Order, market: Market, limit_e4: int) -> None:
    """A BUY that would match at once must be worth 1 USD. Raises Refused.

    `orderMinSize` (5 shares) is applied to resting orders only, which are not modelled.
    """
    book = market.books[0 if market.books[0].token_id == order.token_id else 1]
    asks = book.asks()
    marketable = bool(asks) and asks[0][0] <= limit_e4
    if marketable and order.maker_amount_e6 < _MARKETABLE_BUY_MIN_E6:
        raise Refused(  # [seen]
            "invalid amount for a marketable BUY order "
            f"(${size_text(order.maker_amount_e6)}), min size: $1"
        )


def check_funds(needed_e6: int, balance_e6: int, allowance_e6: int, exchange: str) -> None:
    """Balance and allowance for an order including its fee. Raises Refused. [seen]"""
    amount = f"sum of matched orders: 0, order amount (inc. fees): {needed_e6}"
    if needed_e6 > balance_e6:
        raise Refused(
            "not enough balance / allowance: the balance is not enough -> "
            f"balance: {balance_e6}, {amount}"
        )
    if needed_e6 > allowance_e6:
        raise Refused(
            "not enough balance / allowance: the allowance is not enough -> "
            f"spender: {exchange}, allowance: {allowance_e6}, {amount}"
        )


def phantom_lock(needed_e6: int, balance_e6: int) -> str:
    """[seen] The balance is there, and counts as spent by orders that have long been matched."""
    return (
        "not enough balance / allowance: the balance is not enough -> "
        f"balance: {balance_e6}, sum of matched orders: {balance_e6}, "
        f"order amount (inc. fees): {needed_e6}"
    )


def fee_e6(fee: FeeSchedule, price_e4: int, size_e6: int) -> int:
    """Taker fee in 1e-6 USD, rounded up: rate x (p(1-p))^exponent a share.

    In integers, unlike `protocol.fee.taker_fee_e6`, so that a test can hold the two together.
    """
    rate_numerator, rate_denominator = fee.rate.as_integer_ratio()
    curve_e8 = price_e4 * (10_000 - price_e4)
    numerator, denominator = size_e6 * rate_numerator, rate_denominator
    for _ in range(fee.exponent):
        numerator, denominator = numerator * curve_e8, denominator * 10**8
    return -(-numerator // denominator)
