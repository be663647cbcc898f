"""The accounts of a worker, opened: the store, what is in force, and where orders go.

1. Those that trade live share the wallet, and one client that is logged in with it. Those on paper
   share the books that their orders are filled from, and nothing else.
2. A worker starts once one of its accounts can be served; what only one of them meets (an item that
   cannot be read, a venue that is away while paper goes on) keeps no other from trading. It joins
   when it can.
3. What only a person can mend ends the start, before anything trades.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

import structlog

from functions.adapters.paper_exchange import PaperBooks, PaperExchange
from functions.bootstrap import (
    MisconfiguredError,
    configured,
    exiting_when_misconfigured,
    followed_group,
    open_account,
    opened_accounts,
    store_reached,
    strategy_of,
    trader_login,
)
from functions.handlers.follow_configuration import ConfigurationInForce
from functions.handlers.follow_group import GroupFollower
from functions.handlers.trading_account import OpenedAccount
from functions.handlers.verify_markets import MarketVerifier
from functions.ports import Exchange, Store, StoreMisconfiguredError
from functions.settings import WorkerSettings
from runtime.line_throttle import LineThrottle
from runtime.retry import until_reachable

JOIN_EVERY_S: Final = 5.0
_log = structlog.get_logger()


class WorkerExchanges:
    """Where the orders of each account go."""

    def __init__(self, verifier: MarketVerifier) -> None:
        self._verifier = verifier
        self._paper_books = PaperBooks()
        self._live: Exchange | None = None

    async def of(self, settings: WorkerSettings, in_force: ConfigurationInForce) -> Exchange:
        """Of settings of one account. Raises venue.errors.VenueError, and exits 2 (see `log_in`).

        Live, the wallet must be able to pay an order of the first account that asks.
        """
        login = trader_login(settings, order_usd=in_force.now.settings.size_usd)
        if login is None:
            return PaperExchange(
                settings.paper_delay_ms,
                lambda: in_force.now.gate,
                self._verifier.taker_delay_ms,
                self._paper_books,
            )
        if self._live is None:
            # Here, because they cost what all the rest costs together, and on paper nobody needs
            # them.
            from functions.adapters.live_exchange import LiveExchange  # noqa: PLC0415 - see above
            from venue.trading.direct_orders import DirectOrders  # noqa: PLC0415 - see above
            from venue.trading.login import log_in  # noqa: PLC0415 - see above
            from venue.trading.official_orders import OfficialOrders  # noqa: PLC0415 - see above

            client = await log_in(login)
            made_by = DirectOrders if settings.order_client == "direct" else OfficialOrders
            self._live = LiveExchange(client, made_by(client))
        return self._live

    async def close(self) -> None:
        """Release connections."""
        if self._live is not None:
            await self._live.close()


class WorkerAccounts:
    """Opens them, waiting for what all need. Health asks it what it waits for meanwhile."""

    def __init__(self, settings: WorkerSettings, worker_name: str) -> None:
        self._settings = settings
        self._worker_name = worker_name
        self._in_force: dict[str, ConfigurationInForce] = {}
        self._groups: dict[str, GroupFollower] = {}
        self._opened: dict[str, OpenedAccount] = {}
        self._late: dict[str, str] = {}
        self.waits_for: str | None = settings.store_place
        """What no account can be served without; None once one can."""

    async def open(
        self, stores: Mapping[str, Store], exchanges: WorkerExchanges
    ) -> list[OpenedAccount]:
        """Those that can be served now; at least one. Exits 2 on what only a person can mend."""
        settings, each = self._settings, self._settings.each()
        read = partial(self._configured, stores)
        await store_reached(settings, lambda: opened_accounts(each, self._in_force, read))
        self.waits_for = f"the venue at {settings.clob_url}"
        readable = [one for one in each if one.account in self._in_force]

        async def at_the_venue() -> None:
            with exiting_when_misconfigured():
                opening = partial(self._open, stores, exchanges)
                await opened_accounts(readable, self._opened, opening)

        await until_reachable(self.waits_for, at_the_venue)
        self.waits_for = None
        return list(self._opened.values())

    def joining(
        self,
        stores: Mapping[str, Store],
        exchanges: WorkerExchanges,
        join: Callable[[OpenedAccount], Awaitable[None]],
    ) -> list[Coroutine[Any, Any, None]]:
        """For each account that is not open yet: try until it is, then `join` it. None ends."""
        late = [one for one in self._settings.each() if one.account not in self._opened]
        self._late = dict.fromkeys((one.account for one in late), "not opened yet")
        return [self._join(one, stores, exchanges, join) for one in late]

    def problems(self) -> dict[str, str]:
        """Of accounts that could not be opened yet, by name."""
        return dict(self._late)

    async def _join(
        self,
        settings: WorkerSettings,
        stores: Mapping[str, Store],
        exchanges: WorkerExchanges,
        join: Callable[[OpenedAccount], Awaitable[None]],
    ) -> None:
        name, failures = settings.account, LineThrottle()
        structlog.contextvars.bind_contextvars(account=name)
        while name in self._late:
            await asyncio.sleep(JOIN_EVERY_S)
            try:
                if name not in self._in_force:
                    self._in_force[name] = await self._configured(stores, settings)
                opened = await self._open(stores, exchanges, settings)
            except (MisconfiguredError, StoreMisconfiguredError, SystemExit) as error:
                # The others trade by now.
                self._late[name] = f"refused: {error}; mend it and start the worker again"
                _log.critical("account_refused", error=str(error))
                await asyncio.Event().wait()
            except Exception as error:  # noqa: BLE001 - whatever fails here is tried again
                self._late[name] = f"not opened: {type(error).__name__}: {error}"
                if (unlogged := failures.admit()) is not None:
                    _log.warning(
                        "account_not_opened", error=self._late[name], unlogged_before=unlogged
                    )
            else:
                del self._late[name]
                _log.info("account_joined", execution=settings.execution)
                await join(opened)

    async def _configured(
        self, stores: Mapping[str, Store], settings: WorkerSettings
    ) -> ConfigurationInForce:
        store = stores[settings.account]
        await open_account(store, settings)
        in_force = ConfigurationInForce(await configured(store, settings, self._worker_name))
        self._groups[settings.account] = await followed_group(store, settings, self._worker_name)
        return in_force

    async def _open(
        self,
        stores: Mapping[str, Store],
        exchanges: WorkerExchanges,
        settings: WorkerSettings,
    ) -> OpenedAccount:
        store, in_force = stores[settings.account], self._in_force[settings.account]
        return OpenedAccount(
            name=settings.account,
            strategy=strategy_of(settings),
            store=store,
            exchange=await exchanges.of(settings, in_force),
            in_force=in_force,
            group=self._groups[settings.account],
            wallet=(settings.wallet or "") if settings.live else "",
            problem_of_store=store.problem,
        )
