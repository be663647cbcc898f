"""The venue as configuration: its URLs, and API credentials of whoever only reads."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from runtime.settings import EnvironmentSettings, url_of
from venue.auth import Credentials, secret_bytes
from venue.wallet import checked_address

CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1: a signing key is a number from 1 to one less than this (SEC 2, 2.4.1)."""
SECRET_LENGTH_MAX: Final = 10_000
"""The longest are AWS' session tokens, with a few thousand characters."""
_KEY: Final = re.compile(r"(0[xX])?([0-9a-fA-F]{64})")


def _without_space_around(value: object) -> object:
    """Secret stores keep a file as it is, and a file ends with a line end."""
    if isinstance(value, SecretStr):
        return SecretStr(value.get_secret_value().strip())
    return value.strip() if isinstance(value, str) else value


def _header_text(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("not plain text without spaces (a line end is none either)")
    return value


def _no_key(value: SecretStr, *, bare: bool) -> SecretStr:
    """What is sent with every question must not be the signing key; `bare`: without 0x, too."""
    written = _KEY.fullmatch(value.get_secret_value())
    if written is not None and (bare or written[1]):
        raise ValueError("this looks like a signing key, which belongs nowhere but in PRIVATE_KEY")
    return value


def _no_hex_key(value: SecretStr) -> SecretStr:
    return _no_key(value, bare=False)


def _no_bare_key(value: SecretStr) -> SecretStr:
    return _no_key(value, bare=True)


def _base64_text(value: SecretStr) -> SecretStr:
    secret_bytes(value.get_secret_value())
    return value


def signing_key(value: SecretStr) -> SecretStr:
    """The key as 0x and 64 hex digits. Raises ValueError, without the value.

    What signs is less strict: it fills up what is shorter, and is then another signer.
    """
    written = _KEY.fullmatch(value.get_secret_value().strip())
    if written is None:
        raise ValueError("not a signing key (32 bytes: 64 hex digits, with or without 0x)")
    if not 0 < int(written[2], 16) < CURVE_ORDER:
        raise ValueError("not a signing key (no such number on the curve)")
    return SecretStr(f"0x{written[2].lower()}")


def no_signing_key(value: object) -> None:
    """For a process that must not hold one. Raises ValueError, without the value."""
    if value is not None:
        raise ValueError("this process must not hold a signing key: unset it")


SigningKey = Annotated[SecretStr, AfterValidator(signing_key)]
PlainSecret = Annotated[
    SecretStr, Field(min_length=1, max_length=SECRET_LENGTH_MAX), AfterValidator(_header_text)
]
HeaderSecret = Annotated[
    PlainSecret, BeforeValidator(_without_space_around), AfterValidator(_no_hex_key)
]
"""An API passphrase. The venue's are 64 hex digits, as a signing key is."""
ApiKey = Annotated[HeaderSecret, AfterValidator(_no_bare_key)]
Base64Secret = Annotated[ApiKey, AfterValidator(_base64_text)]
WalletAddress = Annotated[
    str, BeforeValidator(_without_space_around), AfterValidator(checked_address)
]
SignerAddress = WalletAddress
"""The signer's address, that the API key was made for."""


HttpUrl = Annotated[str, url_of("https", "http")]


class ClobSettings(EnvironmentSettings):
    """Where the venue's order book API is."""

    clob_url: HttpUrl = "https://clob.polymarket.com"
    """The venue's order book API."""


class GammaSettings(EnvironmentSettings):
    """Where the venue lists its markets."""

    gamma_url: HttpUrl = "https://gamma-api.polymarket.com"
    """The venue's listing of markets."""


class ApiCredentials(BaseModel):
    """The four parts; as JSON, what a secret named `API_CREDENTIALS_SECRET` holds."""

    model_config = ConfigDict(hide_input_in_errors=True)

    key: ApiKey
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
