"""Where messages travel, as configuration: of feeders and workers alike."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from runtime.settings import EnvironmentSettings, url_of


@dataclasses.dataclass(frozen=True)
class Login:
    """A user of nats-server's. Its text shows no password."""

    user: str
    password: SecretStr


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class NatsSettings(EnvironmentSettings):
    """Which nats-server, as whom, and how many copies it keeps of a stream."""

    nats_url: Annotated[str, url_of("nats", "tls", "ws", "wss", user_allowed=True)] = (
        "nats://127.0.0.1:4222"
    )
    """With `tls://` or `wss://` nothing is sent unencrypted: a server without TLS is refused. A
    user and a password in it are percent-encoded (`@` is `%40`)."""
    nats_user: Annotated[str, Field(min_length=1)] | None = None
    """Where nats-server asks who is there; together with NATS_PASSWORD, or neither."""
    nats_password: SecretStr | None = None
    """Never in the URL, which is shown: in logs, in a deployment's template."""
    stream_replicas: Annotated[Literal[1, 3], BeforeValidator(_number)] = 1
    """How many copies of a stream there are: `3` on a cluster of three nats-servers. The same for
    all processes."""

    @model_validator(mode="after")
    def _one_whole_login(self) -> Self:
        if (self.nats_user is None) != (self.nats_password is None):
            there, missing = "NATS_PASSWORD", "NATS_USER"
            if self.nats_password is None:
                there, missing = missing, there
            raise ValueError(f"{there} is set and {missing} is missing: set both or neither")
        if self.nats_user is not None and "@" in urlsplit(self.nats_url).netloc:
            raise ValueError(
                "NATS_URL carries a user, and NATS_USER and NATS_PASSWORD are set: "
                "take the user out of NATS_URL"
            )
        return self

    def nats_login(self) -> Login | None:
        """None: whatever the URL says, or nobody."""
        if self.nats_user is None or self.nats_password is None:
            return None
        return Login(self.nats_user, self.nats_password)
