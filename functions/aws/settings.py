"""Configuration of the cloud's functions. Each knows only what it needs; none takes a key or a
credential from the environment, where whoever may look at a function sees them: secrets have names.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from functions.settings import DYNAMODB, PAPER, LimitSettings, SecretName, check_wallet
from runtime.settings import CloudWatchSettings
from venue.api_settings import no_signing_key

_GROUP_NAMES: Final = "^[a-zA-Z0-9_-]{1,32}(,[a-zA-Z0-9_-]{1,32})*$"


def _on_dynamodb(text: Any) -> Any:
    if text != DYNAMODB:
        raise ValueError(f"a function of the cloud has no disk: only {DYNAMODB} works here")
    return text


class FunctionSettings(LimitSettings, CloudWatchSettings):
    """Every variable that `control` reads, and all the others, too."""

    state: Annotated[str, BeforeValidator(_on_dynamodb)] = DYNAMODB

    private_key: Annotated[None, BeforeValidator(no_signing_key)] = None
    """The cloud's functions refuse it: whoever may look at a function sees its environment."""


class ReconcileSettings(FunctionSettings):
    """Every variable that `reconcile` reads."""

    reconcile_every_s: float = Field(default=10, ge=1, le=60)
    group_names: Annotated[str, Field(pattern=_GROUP_NAMES)] | None = None
    """The groups whose accounts these are, with commas; without it the one of GROUP."""
    api_credentials_secret: SecretName | None = None
    """Name or ARN of a secret: a JSON object with key, secret, passphrase and address."""

    @property
    def group_items(self) -> tuple[str, ...]:
        """Of each group what its live accounts share, and its paper accounts: as far as the
        accounts that are served are live or on paper."""
        ends = {"" if entry.live else PAPER for entry in self.entries}
        names = (self.group_names or self.group).split(",")
        return tuple(f"{name}{end}" for name in names for end in sorted(ends))

    @model_validator(mode="after")
    def _live_needs_credentials_and_a_wallet(self) -> Self:
        if self.live:
            if self.api_credentials_secret is None:
                raise ValueError("EXECUTION=live needs API_CREDENTIALS_SECRET")
            check_wallet(self.wallet)
        return self


class SettleSettings(FunctionSettings):
    """Every variable that `settle` reads."""

    redeem: bool = False
    """Whether winnings are paid out to the wallet: sends transactions, which only the key can."""
    private_key_secret: SecretName | None = None
    """Name or ARN of a secret whose text is the signing key; read only when it is needed."""

    @model_validator(mode="after")
    def _redeeming_needs_the_key_and_a_wallet(self) -> Self:
        if self.redeems:
            if self.private_key_secret is None:
                raise ValueError("REDEEM=true needs PRIVATE_KEY_SECRET (it sends transactions)")
            check_wallet(self.wallet)
        return self

    @property
    def redeems(self) -> bool:
        """On paper there is nothing to redeem."""
        return self.redeem and self.live
