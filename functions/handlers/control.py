"""Looking at an account, halting it and resuming it: for the command line and the cloud's function.

1. Halting is a condition that every later claim meets, not a message to the workers.
2. Resuming lifts the halt that was seen, never a newer one.
3. Each reads what stands there afterwards: what is answered is what is stored.
"""

from __future__ import annotations

import time
from typing import Final

from functions.core.account import TRADING_ENABLED, TRADING_HALTED, Account, Limits, utc_day
from functions.core.account_status import Status, status_of
from functions.core.claim import UNRESOLVED
from functions.handlers.limits_in_force import limits_in_force
from functions.ports import Store, StoreError, StoreMisconfiguredError

REASON_LENGTH_MAX: Final = 300
"""The account item is written and paid as a whole with every claim."""
REASON_WANTED: Final = f"1 to {REASON_LENGTH_MAX} printable characters are wanted"


class NotDoneError(Exception):
    """What was asked for did not happen; the text is one line."""


class NotKnownError(NotDoneError):
    """Nobody knows whether it happened: the store did not answer."""


def halt_reason(text: str) -> str:
    """`text` on one line. Raises ValueError when it cannot be a reason."""
    reason = " ".join(text.split())
    if not reason or len(reason) > REASON_LENGTH_MAX or not reason.isprintable():
        raise ValueError(REASON_WANTED)
    return reason


async def status(store: Store, name: str, limits: Limits) -> Status:
    """The account `name` as it is now, by the limits in force, or by `limits` before there are any.

    Raises StoreError.
    """
    limits = await limits_in_force(store, limits)
    account = await store.account()
    now_ms = time.time_ns() // 1_000_000
    return status_of(name, account, limits, now_ms, utc_day(now_ms))


async def halt(store: Store, reason: str) -> Account:
    """Halt the account, creating it when there is none, and see that it is halted.

    Once this has returned, the condition of every later claim fails, whichever worker makes it.
    Raises NotDoneError when somebody else has resumed trading meanwhile, NotKnownError;
    StoreMisconfiguredError when no request could do it.
    """
    try:
        await store.halt(reason)
        account = await store.account()
    except StoreMisconfiguredError:
        raise
    except StoreError as error:
        raise _not_known(TRADING_HALTED, error) from error
    if (account.trading, account.halt_reason) != (TRADING_HALTED, reason):
        raise NotDoneError(f"written, but by now somebody else has set {_trading_text(account)}")
    return account


def still_there(account: Account) -> str:
    """What a halt leaves as it is, in a sentence; empty: nothing."""
    live = [claim for claim in account.claims.values() if not claim.ended]
    waiting = sum(claim.state in UNRESOLVED for claim in live)
    held = len(live) - waiting
    said = []
    if waiting:
        said.append(
            f"{waiting} {'order was' if waiting == 1 else 'orders were'} claimed before, and may "
            "still be posted or filled."
        )
    if held:
        said.append(f"{held} {'position stays' if held == 1 else 'positions stay'} until settled.")
    return " ".join(said)


async def resume(store: Store, halt_id: str | None = None) -> tuple[Account, Account]:
    """Lift the halt that is there, or the one named only; the account before and after.

    Raises NotDoneError when it was not this halt that could be lifted: there is a newer one;
    NotKnownError; StoreError when the account cannot be read, and nothing was tried.
    """
    before = await store.account()
    if halt_id not in (None, before.halt_id):
        raise NotDoneError(f"not resumed: somebody else has set {_trading_text(before)}")
    try:
        lifted = await store.resume(before)
        account = await store.account()
    except StoreError as error:
        raise _not_known(TRADING_ENABLED, error) from error
    if not lifted and account.trading != TRADING_ENABLED:
        raise NotDoneError(f"not resumed: somebody else has set {_trading_text(account)}")
    return before, account


def _not_known(wanted: str, error: StoreError) -> NotKnownError:
    return NotKnownError(f"NOT KNOWN whether trading is {wanted} now, so run this again: {error}")


def _trading_text(account: Account) -> str:
    why = f": {account.halt_reason}" if account.halt_reason else ""
    return f"trading to {account.trading}{why}"
