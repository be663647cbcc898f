"""Configuration from the environment: validated at start, one line per mistake, exit code 2."""

from __future__ import annotations

import os
from typing import Annotated, NoReturn, TypeVar

import structlog
from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from runtime.addresses import check_host, checked_url
from runtime.output import complain
from runtime.trust import check_certificates, check_directory

EXIT_BAD_CONFIGURATION = 2

Settings = TypeVar("Settings", bound=BaseSettings)
StageName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
"""Of a deployment (`prod`): the dimension Stage of its metrics."""
Port = Annotated[int, Field(ge=0, le=65_535)]
"""0 takes any free port; the log says which."""

_log = structlog.get_logger()

CertificateFile = Annotated[str, AfterValidator(check_certificates)]


class EnvironmentSettings(BaseSettings):
    """The base of all settings: an empty variable is an unset one, and no error shows a value.

    Only names in capitals are read, as every document spells them. pydantic-settings takes any
    case: of EXECUTION and execution the last one in the environment would count.

    Its own variables are OpenSSL's and Python's, which read them by themselves: here they are only
    looked at, because what is wrong with them otherwise shows in each connection, or not at all.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)

    ssl_cert_file: CertificateFile | None = None
    """Certificates to trust, read by OpenSSL and Python; at most 10 MB, no pipe and no device."""
    ssl_cert_dir: Annotated[str, AfterValidator(check_directory)] | None = None
    """Likewise, a folder of them."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the program itself gives, then the environment; nothing else."""
        environment = EnvSettingsSource(settings_cls)
        environment.env_vars = {
            name.lower(): value for name, value in os.environ.items() if value and name.isupper()
        }
        return init_settings, environment


class MetricsSettings(EnvironmentSettings):
    """Where a process serves its metrics and health; each has a port of its own as default."""

    metrics_host: Annotated[str, AfterValidator(check_host)] = "127.0.0.1"
    """An address of this machine, at which `/metrics` and `/healthz` are served."""
    metrics_port: Port
    """At which port; the log says which one where it is 0."""


class CloudWatchSettings(EnvironmentSettings):
    """Whether a process writes its metrics for CloudWatch, too."""

    cloudwatch_stage: StageName | None = None
    """When set, metrics go to stdout in CloudWatch's embedded format, under this stage."""


def url_of(*schemes: str, user_allowed: bool = False) -> AfterValidator:
    """A validator for URLs with one of these schemes and a host; takes a trailing slash away."""

    def check(url: str) -> str:
        return checked_url(url, schemes, user_allowed=user_allowed)

    return AfterValidator(check)


def load_settings(kind: type[Settings]) -> Settings:
    """Read `kind` from the environment; print one line naming each bad variable and exit 2.

    The offending value is never printed: it may be a key in the wrong variable.
    """
    ours = [name for name in os.environ if name.lower() in kind.model_fields]
    if spelled := [name for name in ours if not name.isupper()]:
        _log.warning("variable_not_read", variables=sorted(spelled), wanted="capitals")
    try:
        return kind()
    except ValidationError as error:
        refuse_to_start(mistakes_in(error))


def mistakes_in(error: ValidationError) -> str:
    """One line that names each bad variable, without its value."""
    return "; ".join(
        # What is said of several variables at once names them itself.
        ": ".join([*(str(part).upper() for part in item["loc"][:1]), _said(item["msg"])])
        for item in error.errors(include_input=False, include_url=False)
    )


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")


def refuse_to_start(reason: str) -> NoReturn:
    """One line to the person who started us, exit code 2, no traceback."""
    complain(f"cannot start: {reason}")
    raise SystemExit(EXIT_BAD_CONFIGURATION)
