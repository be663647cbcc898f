"""The configuration of worker, schedule, cloud functions and command line, from the environment.

Defaults: the real venue, paper execution.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from functions.core.collective_configuration import COLLECTIVE_SETTINGS, CollectiveFields
from functions.core.configuration import (
    SETTINGS,
    AccountConfiguration,
    GateFields,
    LimitFields,
    SizeFields,
)
from functions.core.group import AccountEntry, Execution, chosen, is_file, parse_strategies
from functions.strategy_loading import known_names
from runtime.nats_settings import NatsSettings
from runtime.settings import (
    CertificateFile,
    CloudWatchSettings,
    EnvironmentSettings,
    MetricsSettings,
    Port,
)
from runtime.trust import check_small_file
from venue.api_settings import (
    ApiKey,
    Base64Secret,
    ClobSettings,
    GammaSettings,
    HeaderSecret,
    HttpUrl,
    PlainSecret,
    SignerAddress,
    SigningKey,
    WalletAddress,
)
from venue.auth import Credentials


def _like(pattern: str, wanted: str) -> AfterValidator:
    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(wanted)
        return text

    return AfterValidator(check)


_NAME = "[a-zA-Z0-9_.-]{3,255}"
TableName = Annotated[
    str,
    _like(
        f"{_NAME}|arn:[a-z-]{{3,20}}:dynamodb:[a-z0-9-]{{1,63}}:[0-9]{{12}}:table/{_NAME}",
        "not the name of a table: 3 to 255 letters, digits, dots, hyphens, underscores; or its ARN",
    ),
]
"""As the Amazon DynamoDB Developer Guide has it ("Naming rules")."""
RegionName = Annotated[
    str,
    _like("[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", "a name as eu-west-1 is wanted"),
]
"""A part of a host's name; an emulator may have any."""
SecretName = Annotated[
    str,
    _like("[a-zA-Z0-9/_+=.@:!-]{1,2048}", "not the name of a secret, nor its ARN"),
]
PAPER: Final = "-paper"
"""How the item of a group's paper accounts ends."""
GroupName = Annotated[
    str,
    _like(
        f"(?!.*{PAPER}$)[a-zA-Z0-9_-]{{1,32}}",
        f"at most 32 letters, digits, hyphens and underscores, and not ...{PAPER}",
    ),
]
DEFAULT_STRATEGY: Final = "book_imbalance_crypto"
SdkFile = Annotated[str, AfterValidator(check_small_file)]


DYNAMODB: Final = "dynamodb"
_SQLITE: Final = "sqlite:///"


def _state_place(text: str) -> str:
    """Raises ValueError for what names no store."""
    name = text.removeprefix(_SQLITE)
    if text == DYNAMODB or (text.startswith(_SQLITE) and Path(name).name not in ("", "..")):
        if name.endswith("/") or not name.isprintable() or set(name) & set("?#%"):
            raise ValueError("after the slashes stands the name of a file, without ?, # and %")
        return text
    raise ValueError(
        f"{DYNAMODB} is wanted, or a file on this machine: its name after sqlite: and three"
        " slashes, four where it begins at the root"
    )


StateName = Annotated[str, AfterValidator(_state_place)]


class AwsSettings(EnvironmentSettings):
    """Where the tables are, and how the SDK gets there.

    All but the region and DynamoDB's endpoint the SDK reads by itself. Here they are only looked
    at, because what is wrong with them it notices with each call, as an error of the table, or it
    waits for ever.
    """

    aws_region: RegionName = "eu-west-1"
    """Where the tables are."""
    aws_default_region: RegionName | None = None
    """Of what the SDK asks beside DynamoDB."""
    aws_endpoint_url_dynamodb: HttpUrl | None = None
    """Of the tables, where they are not AWS's."""
    aws_endpoint_url: HttpUrl | None = None
    """Of every other service."""
    aws_endpoint_url_sts: HttpUrl | None = None
    """Of one that the SDK asks for credentials."""
    aws_endpoint_url_sso: HttpUrl | None = None
    """Likewise."""
    aws_endpoint_url_sso_oidc: HttpUrl | None = None
    """Likewise."""
    aws_endpoint_url_secrets_manager: HttpUrl | None = None
    """Of the one that is asked for the key's secret."""
    aws_ca_bundle: CertificateFile | None = None
    """Certificates that the SDK trusts instead of its own."""
    requests_ca_bundle: CertificateFile | None = None
    """Likewise."""
    aws_access_key_id: PlainSecret | None = None
    """Credentials as the SDK finds them: plain text without spaces and line ends."""
    aws_secret_access_key: PlainSecret | None = None
    """Likewise."""
    aws_session_token: PlainSecret | None = None
    """Likewise."""
    aws_security_token: PlainSecret | None = None
    """Likewise."""
    aws_config_file: SdkFile = Field(default="~/.aws/config", validate_default=True)
    """Profiles; at most 10 MB, and so are a profile's `ca_bundle` and `web_identity_token_file`. A
    role with `mfa_serial` is refused: no process can ask for a code."""
    aws_shared_credentials_file: SdkFile = Field(
        default="~/.aws/credentials", validate_default=True
    )
    """Their credentials; likewise."""
    aws_web_identity_token_file: SdkFile | None = None
    """A token that stands for credentials; likewise."""
    aws_container_authorization_token_file: SdkFile | None = None
    """Likewise, in a container."""
    aws_credential_file: SdkFile | None = None
    """What the SDK's forerunners read, and it still does."""


def _check_known(strategy: str) -> None:
    """Raises ValueError, without the name: it may be a secret in the wrong variable.

    A file is not opened: who only serves its account need not have it.
    """
    if not is_file(strategy) and strategy not in (names := known_names()):
        raise ValueError(
            f"no such strategy; there is: {', '.join(names)}; "
            "a file is written ./my_strategy.py:MyStrategy"
        )


class AccountSettings(AwsSettings, ClobSettings, GammaSettings):
    """Whose accounts, in which tables, at which venue: what every function needs to know."""

    _entries: tuple[AccountEntry, ...] = PrivateAttr(
        default=parse_strategies(DEFAULT_STRATEGY, "paper")
    )

    state: StateName = DYNAMODB
    """Which store: DynamoDB's tables, or one SQLite file of this machine."""
    state_table: TableName = "streaming-executor-state"
    """Where the accounts are: limits, claims, ledger."""
    decision_table: TableName = Field(default="streaming-executor-decisions", validate_default=True)
    """The log of decisions, which trading does not need; another table than STATE_TABLE."""

    execution: Execution = "paper"
    """Of entries of STRATEGIES that name none. Live accounts need PRIVATE_KEY and WALLET, which
    they share."""
    strategies: str | None = None
    """The accounts that are served, at most 50, commas between: `[account=]strategy`, with `@paper`
    or `@live` after it. Without it `book_imbalance_crypto`. A strategy is a built-in, an entry
    point or a file (`./my_strategy.py:MyStrategy`). The account is named by what stands before `=`,
    else after the strategy; on paper `-paper` is appended. Each has limits, claims and P&L of its
    own."""
    strategy: str | None = None
    """The earlier name of STRATEGIES, read until the next release; refused where both differ."""
    group: GroupName = "group"
    """Of which group of accounts these are, live and paper apart: a group may have limits over all
    of its accounts. It also begins the name of the consumer of books that workers share. At most 32
    letters, digits, hyphens and underscores, not ending in `-paper`."""
    private_key: SigningKey | None = None
    """The signing key, 64 hex digits; never logged. WALLET must be one of its signer's wallets. The
    schedule takes API_KEY and its three companions instead, unless it redeems."""
    wallet: WalletAddress | None = None
    """The address that holds the funds, as your profile on the venue shows it: normally a deposit
    wallet."""

    @field_validator("strategies", "strategy")
    @classmethod
    def _names_accounts(cls, text: str | None, others: ValidationInfo) -> str | None:
        if text is not None:
            parse_strategies(text, others.data.get("execution", "paper"), _check_known)
        return text

    @field_validator("decision_table")
    @classmethod
    def _a_table_of_its_own(cls, name: str, others: ValidationInfo) -> str:
        state = others.data.get("state_table", "")
        both_arns = ":" in name and ":" in state  # which name region and account, too
        same = name == state or (
            name.rpartition("/")[2] == state.rpartition("/")[2] and not both_arns
        )
        if same:
            raise ValueError(
                "the same table as STATE_TABLE: decisions expire, claims and ledger must not"
            )
        return name

    @model_validator(mode="after")
    def _one_list_of_accounts(self) -> Self:
        told = self.strategies or self.strategy or DEFAULT_STRATEGY
        if self.strategies and self.strategy and self.strategies != self.strategy:
            raise ValueError(
                "STRATEGIES and STRATEGY differ: unset STRATEGY, which STRATEGIES replaces"
            )
        self._entries = parse_strategies(told, self.execution)
        return self

    @property
    def state_file(self) -> Path | None:
        """The SQLite file that is the store; None: DynamoDB is."""
        return None if self.state == DYNAMODB else Path(self.state.removeprefix(_SQLITE))

    @property
    def store_place(self) -> str:
        """Where the store is, as a sentence names it."""
        if (file := self.state_file) is not None:
            return f"the store {file}"
        where = self.aws_endpoint_url_dynamodb or f"DynamoDB in {self.aws_region}"
        return f"table {self.state_table} at {where}"

    @property
    def entries(self) -> tuple[AccountEntry, ...]:
        """The accounts that are served; never none."""
        return self._entries

    @property
    def live(self) -> bool:
        """Whether any of them trades live: that needs a wallet, and who may look at it."""
        return any(entry.live for entry in self._entries)

    @property
    def account(self) -> str:
        """Whose claims and books these are, of settings of one account (`each`, `only`)."""
        (entry,) = self._entries
        return entry.account

    @property
    def group_item(self) -> str:
        """What counts for the account's group, of settings of one account: paper is never counted
        with live."""
        return self.group if self.live else f"{self.group}{PAPER}"

    def each(self) -> tuple[Self, ...]:
        """The settings of each account that is served, as if it were the only one."""
        return tuple(self._of(entry) for entry in self._entries)

    def only(self, account: str | None) -> Self:
        """The settings of one account: the only one when none is named.

        Raises ValueError with one sentence.
        """
        return self._of(chosen(self._entries, account))

    def _of(self, entry: AccountEntry) -> Self:
        one = self.model_copy(update={"execution": entry.execution})
        one._entries = (entry,)
        return one


class LimitSettings(AccountSettings, LimitFields):
    """What the account may do. Needs no key: whoever only looks has none."""


def check_wallet(wallet: str | None) -> None:
    """Raises ValueError where there is none: live, nothing works without it."""
    if wallet is None:
        raise ValueError(
            "EXECUTION=live needs WALLET (the address that holds your funds, "
            "as your Polymarket profile shows it)"
        )


class TradingSettings(AccountSettings):
    """Of those who speak to the venue in the account's name."""

    @model_validator(mode="after")
    def _live_needs_a_key_and_a_wallet(self) -> Self:
        if self.live:
            if self.private_key is None:
                raise ValueError(
                    "EXECUTION=live needs PRIVATE_KEY (the signing key); "
                    "unset EXECUTION to trade on paper"
                )
            check_wallet(self.wallet)
        return self


class GateSettings(EnvironmentSettings, GateFields):
    """Which books may be traded on."""


class WorkerSettings(
    CollectiveFields,
    SizeFields,
    GateSettings,
    LimitSettings,
    NatsSettings,
    TradingSettings,
    MetricsSettings,
    CloudWatchSettings,
):
    """Every variable a worker reads. Amounts in USD, times as their names say."""

    paper_delay_ms: int = Field(default=250, ge=0, le=30_000)
    """How long paper orders are held where the market itself names no taker delay."""
    order_client: Literal["direct", "official"] = "direct"
    """Who makes and sends live orders: the worker itself, or the venue's official client, which
    takes longer over the same bytes."""

    metrics_port: Port = 9102

    @model_validator(mode="after")
    def _an_order_fits(self) -> Self:
        most = self.collective_exposure_max_usd
        if most is not None and self.size_usd > most:
            raise ValueError(
                "SIZE_USD: more than COLLECTIVE_EXPOSURE_MAX_USD: no order could ever be made"
            )
        return self

    def account_configuration(self) -> AccountConfiguration:
        """What version 1 of the account's configuration begins with."""
        return AccountConfiguration(**{name: getattr(self, name) for name in SETTINGS})

    def collective_variables(self) -> dict[str, Any]:
        """The collective limits that a person has set, by name."""
        return {
            name: getattr(self, name)
            for name in COLLECTIVE_SETTINGS
            if name in self.model_fields_set
        }

    def variables(self) -> dict[str, Any]:
        """Those of the account's settings that a person has set, by name."""
        return {name: getattr(self, name) for name in SETTINGS if name in self.model_fields_set}


class ApiSettings(EnvironmentSettings):
    """API credentials, which read an account and cannot sign an order: all four, or none."""

    api_key: ApiKey | None = None
    """Of the trading account: reads it, signs nothing; never logged."""
    api_secret: Base64Secret | None = None
    """Likewise."""
    api_passphrase: HeaderSecret | None = None
    """Likewise."""
    api_address: SignerAddress | None = None
    """The signer's address, that the API key was made for."""

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        names = ("api_key", "api_secret", "api_passphrase", "api_address")
        missing = [name.upper() for name in names if getattr(self, name) is None]
        if 0 < len(missing) < len(names):
            raise ValueError(f"{', '.join(missing)}: missing beside the other API credentials")
        return self

    def credentials(self) -> Credentials | None:
        """What the venue wants to see."""
        if not (self.api_key and self.api_secret and self.api_passphrase and self.api_address):
            return None
        return Credentials(
            address=self.api_address,
            key=self.api_key.get_secret_value(),
            secret=self.api_secret.get_secret_value(),
            passphrase=self.api_passphrase.get_secret_value(),
        )


class ScheduleSettings(LimitSettings, ApiSettings, MetricsSettings):
    """Every variable that the scheduled functions read."""

    reconcile_every_s: float = Field(default=10, ge=1, le=3_600)
    """How often orders whose end is not known are asked about."""
    settle_every_s: float = Field(default=10, ge=1, le=3_600)
    """How often positions of ended markets are settled."""
    redeem: bool = False
    """Whether winnings are paid out to the wallet: sends transactions, which only the key can."""

    metrics_port: Port = 9104

    @property
    def redeems(self) -> bool:
        """On paper there is nothing to redeem."""
        return self.redeem and self.live

    @model_validator(mode="after")
    def _live_needs_credentials_and_a_wallet(self) -> Self:
        if self.live:
            if self.private_key is None and self.redeem:
                raise ValueError("REDEEM=true needs PRIVATE_KEY (it sends transactions)")
            if self.private_key is None and self.api_key is None:
                raise ValueError(
                    "EXECUTION=live needs PRIVATE_KEY (the signing key), or "
                    "API_KEY, API_SECRET, API_PASSPHRASE and API_ADDRESS"
                )
            check_wallet(self.wallet)
        return self
