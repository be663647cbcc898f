"""The configuration of the alerts, from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator

from feeder.settings import MarketChannelSettings
from functions.settings import LimitSettings
from runtime.addresses import checked_url
from runtime.nats_settings import NatsSettings
from runtime.settings import EnvironmentSettings, MetricsSettings, Port
from venue.api_settings import no_signing_key

URL_LENGTH_MAX = 2_048


def _check_ping(secret: SecretStr) -> SecretStr:
    """A URL that is asked as it is: unlike the bases of other settings it may have a query."""
    url = secret.get_secret_value()
    if len(url) > URL_LENGTH_MAX:
        raise ValueError(f"not a URL: at most {URL_LENGTH_MAX} characters are wanted")
    checked_url(url.partition("?")[0], ("https", "http"))
    if not urlsplit(url).query.isprintable() or " " in url or "#" in url:
        raise ValueError("not a URL: it has a space, a # or a control character in it")
    return secret


class AlertUrls(EnvironmentSettings):
    """Where alerts go, and whom silence alarms. All of it is secret."""

    alert_urls: SecretStr | None = None
    """Where messages go: URLs as apprise has them, with commas or spaces between; never logged.
    `executor alert test` says whether they can be used."""
    heartbeat_url: Annotated[SecretStr, AfterValidator(_check_ping)] | None = None
    """Asked each minute while all is well, so that somebody else alarms when nobody asks."""


class AlertSettings(AlertUrls, LimitSettings, NatsSettings, MarketChannelSettings, MetricsSettings):
    """Every variable that the alerts read. No key: they could not trade if they wanted to."""

    executor_data: Path = Field(default=Path("executor-data"))
    """The data folder of the system on this machine; alerts keep what was told there."""
    metrics_port: Port = 9106

    @field_validator("private_key", mode="before")
    @classmethod
    def _no_key(cls, value: object) -> None:
        """Refused: nothing in this process trades."""
        no_signing_key(value)
