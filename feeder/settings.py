"""The feeder's configuration, from the environment. Defaults: the real venue, one series."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from feeder.core.sessions import TOKENS_MAX, TOKENS_PER_SERIES_MAX
from protocol.series import Series, parse_series
from runtime.settings import url_of


def _series_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = dict.fromkeys(name.strip() for name in value.split(","))
    series = tuple(parse_series(name) for name in names)
    most = TOKENS_MAX // TOKENS_PER_SERIES_MAX
    if len(series) > most:
        raise ValueError(
            f"{len(series)} series are too many for the {TOKENS_MAX} tokens of one connection: "
            f"at most {most} a feeder"
        )
    return series


class FeederSettings(BaseSettings):
    """Every variable a feeder reads. It holds no key: it could not trade if it wanted to."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    nats_url: Annotated[str, url_of("nats", "tls", "ws", "wss")] = "nats://127.0.0.1:4222"
    market_ws_url: Annotated[str, url_of("wss", "ws")] = (
        "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    )
    gamma_url: Annotated[str, url_of("https", "http")] = "https://gamma-api.polymarket.com"
    series: Annotated[tuple[Series, ...], NoDecode, BeforeValidator(_series_list)] = Field(
        default="btc-15m", validate_default=True
    )
    """Comma separated, e.g. `btc-15m,eth-15m`."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=9101, ge=0, le=65_535)
    """0 takes any free port; the log says which."""
