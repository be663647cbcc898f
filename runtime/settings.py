"""Configuration from the environment: validated at start, one line per mistake, exit code 2."""

from __future__ import annotations

from typing import Annotated, NoReturn, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.output import complain

EXIT_BAD_CONFIGURATION = 2

Settings = TypeVar("Settings", bound=BaseSettings)
StageName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
"""Of a deployment (`prod`): the dimension Stage of its metrics."""
Port = Annotated[int, Field(ge=0, le=65_535)]
"""0 takes any free port; the log says which."""


class EnvironmentSettings(BaseSettings):
    """The base of all settings: an empty variable is an unset one, and no error shows a value."""

    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)


class MetricsSettings(EnvironmentSettings):
    """Where a process serves its metrics and health; each has a port of its own as default."""

    metrics_host: str = "127.0.0.1"
    metrics_port: Port


class CloudWatchSettings(EnvironmentSettings):
    """Whether a process writes its metrics for CloudWatch, too."""

    cloudwatch_stage: StageName | None = None
    """When set, metrics go to stdout in CloudWatch's embedded format, under this stage."""


def url_of(*schemes: str) -> AfterValidator:
    """A validator for URLs with one of these schemes and a host; takes a trailing slash away."""

    def check(url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"not a URL of the form {schemes[0]}://host")
        if "," in parts.netloc.rpartition("@")[2]:  # no client here takes several
            raise ValueError("one URL is wanted, not several")
        try:
            _ = parts.port
        except ValueError:  # its own text would show what may be a password
            raise ValueError("not a URL: the port is not a number") from None
        return url.rstrip("/")

    return AfterValidator(check)


def load_settings(kind: type[Settings]) -> Settings:
    """Read `kind` from the environment; print one line naming each bad variable and exit 2.

    The offending value is never printed: it may be a key in the wrong variable.
    """
    try:
        return kind()
    except ValidationError as error:
        refuse_to_start(mistakes_in(error))


def mistakes_in(error: ValidationError) -> str:
    """One line that names each bad variable, without its value."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']).upper() or 'configuration'}: "
        f"{item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_input=False, include_url=False)
    )


def refuse_to_start(reason: str) -> NoReturn:
    """One line to the person who started us, exit code 2, no traceback."""
    complain(f"cannot start: {reason}")
    raise SystemExit(EXIT_BAD_CONFIGURATION)
