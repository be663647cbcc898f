"""The feeders' configuration, from the environment. Defaults: the real venue, one series."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from feeder.core.market.session_table import BOOK_AGE_MAX_MS
from protocol.series import Series, parse_series
from runtime.nats_settings import NatsSettings
from runtime.settings import StageName, url_of
from venue.api_settings import Base64Secret, HeaderSecret, SignerAddress, no_signing_key
from venue.auth import Credentials


def _series_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = dict.fromkeys(name.strip() for name in value.split(","))
    return tuple(parse_series(name) for name in names)


class MarketStream(BaseSettings):
    """Which markets, and where the venue tells of them: the market feeder's and the recorder's."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    market_ws_url: Annotated[str, url_of("wss", "ws")] = (
        "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    )
    gamma_url: Annotated[str, url_of("https", "http")] = "https://gamma-api.polymarket.com"
    series: Annotated[tuple[Series, ...], NoDecode, BeforeValidator(_series_list)] = Field(
        default="btc-15m", validate_default=True
    )
    """Comma separated, e.g. `btc-15m,eth-15m`."""


class FeederSettings(MarketStream, NatsSettings):
    """Every variable the market feeder reads. No key: it could not trade if it wanted to."""

    clob_url: Annotated[str, url_of("https", "http")] = "https://clob.polymarket.com"
    max_book_age_ms: int = Field(default=BOOK_AGE_MAX_MS, ge=100, le=10_000)
    """How late one line may be before its connection is replaced; the workers' limit."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=9101, ge=0, le=65_535)
    """0 takes any free port; the log says which."""
    cloudwatch_stage: StageName | None = None
    """When set, metrics are told as CloudWatch's embedded format on stdout, under this stage."""


class UserFeederSettings(NatsSettings):
    """Every variable the user feeder reads: API credentials, which cannot sign an order."""

    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)

    user_ws_url: Annotated[str, url_of("wss", "ws")] = (
        "wss://ws-subscriptions-clob.polymarket.com/ws/user"
    )
    clob_url: Annotated[str, url_of("https", "http")] = "https://clob.polymarket.com"
    api_key: HeaderSecret
    api_secret: Base64Secret
    api_passphrase: HeaderSecret
    api_address: SignerAddress
    private_key: Annotated[None, BeforeValidator(no_signing_key)] = None
    """Refused: it has no business in this process."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=9103, ge=0, le=65_535)
    """0 takes any free port; the log says which."""
    cloudwatch_stage: StageName | None = None
    """When set, metrics are told as CloudWatch's embedded format on stdout, under this stage."""

    def credentials(self) -> Credentials:
        """What the venue wants to see."""
        return Credentials(
            address=self.api_address,
            key=self.api_key.get_secret_value(),
            secret=self.api_secret.get_secret_value(),
            passphrase=self.api_passphrase.get_secret_value(),
        )
