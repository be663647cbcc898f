"""The console's variables: those of who looks at the accounts, and where the page is served."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, SecretStr, model_validator

from functions.settings import LimitSettings
from runtime.addresses import check_host
from runtime.nats_settings import NatsSettings
from runtime.settings import Port

KEYS: Final = ("PRIVATE_KEY", "API_KEY", "API_SECRET", "API_PASSPHRASE", "API_ADDRESS")
"""What a page needs not have, it cannot lose."""
TOKEN_LENGTH_MIN: Final = 32


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_unspecified(host: str) -> bool:
    """Whether it is every address of this machine."""
    return host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


class ConsoleSettings(LimitSettings, NatsSettings):
    """Every variable that the console reads."""

    console_host: Annotated[str, AfterValidator(check_host)] = "127.0.0.1"
    """An address of this machine; one that others can reach needs CONSOLE_TOKEN, too."""
    console_port: Port = 8765
    """At which port; `executor paper --console-port` says it of a whole system."""
    console_token: SecretStr | None = None
    """Lets in whoever types it, 32 characters at least; the only way in from another machine."""
    console_read_only: bool = False
    """Nothing can be changed through the page: no halt, no resume, no configuration."""
    executor_data: Path = Path("executor-data")
    """The data folder of the system on this machine; alerts keep what was told there."""

    def console_url(self, port: int) -> str:
        """How this machine's browser reaches it, where it listens on `port`."""
        host = self.console_host
        if is_unspecified(host):
            host = "127.0.0.1"
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @model_validator(mode="after")
    def _others_need_a_token(self) -> Self:
        token = self.console_token
        if token is not None and len(token.get_secret_value()) < TOKEN_LENGTH_MIN:
            raise ValueError(f"CONSOLE_TOKEN: at least {TOKEN_LENGTH_MIN} characters are wanted")
        if token is None and not is_loopback(self.console_host):
            raise ValueError(
                "CONSOLE_HOST: other machines can reach this address: set CONSOLE_TOKEN, too "
                f"(a secret of at least {TOKEN_LENGTH_MIN} characters)"
            )
        return self


def drop_keys() -> list[str]:
    """Take the account's keys out of the environment, unread: this process answers a browser, and
    signs nothing. Returns the names of those that were there."""
    return [name for name in KEYS if os.environ.pop(name, None)]
