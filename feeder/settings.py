"""The feeders' configuration, from the environment. Defaults: the real venue, one series."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from feeder.core.market.session_table import BOOK_AGE_MAX_MS
from protocol.book import PUBLISHED_BIDS_MIN, PUBLISHED_LEVELS_MAX
from protocol.series import Series, parse_series
from runtime.nats_settings import NatsSettings
from runtime.settings import CloudWatchSettings, EnvironmentSettings, MetricsSettings, Port, url_of
from venue.api_settings import (
    ApiKey,
    Base64Secret,
    ClobSettings,
    GammaSettings,
    HeaderSecret,
    SignerAddress,
    WalletAddress,
    no_signing_key,
)
from venue.auth import Credentials
from venue.wallet import STRANGER, is_wallet_of


def _series_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = dict.fromkeys(name.strip() for name in value.split(","))
    try:
        return tuple(parse_series(name) for name in names)
    except ValueError:  # whose text shows the name, which may be a key in the wrong variable
        raise ValueError("names as btc-15m, eth-15m or btc-5m are wanted, commas between") from None


class MarketChannelSettings(GammaSettings):
    """Which markets, and where the venue sends them: the market feeder's and the recorder's."""

    model_config = SettingsConfigDict(arbitrary_types_allowed=True)

    market_ws_url: Annotated[str, url_of("wss", "ws")] = (
        "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    )
    """The venue's channel of books."""
    series: Annotated[tuple[Series, ...], NoDecode, BeforeValidator(_series_list)] = Field(
        default="btc-15m", validate_default=True
    )
    """Which markets are followed, e.g. `btc-15m,eth-15m,btc-4h`. Which series there are the venue's
    listing says: `executor doctor` asks it."""


class FeederSettings(
    MarketChannelSettings, ClobSettings, NatsSettings, MetricsSettings, CloudWatchSettings
):
    """Every variable the market feeder reads. No key: it could not trade if it wanted to."""

    max_book_age_ms: int = Field(default=BOOK_AGE_MAX_MS, ge=100, le=10_000)
    """In the feeder: how late one line may be before its connection is replaced."""
    published_bids: int = Field(
        default=PUBLISHED_LEVELS_MAX, ge=PUBLISHED_BIDS_MIN, le=PUBLISHED_LEVELS_MAX
    )
    """How many bids of each book are published at most: as many as any strategy looks at, so that
    messages are no longer than they need be. `executor paper` and `executor live` find it out;
    elsewhere to be set once all workers are of a version that knows it."""
    metrics_port: Port = 9101


class UserChannelSettings(EnvironmentSettings):
    """Where the venue sends an account's fills."""

    user_ws_url: Annotated[str, url_of("wss", "ws")] = (
        "wss://ws-subscriptions-clob.polymarket.com/ws/user"
    )
    """The venue's channel of an account's trades."""


class UserFeederSettings(
    UserChannelSettings, ClobSettings, NatsSettings, MetricsSettings, CloudWatchSettings
):
    """Every variable the user feeder reads: API credentials, which cannot sign an order."""

    api_key: ApiKey
    api_secret: Base64Secret
    api_passphrase: HeaderSecret
    api_address: SignerAddress
    wallet: WalletAddress | None = None
    """In the user feeder it may be left out; where it is given, API_ADDRESS must be its signer."""
    private_key: Annotated[None, BeforeValidator(no_signing_key)] = None
    """The user feeder refuses to start where it is set."""
    metrics_port: Port = 9103

    @model_validator(mode="after")
    def _wallet_is_the_signers(self) -> Self:
        if self.wallet is not None and not is_wallet_of(self.api_address, self.wallet):
            raise ValueError(f"API_ADDRESS: {STRANGER}")
        return self

    def credentials(self) -> Credentials:
        """What the venue wants to see."""
        return Credentials(
            address=self.api_address,
            key=self.api_key.get_secret_value(),
            secret=self.api_secret.get_secret_value(),
            passphrase=self.api_passphrase.get_secret_value(),
        )
