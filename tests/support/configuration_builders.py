"""Configurations for tests."""

from __future__ import annotations

from typing import Any

import msgspec

from functions.core.account import Limits
from functions.core.configuration import (
    AccountConfiguration,
    Configuration,
    ConfigurationRow,
    configuration_row,
)
from functions.core.gate import GateConfig
from functions.core.trade import OrderConfig
from functions.ports import Store
from strategies.book_imbalance import BookImbalance
from strategies.interface import Strategy
from strategies.parameters import StrategyParameters, parameter
from tests.support.trading_builders import MADE_AT_MS


class TunedParameters(StrategyParameters):
    """Of a strategy that is only tuned."""

    edge_min_ticks: float = parameter(2.0, "The least edge.", ge=0, le=50)
    levels: int = parameter(5, "How many count.", ge=1, le=20)


def a_configuration(
    *,
    version: int = 0,
    limits: Limits | None = None,
    gate: GateConfig | None = None,
    order: OrderConfig | None = None,
    strategy: type[Strategy] = BookImbalance,
) -> Configuration:
    """As it is followed; by default of version 0, which an account without any takes."""
    settings = AccountConfiguration()
    limits = settings.limits() if limits is None else limits
    return Configuration(
        version=version,
        strategy=strategy.name,
        settings=settings,
        parameters=strategy.Parameters(),
        limits=msgspec.structs.replace(limits, config_version=version),
        gate=settings.gate_config() if gate is None else gate,
        order=OrderConfig() if order is None else order,
    )


async def seed(store: Store) -> None:
    """Version 1, as the first worker of `book_imbalance_crypto` makes it."""
    await store.open_account()
    assert await store.set_configuration(a_row(parameters=BookImbalance.Parameters()), 0)


def a_row(
    version: int = 1,
    *,
    who: str = "tester@here",
    why: str = "because",
    made_at_ms: int = MADE_AT_MS,
    parameters: StrategyParameters | None = None,
    strategy: str = "book_imbalance_crypto",
    **settings: Any,
) -> ConfigurationRow:
    return configuration_row(
        AccountConfiguration(**settings),
        TunedParameters() if parameters is None else parameters,
        version=version,
        strategy=strategy,
        who=who,
        why=why,
        made_at_ms=made_at_ms,
    )
