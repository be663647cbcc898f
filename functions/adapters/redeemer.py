"""The account's records with the signing key: logging in for them, and redeeming winnings.

To be imported only where the key is used: with it comes the official client.
"""

from __future__ import annotations

import time
from typing import Final

import structlog
from polymarket import AsyncSecureClient

from functions.adapters.venue_records import LiveRecords, raising_records_error
from functions.core.claim import trader_of
from functions.ports import MinedTransaction, RecordsError
from venue.rest import VenueReads
from venue.trading.login import TraderLogin, api_credentials, secure_client
from venue.trading.official_client import bounded_call, receipt_of

REDEEM_TIMEOUT_S: Final = 20.0
"""Six requests one after the other, to three servers."""
MINED_WITHIN_S: Final = 3_600.0
"""A transaction that has no receipt by then was replaced or lost."""
SENT_MAX: Final = 64
ASKED_AT_ONCE: Final = 4
MINED_TIMEOUT_S: Final = 5.0
"""For all that are asked about at once: gas is counted when there is time for it."""
_log = structlog.get_logger()


class ClientRedeemer:
    """`functions.adapters.venue_records.Redeemer` with the official client.

    A wallet that is the signer's own address sends transactions, and pays their gas; of those that
    this process has sent the receipts are asked for. Wallets of other kinds (deposit wallet, proxy,
    Safe) go through the venue's relayer, which pays, and wants an API key of its own.
    """

    def __init__(self, client: AsyncSecureClient) -> None:
        self._client = client
        self._sent: dict[str, tuple[str, float]] = {}
        """transaction -> (condition id, when it was sent, monotonic); without a receipt yet."""

    async def redeem(self, condition_id: str) -> None:
        """Submit, and wait for no confirmation. Raises RecordsError, also when it is not known
        whether the request arrived. Twice is harmless, but may cost gas twice."""
        with raising_records_error():
            handle = await bounded_call(
                f"redeeming {condition_id}",
                self._client.redeem_positions(condition_id=condition_id),
                REDEEM_TIMEOUT_S,
            )
        relayed = handle.transaction_id is not None
        _log.info(
            "redeem_sent",
            condition_id=condition_id,
            transaction=handle.transaction_hash,
            paid_by="relayer" if relayed else "wallet",
        )
        if not relayed and handle.transaction_hash is not None:
            self._sent[handle.transaction_hash] = condition_id, time.monotonic()
            while len(self._sent) > SENT_MAX:
                self._give_up(next(iter(self._sent)))

    async def mined(self) -> tuple[MinedTransaction, ...]:
        """See `functions.ports.VenueRecords.mined`. Raises RecordsError when nothing could be
        told."""
        mined: list[MinedTransaction] = []
        until_s = time.monotonic() + MINED_TIMEOUT_S
        for transaction in list(self._sent)[:ASKED_AT_ONCE]:
            condition_id, sent_at_s = self._sent.pop(transaction)
            receipt = None
            try:
                with raising_records_error():
                    receipt = await bounded_call(
                        f"receipt of {transaction}",
                        receipt_of(self._client, transaction),
                        max(0.0, until_s - time.monotonic()),
                    )
            except RecordsError:
                if not mined:
                    raise
                return tuple(mined)
            finally:
                if receipt is None:  # again, after the others
                    self._sent[transaction] = condition_id, sent_at_s
            if receipt is not None:
                mined.append(
                    MinedTransaction(
                        condition_id=condition_id,
                        transaction=transaction,
                        reverted=receipt.reverted,
                        gas_wei=receipt.gas_wei,
                    )
                )
            elif time.monotonic() - sent_at_s > MINED_WITHIN_S:
                self._give_up(transaction)
        return tuple(mined)

    def _give_up(self, transaction: str) -> None:
        condition_id, _ = self._sent.pop(transaction)
        _log.warning("redeem_not_mined", condition_id=condition_id, transaction=transaction)

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()


async def records_of(login: TraderLogin, *, redeem: bool) -> LiveRecords:
    """The account's records, with API credentials that the venue gives the key for; the key stays
    in use only to `redeem`.

    Raises as `venue.trading.login.secure_client`.
    """
    client = await secure_client(login)
    if not redeem:
        await client.close()
    return LiveRecords(
        VenueReads(login.clob_url, login.gamma_url, api_credentials(client)),
        trader_of(client.signer, login.wallet),
        redeemer=ClientRedeemer(client) if redeem else None,
    )
