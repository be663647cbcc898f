"""The venue as configuration: its URLs, and API credentials of whoever only reads."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from runtime.settings import EnvironmentSettings, url_of
from venue.auth import Credentials, secret_bytes


def _header_text(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("not plain text without spaces")
    return value


def _base64_text(value: SecretStr) -> SecretStr:
    secret_bytes(value.get_secret_value())
    return value


def no_signing_key(value: object) -> None:
    """For a process that must not hold one. Raises ValueError, without the value."""
    if value is not None:
        raise ValueError("this process must not hold a signing key: unset it")


HeaderSecret = Annotated[SecretStr, Field(min_length=1), AfterValidator(_header_text)]
Base64Secret = Annotated[HeaderSecret, AfterValidator(_base64_text)]
SignerAddress = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
"""The signer's address, that the API key was made for."""


HttpUrl = Annotated[str, url_of("https", "http")]


class ClobSettings(EnvironmentSettings):
    """Where the venue's order book API is."""

    clob_url: HttpUrl = "https://clob.polymarket.com"


class GammaSettings(EnvironmentSettings):
    """Where the venue lists its markets."""

    gamma_url: HttpUrl = "https://gamma-api.polymarket.com"


class ApiCredentials(BaseModel):
    """The four parts; as JSON, what a secret named `API_CREDENTIALS_SECRET` holds."""

    model_config = ConfigDict(hide_input_in_errors=True)

    key: HeaderSecret
    secret: Base64Secret
    passphrase: HeaderSecret
    address: SignerAddress

    def credentials(self) -> Credentials:
        """What the venue wants to see."""
        return Credentials(
            address=self.address,
            key=self.key.get_secret_value(),
            secret=self.secret.get_secret_value(),
            passphrase=self.passphrase.get_secret_value(),
        )
