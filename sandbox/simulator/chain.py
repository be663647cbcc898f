"""As much of a chain's node as a plain wallet needs to redeem: JSON-RPC at `/rpc`.

A transaction is the client's own, signed and decoded: its signer is recovered, its chain and nonce
are checked. One thing it can do: `redeemPositions` of a resolved market on one of the collateral
adapters, which burns the wallet's settled shares of both tokens and pays them out. Whatever else it
does is reverted, as a node does with a call that no contract understands.

Redeeming twice is harmless: the second time pays nothing. Shares count once their trade is mined.

A deposit wallet has its transactions sent by the relayer (`relayer`), to the same effect.

Not modelled: blocks (but for the time of the latest), gas that costs something, the adapter's
approval, replaced and lost transactions, contract reads (`eth_call`), and redemption of the newer
position ids, which goes through another contract. All of these are answered with an error or a
revert, never with a guess.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
import rlp  # type: ignore[import-untyped]
from aiohttp import web
from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_account import Account
from eth_utils.crypto import keccak

from protocol.units import SIZE_SCALE
from sandbox.simulator.clob import VENUE, answer
from sandbox.simulator.contracts import (
    CHAIN_ID,
    COLLATERAL,
    COLLATERAL_ADAPTER,
    NEG_RISK_COLLATERAL_ADAPTER,
)
from sandbox.simulator.journal import VenueRedemption
from sandbox.simulator.market import Market
from sandbox.simulator.venue import Venue

_REDEEM: Final = keccak(text="redeemPositions(address,bytes32,bytes32,uint256[])")[:4]
_REDEEM_TYPES: Final = ("address", "bytes32", "bytes32", "uint256[]")
_GAS: Final = 200_000
_GAS_PRICE_WEI: Final = 30 * 10**9


class RpcError(Exception):
    """A JSON-RPC error; codes and texts are those of common nodes."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Call(msgspec.Struct, frozen=True):
    """The body of a request."""

    method: str
    params: list[Any]
    id: int | str | None = None


_decoder = msgspec.json.Decoder(Call)


async def post_rpc(request: web.Request) -> web.Response:
    """POST /rpc: one JSON-RPC call (batches are not modelled)."""
    try:
        call = _decoder.decode(await request.read())
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        refused = {"code": -32600, "message": str(wrong)}
        return answer({"jsonrpc": "2.0", "id": None, "error": refused})
    try:
        outcome: dict[str, object] = {
            "result": _result(request.app[VENUE], call.method, call.params)
        }
    except RpcError as refusal:
        outcome = {"error": {"code": refusal.code, "message": str(refusal)}}
    return answer({"jsonrpc": "2.0", "id": call.id, **outcome})


def _result(venue: Venue, method: str, params: list[Any]) -> object:
    match method, params:
        case "eth_getBlockByNumber", ["latest", *_]:
            return {"number": hex(len(venue.receipts)), "timestamp": hex(venue.now_ms() // 1000)}
        case "eth_chainId" | "eth_gasPrice", []:
            return hex(CHAIN_ID if method == "eth_chainId" else _GAS_PRICE_WEI)
        case "eth_getTransactionCount", [str(address), *_]:
            return hex(venue.account(address).nonce)
        case "eth_estimateGas", [{"to": str(to), "data": str(call)}, *_]:
            if redeemed(venue, to, bytes.fromhex(call.removeprefix("0x"))) is None:
                raise RpcError(3, "execution reverted")
            return hex(_GAS)
        case "eth_sendRawTransaction", [str(raw)]:
            return _send(venue, raw)
        case "eth_getTransactionReceipt", [str(hash_)]:
            return venue.receipts.get(hash_)
    raise RpcError(-32601, f"simulated venue: {method} is not modelled")


def _send(venue: Venue, raw: str) -> str:
    """Take a transaction; it has its effect now, or `faults.receipt_ms` later."""
    try:
        encoded = bytes.fromhex(raw.removeprefix("0x"))
        nonce, _, _, to, _, call, v, _, _ = rlp.decode(encoded)
        sender: str = Account.recover_transaction(encoded)
    except Exception as error:  # rlp and eth_account raise a dozen unrelated types
        raise RpcError(-32602, "invalid transaction (legacy ones are modelled)") from error
    if (int.from_bytes(v) - 35) // 2 != CHAIN_ID:
        raise RpcError(-32000, "invalid chain id for signer")
    account = venue.account(sender)
    if int.from_bytes(nonce) != account.nonce:
        order = "low" if int.from_bytes(nonce) < account.nonce else "high"
        raise RpcError(-32000, f"nonce too {order}")
    account.nonce += 1
    hash_ = "0x" + keccak(encoded).hex()
    venue.spawn(_mine(venue, hash_, sender.lower(), "0x" + to.hex(), call))
    return hash_


async def _mine(venue: Venue, hash_: str, sender: str, to: str, call: bytes) -> None:
    await asyncio.sleep(venue.faults.receipt_ms / 1000)
    market = redeemed(venue, to, call)
    reverted = market is None or venue.chance.hit("revert", venue.faults.revert)
    if market is not None and not reverted:
        redeem(venue, hash_, sender, market)
    venue.receipts[hash_] = {
        "transactionHash": hash_,
        "status": "0x0" if reverted else "0x1",
        "gasUsed": hex(_GAS),
        "effectiveGasPrice": hex(_GAS_PRICE_WEI),
        "from": sender,
        "to": to,
        "blockNumber": hex(len(venue.receipts) + 1),
    }
    venue.notice.changed()


def redeemed(venue: Venue, to: str, call: bytes) -> Market | None:
    """The resolved market that a call redeems, None for a call that would be reverted."""
    if call[:4] != _REDEEM:
        return None
    try:
        collateral, _, condition, _ = abi_decode(_REDEEM_TYPES, call[4:])
    except DecodingError:
        return None
    market = venue.markets.get("0x" + condition.hex())
    if market is None or not market.resolved_at(venue.now_ms()):
        return None
    adapter = NEG_RISK_COLLATERAL_ADAPTER if market.neg_risk else COLLATERAL_ADAPTER
    right = (to.lower(), collateral.lower()) == (adapter.lower(), COLLATERAL.lower())
    return market if right else None


def redeem(venue: Venue, hash_: str, address: str, market: Market) -> None:
    """Burn the wallet's settled shares of both tokens, and pay for them."""
    now_ms, size_e6, payout_e6 = venue.now_ms(), 0, 0
    for book, paid in zip(market.books, market.payouts or (), strict=True):
        held_e6 = 0
        for trade in venue.journal.trades.values():
            mine = (trade.maker_address, trade.token_id) == (address, book.token_id)
            if mine and trade.on_chain():
                trade.redeemed_at_ms = now_ms
                held_e6 += trade.fill.size_e6
        size_e6 += held_e6
        payout_e6 += held_e6 * int(paid * SIZE_SCALE) // SIZE_SCALE
    venue.account(address).balance_e6 += payout_e6
    venue.journal.redemptions.append(
        VenueRedemption(
            transaction_hash=hash_,
            address=address,
            condition_id=market.condition_id,
            size_e6=size_e6,
            payout_e6=payout_e6,
            at_ms=now_ms,
        )
    )
