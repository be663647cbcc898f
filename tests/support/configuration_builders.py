"""Configurations for tests."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from functions.core.configuration import (
    AccountConfiguration,
    ConfigurationRow,
    configuration_row,
)
from tests.support.trading_builders import MADE_AT_MS


class TunedParameters(BaseModel):
    """Of a strategy that is only tuned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edge_min_ticks: float = Field(default=2.0, ge=0, le=50)
    levels: int = Field(default=5, ge=1, le=20)


def a_row(
    version: int = 1,
    *,
    who: str = "tester@here",
    why: str = "because",
    made_at_ms: int = MADE_AT_MS,
    parameters: BaseModel | None = None,
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
