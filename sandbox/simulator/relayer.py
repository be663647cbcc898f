"""The venue's relayer, as far as a deposit wallet needs it: it sends the transactions of a wallet
that has no gas.

A batch of calls is signed by the wallet's owner (EIP-712, the wallet's own domain), with the
wallet's next nonce and a deadline. What a call can do is what a transaction can do in `chain`:
redeem. A batch with any other call fails as a whole, and so does one that a fault reverts.

`/submit` wants a relayer API key (`Venue.issue_relayer_key`); the questions are free, as the client
asks them. Not modelled: builder keys, Safe and proxy wallets, quotas, replaced transactions.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any, Final

import msgspec
from aiohttp import web
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from sandbox.simulator.chain import redeem, redeemed
from sandbox.simulator.clob import VENUE, answer, error
from sandbox.simulator.contracts import CHAIN_ID, DEPOSIT_WALLET_FACTORY
from sandbox.simulator.venue import Venue
from sandbox.simulator.wallets import deposit_wallet_of

_BATCH_TYPES: Final = {
    "Batch": [
        {"name": "wallet", "type": "address"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
        {"name": "calls", "type": "Call[]"},
    ],
    "Call": [
        {"name": "target", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "data", "type": "bytes"},
    ],
}


class _Call(msgspec.Struct):
    target: str
    value: str
    data: str

    def octets(self) -> bytes:
        """What is called, with what."""
        return bytes.fromhex(self.data.removeprefix("0x"))


class _Batch(msgspec.Struct, rename="camel"):
    deposit_wallet: str
    deadline: str
    calls: list[_Call]


class _Submission(msgspec.Struct, rename="camel"):
    type: str
    to: str
    sender: str = msgspec.field(name="from")
    nonce: str = ""
    signature: str = ""
    deposit_wallet_params: _Batch | None = None


class _RefusedError(Exception):
    """The relayer takes it not; the text is its own."""


_decode: Final = msgspec.json.Decoder(_Submission).decode


async def get_deployed(request: web.Request) -> web.Response:
    """GET /deployed?address=&type=: whether a wallet is there. Only deposit wallets are."""
    deployed = request.app[VENUE].is_deployed(request.query.get("address", ""))
    return answer({"deployed": deployed and request.query.get("type") == "WALLET"})


async def get_parameters(request: web.Request) -> web.Response:
    """GET /v1/account/transactions/params?address=&type=: the next nonce of the owner's wallet."""
    owner = request.query.get("address", "")
    if request.query.get("type") != "WALLET":
        return error("simulated venue: only deposit wallets are modelled")
    try:
        nonce = request.app[VENUE].account(deposit_wallet_of(owner)).nonce
    except ValueError:
        return error("invalid address")
    return answer({"address": owner, "nonce": str(nonce)})


async def get_transaction(request: web.Request) -> web.Response:
    """GET /v1/account/transactions/{id}"""
    known = request.app[VENUE].relayed.get(request.match_info["transaction_id"])
    return error("transaction not found", 404) if known is None else answer(known)


async def submit(request: web.Request) -> web.Response:
    """POST /submit: a batch of a deposit wallet, or the making of one."""
    venue = request.app[VENUE]
    key, owner = (request.headers.get(f"RELAYER_API_KEY{end}", "") for end in ("", "_ADDRESS"))
    if venue.relayer_keys.get(key) != owner.lower():
        return error("invalid authorization", 401)
    try:
        submission = _decode(await request.read())
        transaction = _taken(venue, submission)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as wrong:
        return error(f"invalid submission: {wrong}")
    except _RefusedError as refused:
        return error(str(refused))
    return answer(
        {"transactionID": transaction, "transactionHash": "", "state": "STATE_NEW"},
    )


def _taken(venue: Venue, submission: _Submission) -> str:
    """The id of what was submitted. Raises _RefusedError, and ValueError for what is malformed."""
    if submission.to.lower() != DEPOSIT_WALLET_FACTORY.lower():
        raise _RefusedError("simulated venue: only deposit wallets are modelled")
    wallet, batch = deposit_wallet_of(submission.sender), submission.deposit_wallet_params
    if submission.type == "WALLET-CREATE":
        calls = []
    elif submission.type == "WALLET" and batch is not None:
        _check(venue, submission, batch, wallet)
        calls = [(each.target, each.octets()) for each in batch.calls]
    else:
        raise _RefusedError(f"simulated venue: {submission.type} is not modelled")
    transaction = str(uuid.uuid4())
    venue.relayed[transaction] = {
        "transaction_id": transaction,
        "transaction_hash": "",
        "state": "STATE_NEW",
        "error_msg": None,
        "wallet": wallet,
    }
    venue.spawn(_mine(venue, transaction, wallet, calls))
    return transaction


def _check(venue: Venue, submission: _Submission, batch: _Batch, wallet: str) -> None:
    nonce, on_chain = int(submission.nonce), venue.account(wallet).nonce
    if batch.deposit_wallet.lower() != wallet.lower() or not venue.is_deployed(wallet):
        raise _RefusedError("wallet is not the signer's, or is not deployed")
    if any(
        each["state"] == "STATE_NEW" and each["wallet"] == wallet for each in venue.relayed.values()
    ):
        raise _RefusedError("wallet has in-flight action")
    if nonce != on_chain:
        raise _RefusedError(f"batch nonce {nonce} does not match on-chain nonce {on_chain}")
    if int(batch.deadline) <= time.time():
        raise _RefusedError("deadline has passed")
    if _signer(submission, batch, wallet) != submission.sender.lower():
        raise _RefusedError("invalid signature")


def _signer(submission: _Submission, batch: _Batch, wallet: str) -> str:
    calls: list[dict[str, Any]] = [
        {"target": each.target, "value": int(each.value), "data": each.octets()}
        for each in batch.calls
    ]
    try:
        signable = encode_typed_data(
            {
                "name": "DepositWallet",
                "version": "1",
                "chainId": CHAIN_ID,
                "verifyingContract": wallet,
            },
            _BATCH_TYPES,
            {
                "wallet": wallet,
                "nonce": int(submission.nonce),
                "deadline": int(batch.deadline),
                "calls": calls,
            },
        )
        recovered: str = Account.recover_message(signable, signature=submission.signature)
    except Exception:  # noqa: BLE001 - whatever cannot be recovered from is not a signature
        return ""
    return recovered.lower()


async def _mine(
    venue: Venue, transaction: str, wallet: str, calls: list[tuple[str, bytes]]
) -> None:
    await asyncio.sleep(venue.faults.receipt_ms / 1000)
    shown = venue.relayed[transaction]
    markets = [redeemed(venue, to, call) for to, call in calls]
    failed = None in markets or venue.chance.hit("revert", venue.faults.revert)
    hash_ = "0x" + keccak(text=transaction).hex()
    if not calls:
        venue.undeployed.discard(wallet.lower())
    else:
        venue.account(wallet).nonce += 1
    if not failed:
        for market in markets:
            if market is not None:
                redeem(venue, hash_, wallet.lower(), market)
    shown["transaction_hash"] = hash_
    shown["state"] = "STATE_FAILED" if failed else "STATE_CONFIRMED"
    shown["error_msg"] = "execution reverted" if failed else None
    venue.notice.changed()
