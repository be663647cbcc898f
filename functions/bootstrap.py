"""The composition root: the store, the account at the venue and its records, from settings.

Used by the processes (worker, schedule), the cloud's functions and the command line. What only a
person can mend is a MisconfiguredError with one line that names the variable. A process ends with
it (`exiting_when_misconfigured`); a function fails with it.

1. Nothing here makes a call, but `opened_store` and what brings records with credentials.
2. Credentials of another signer than the wallet's are refused before the first question: to a
   stranger the venue answers for each order that it is not there. That they are the signer's, the
   venue itself is asked. What a wallet of the signer's is follows from the signer's address; a
   session key, which was let in otherwise, cannot be told from a stranger's key and is refused.
3. Whatever needs the official client imports it only when it is needed: that costs as much time and
   memory as all the rest together, and on paper, or with API credentials alone, nobody needs it.
   So does what waits, which the cloud's functions do not. And of the two stores only the one that
   is used is loaded: the SDK takes half a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import structlog
from pydantic import SecretStr

from functions.adapters.venue_records import LiveRecords, PublicRecords
from functions.core.account import TRADING_ENABLED, Account
from functions.core.claim import trader_of
from functions.core.configuration import Configuration, ConfigurationError
from functions.core.strategy_rules import StrategyNotUsableError
from functions.handlers.follow_group import GroupFollower, open_group
from functions.handlers.seed_configuration import seed_configuration
from functions.ports import GroupStore, Store, StoreMisconfiguredError, VenueRecords
from functions.settings import AccountSettings, ScheduleSettings, WorkerSettings
from functions.strategy_loading import load_strategy
from functions.strategy_trial import try_out
from runtime.settings import refuse_to_start
from strategies.interface import Strategy
from strategies.parameters import StrategyParameters
from venue.auth import Credentials
from venue.credentials import prove_credentials
from venue.errors import AccountRefusedError, VenueUnreachableError
from venue.rest import VenueReads
from venue.wallet import STRANGER, is_wallet_of

if TYPE_CHECKING:
    from venue.trading.login import TraderLogin

LOG_IN_TIMEOUT_S: Final = 20.0
_Settings = TypeVar("_Settings", bound=AccountSettings)
_Opened = TypeVar("_Opened")
_Attempt: TypeAlias = Callable[[_Settings], Awaitable[_Opened]]
_log = structlog.get_logger()


class MisconfiguredError(Exception):
    """What only a person can mend, and no settings class sees; one line naming the variable."""


@contextmanager
def exiting_when_misconfigured() -> Iterator[None]:
    """For processes: MisconfiguredError, the store's too, becomes one line and exit code 2."""
    try:
        yield
    except (MisconfiguredError, StoreMisconfiguredError) as error:
        refuse_to_start(str(error))


# -- the store -------------------------------------------------------------------------------------


@asynccontextmanager
async def unopened_stores(settings: AccountSettings) -> AsyncIterator[dict[str, Store]]:
    """Stores that have not made a call yet, by account. Raises StoreError, where no client can be
    made."""
    names = [entry.account for entry in settings.entries]
    if (file := settings.state_file) is not None:
        from functions.adapters.sqlite import store as sqlite  # noqa: PLC0415 - see above

        async with sqlite.open_stores(names, file, durable=settings.live) as on_this_machine:
            yield dict(on_this_machine)
        return
    from functions.adapters.dynamodb import store as dynamodb  # noqa: PLC0415 - see above

    async with dynamodb.open_stores(
        names,
        table=settings.state_table,
        decision_table=settings.decision_table,
        region=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url_dynamodb,
    ) as stores:
        yield dict(stores)


@asynccontextmanager
async def unopened_store(settings: AccountSettings) -> AsyncIterator[Store]:
    """The same of settings of one account."""
    async with unopened_stores(settings) as stores:
        yield stores[settings.account]


async def open_account(store: Store, settings: AccountSettings) -> Account:
    """Create what is missing of the account, and let it join the wallet that it trades with.

    Whoever may bring an account to claim something comes by here: before its first claim all others
    that trade with the wallet know of it. Raises StoreError: then it may not.
    """
    account = await store.open_account()
    if settings.live and settings.wallet is not None:
        await store.join_wallet(settings.wallet)
    if account.trading != TRADING_ENABLED:
        _log.warning("trading_halted", account=settings.account, reason=account.halt_reason)
    return account


async def reachable_stores(settings: AccountSettings, stack: AsyncExitStack) -> dict[str, Store]:
    """For processes: the same, open until the stack is closed; waits where no client can be made
    (credentials that nobody gives yet), exits 2 on what only a person can mend."""
    stores: dict[str, Store] = {}

    async def opened() -> None:
        stores.update(await stack.enter_async_context(unopened_stores(settings)))

    await store_reached(settings, opened)
    return stores


async def opened_accounts(
    each: Iterable[_Settings], opened: dict[str, _Opened], attempt: _Attempt[_Settings, _Opened]
) -> None:
    """Try those that are not among the `opened` yet, one after the other, and add them.

    One account whose item cannot be read, say, does not keep the others from being served: raises
    the first failure only where none is open by then. Always raises MisconfiguredError, and the
    store's: that is for a person before anything is started.
    """
    failures: list[Exception] = []
    for one in each:
        if one.account in opened:
            continue
        try:
            opened[one.account] = await attempt(one)
        except (MisconfiguredError, StoreMisconfiguredError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever fails here is tried again
            failures.append(error)
            if opened:
                what = f"{type(error).__name__}: {error}"
                _log.warning("account_not_opened", account=one.account, error=what)
    if failures and not opened:
        raise failures[0]


async def store_reached(settings: AccountSettings, attempt: Callable[[], Awaitable[None]]) -> None:
    """For processes: call `attempt` until it succeeds; exits 2 on what only a person can mend."""
    from runtime.retry import until_reachable  # noqa: PLC0415 - see the module's docstring

    async def tried() -> None:
        with exiting_when_misconfigured():  # here: what only a person can mend is not tried again
            await attempt()

    await until_reachable(settings.store_place, tried)


async def configured(store: Store, settings: WorkerSettings, worker_name: str) -> Configuration:
    """For workers, of settings of one account: the configuration in force, seeded from the
    environment if there is none.

    Raises StoreError; MisconfiguredError where the environment contradicts what is stored.
    """
    strategy = strategy_of(settings)
    try:
        configuration = await seed_configuration(
            store,
            account_name=settings.account,
            strategy=strategy.name,
            parameters=strategy.Parameters,
            seed=settings.account_configuration(),
            variables=settings.variables(),
            who=worker_name,
        )
    except ConfigurationError as error:
        raise MisconfiguredError(str(error)) from None
    if configuration.parameters != strategy.Parameters():  # with its defaults it has been tried
        _try(strategy, configuration.parameters, settings)
    return configuration


def strategy_of(settings: AccountSettings) -> type[Strategy]:
    """The strategy of settings of one account. Raises MisconfiguredError."""
    (entry,) = settings.entries
    try:
        return load_strategy(entry.strategy)
    except StrategyNotUsableError as error:
        raise MisconfiguredError(f"STRATEGIES: account {entry.account}: {error}") from None


def strategies_of(settings: AccountSettings) -> dict[str, type[Strategy]]:
    """By account; one strategy may be that of several. Raises MisconfiguredError."""
    found = {one.account: strategy_of(one) for one in settings.each()}
    first: dict[str, tuple[str, type[Strategy]]] = {}
    for account, strategy in found.items():
        before, same = first.setdefault(strategy.name, (account, strategy))
        if same is not strategy:
            raise MisconfiguredError(
                f"STRATEGIES: the strategies of {before} and {account} are both called"
                f" {strategy.name}, and are two; give one of them another name"
            )
    return found


def try_strategy(settings: AccountSettings) -> None:
    """Ask the strategy of settings of one account a few times before anything is started.

    Raises MisconfiguredError.
    """
    _try(strategy_of(settings), None, settings)


def _try(
    strategy: type[Strategy], parameters: StrategyParameters | None, settings: AccountSettings
) -> None:
    try:
        try_out(strategy, parameters)
    except StrategyNotUsableError as error:
        raise MisconfiguredError(f"STRATEGIES: account {settings.account}: {error}") from None


async def followed_group(store: Store, settings: WorkerSettings, worker_name: str) -> GroupFollower:
    """For workers, of settings of one account: the limits of its group, if there are any, seeded
    from the environment. Raises StoreError; MisconfiguredError where the environment contradicts
    what is stored."""
    group, names = store.group(settings.group_item), (settings.account,)
    try:
        limits = await open_group(group, names, settings.collective_variables(), worker_name)
    except ConfigurationError as error:
        raise MisconfiguredError(str(error)) from None
    return GroupFollower(group, limits, names)


def groups_of(settings: AccountSettings, stores: Mapping[str, Store]) -> dict[str, GroupStore]:
    """For reconciliation: by account, the group that it compares; each group once, with the first
    of its accounts."""
    compared: set[str] = set()
    groups: dict[str, GroupStore] = {}
    for one in settings.each():
        if one.account in stores and one.group_item not in compared:
            compared.add(one.group_item)
            groups[one.account] = stores[one.account].group(one.group_item)
    return groups


# -- the account at the venue, and its records -----------------------------------------------------


def trader_login(settings: AccountSettings, order_usd: Decimal = Decimal(0)) -> TraderLogin | None:
    """Who trades, None on paper. `order_usd` is what it must be able to pay."""
    if not settings.live or settings.private_key is None or settings.wallet is None:
        return None
    return _login(settings, settings.private_key, order_usd)


async def keyless_records(settings: ScheduleSettings) -> VenueRecords | None:
    """The venue's records of the account; on paper only what anybody may read.

    None when the signing key is needed for it (`key_records`): to redeem, or because there are no
    API credentials. Raises as `records_with_credentials`.
    """
    if not settings.live:
        return public_records(settings)
    credentials = settings.credentials()
    if credentials is None or settings.redeem:
        return None
    return await records_with_credentials(settings, credentials, "API_ADDRESS")


async def key_records(settings: ScheduleSettings) -> VenueRecords:
    """The same with the signing key, as `records_with_key`, within `LOG_IN_TIMEOUT_S`."""
    if settings.private_key is None:
        raise MisconfiguredError("EXECUTION=live needs PRIVATE_KEY and WALLET")
    try:
        async with asyncio.timeout(LOG_IN_TIMEOUT_S):
            return await records_with_key(settings, settings.private_key, redeem=settings.redeem)
    except TimeoutError:
        text = f"logging in at {settings.clob_url}: no answer within {LOG_IN_TIMEOUT_S:g} s"
        raise VenueUnreachableError(text) from None


def public_records(settings: AccountSettings) -> PublicRecords:
    """What anybody may read of the venue: resolutions."""
    return PublicRecords(settings.clob_url, settings.gamma_url)


async def records_with_credentials(
    settings: AccountSettings, credentials: Credentials, variable: str
) -> LiveRecords:
    """The account's records, by API credentials, which `variable` has brought.

    Raises MisconfiguredError when they are another account's, venue.errors.VenueError when the
    venue does not say whose they are.
    """
    wallet = settings.wallet or ""
    if not is_wallet_of(credentials.address, wallet):
        raise MisconfiguredError(f"{variable}: {STRANGER}")
    try:
        await prove_credentials(settings.clob_url, credentials, variable)
    except AccountRefusedError as refused:
        raise MisconfiguredError(str(refused)) from None
    return LiveRecords(
        VenueReads(settings.clob_url, settings.gamma_url, credentials),
        trader_of(credentials.address, wallet),
    )


async def records_with_key(
    settings: AccountSettings,
    private_key: SecretStr,
    *,
    redeem: bool,
    variable: str = "PRIVATE_KEY",
) -> LiveRecords:
    """The account's records, by API credentials that the venue gives for the signing key, which
    `variable` has brought. Not bounded in time.

    Raises polymarket.errors.PolymarketError or venue.errors.VenueError when the venue gives no
    usable answer, MisconfiguredError when it refuses the account.
    """
    from functions.adapters.redeemer import records_of  # noqa: PLC0415 - see the module's docstring

    try:
        return await records_of(_login(settings, private_key), redeem=redeem)
    except AccountRefusedError as refused:
        raise MisconfiguredError(str(refused).replace("PRIVATE_KEY", variable)) from None


def _login(
    settings: AccountSettings, private_key: SecretStr, order_usd: Decimal = Decimal(0)
) -> TraderLogin:
    from venue.trading.login import TraderLogin  # noqa: PLC0415 - see the module's docstring

    return TraderLogin(
        private_key=private_key,
        wallet=settings.wallet or "",
        clob_url=settings.clob_url,
        gamma_url=settings.gamma_url,
        order_usd=order_usd,
    )
