"""Which failures of the SDK only a person can mend, as one line that begins with the variable.

The SDK finds credentials and options in variables and files of its own, which no settings class of
ours reads. No line shows the value of a variable, nor what credentials are made of. What is said of
AWS_PROFILE is said of the profile `default` where none is named, and of AWS_DEFAULT_PROFILE where
that is set: the SDK prefers it.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any, Final

from botocore import exceptions
from botocore.credentials import CredentialProvider

from functions.adapters.aws_session import ProfileError

_LINES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (
        exceptions.ProfileNotFound,
        "AWS_PROFILE: the SDK's files have no such profile: name one that they have, or unset it",
    ),
    (
        exceptions.ConfigParseError,
        "AWS_CONFIG_FILE: it, or AWS_SHARED_CREDENTIALS_FILE, cannot be parsed: put it right",
    ),
    (exceptions.InvalidRegionError, "AWS_REGION: a name as eu-west-1 is wanted"),
    (exceptions.NoRegionError, "AWS_REGION: a name as eu-west-1 is wanted"),
    (exceptions.InvalidDefaultsMode, "AWS_DEFAULTS_MODE: the SDK knows no such mode"),
    (
        exceptions.InvalidSTSRegionalEndpointsConfigError,
        "AWS_STS_REGIONAL_ENDPOINTS: legacy or regional is wanted",
    ),
    (exceptions.InfiniteLoopConfigError, "AWS_PROFILE: its source_profile leads back to itself"),
    (
        exceptions.UnknownCredentialError,
        "AWS_PROFILE: its credential_source is none that the SDK knows",
    ),
    # A token that is not there, or has expired.
    (exceptions.SSOError, "AWS_PROFILE: its login has ended: log in (aws sso login)"),
    (exceptions.TokenRetrievalError, "AWS_PROFILE: its login has ended: log in (aws sso login)"),
)
_CERTIFICATES: Final = (
    "AWS_CA_BUNDLE: the file of certificates cannot be read; the SDK takes REQUESTS_CA_BUNDLE and"
    " the profile's ca_bundle, too"
)
_PROCESS: Final = (
    "AWS_PROFILE: its credential_process cannot be used: look at its line, and at what it prints"
    " (JSON with Version, AccessKeyId, SecretAccessKey)"
)
_NOT_OPTIONS: Final = frozenset(
    {
        *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AWS_SDK_LOAD_CONFIG", "AWS_EXECUTION_ENV", "AWS_EC2_METADATA_DISABLED"),
    }
)
"""Their values stand in texts about something else, too, or no value of theirs is wrong."""
_OPTION_LENGTH_MIN: Final = 3
"""Of a value that is looked for in a text: a shorter one (`1`) stands in any."""
_OF_A_NAME: Final = frozenset(
    {
        *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ENOTDIR, errno.EISDIR),
        *(errno.ELOOP, errno.ENAMETOOLONG),
    }
)
"""What a file or program that is named can be wrong with. Of the others the machine is: it has no
memory or descriptor left."""
_CONTAINER: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_TOKEN: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - no password
_PARTS: Final = (
    ("access_key", "AWS_ACCESS_KEY_ID"),
    ("secret_key", "AWS_SECRET_ACCESS_KEY"),
    ("token", "AWS_SESSION_TOKEN"),
)
_FORERUNNERS: Final = {
    "boto-config": "BOTO_CONFIG",
    "ec2-credentials-file": "AWS_CREDENTIAL_FILE",
}
"""Of the SDK: files that only they had, by the provider that still reads them."""
_PROCESS_GIVES_NONE: Final = ("Missing required key", "Unsupported version")
"""What the SDK says of a process' output. What a process says of itself may pass."""


def mistake(error: Exception) -> str | None:
    """The line, None where it may pass by itself (or is not about configuration).

    Of the SDK's errors, as one of its calls raises them.
    """
    return _of_the_profile_taken(_mistake(error))


def _mistake(error: Exception) -> str | None:
    details = getattr(error, "kwargs", {})
    line = next((text for kind, text in _LINES if isinstance(error, kind)), None)
    if isinstance(error, ProfileError):
        line = str(error)
    elif isinstance(error, exceptions.NoCredentialsError):
        line = _no_credentials()
    elif isinstance(error, exceptions.PartialCredentialsError):
        missing = str(details.get("cred_var"))
        line = f"AWS_PROFILE: its profile lacks {missing}"
        provider = str(details.get("provider"))
        if provider == "env":
            line = f"{missing}: missing beside the other AWS credentials"
        elif provider in _FORERUNNERS:
            line = f"{_FORERUNNERS[provider]}: its file lacks {missing}"
    elif isinstance(error, exceptions.ConfigParseError):
        if (forerunner := _FORERUNNERS.get(_provider_of(error))) is not None:
            line = f"{forerunner}: its file cannot be parsed"
    elif isinstance(error, exceptions.CredentialRetrievalError):
        if str(details.get("error_msg")).startswith(_PROCESS_GIVES_NONE):
            line = _PROCESS
    elif isinstance(error, exceptions.HTTPClientError):
        unread = (FileNotFoundError, PermissionError, IsADirectoryError)
        line = _CERTIFICATES if isinstance(details.get("error"), unread) else None
    elif isinstance(error, ValueError) and str(error).startswith("Invalid endpoint"):
        line = _of_an_endpoint(str(error))
    elif isinstance(error, FileNotFoundError):  # with each renewal
        token = "AWS_WEB_IDENTITY_TOKEN_FILE"  # noqa: S105 - no password
        named = token if token in os.environ else "AWS_PROFILE"
        line = f"{named}: a file or program that it names is not there"
    return line


def mistake_of_client(error: Exception) -> str | None:
    """The same where no client could be made: most of that is configuration."""
    return _of_the_profile_taken(_mistake_of_client(error))


def _mistake_of_client(error: Exception) -> str | None:
    line = None if isinstance(error, FileNotFoundError) else _mistake(error)
    if line is not None or isinstance(error, exceptions.CredentialRetrievalError):
        return line
    provider = _provider_of(error)
    if provider == "container-role":
        line = _of_a_container(error)
    elif provider in _FORERUNNERS:
        if not isinstance(error, OSError) or error.errno in _OF_A_NAME:
            line = f"{_FORERUNNERS[provider]}: its file cannot be used: {type(error).__name__}"
    elif provider == "custom-process" and not isinstance(error, OSError):
        line = _PROCESS
    elif (variable := _option_in(str(error))) is not None:
        line = f"{variable}: the SDK cannot use its value"
    elif isinstance(error, exceptions.BotoCoreError):
        text = " ".join(str(error).split())[:300]
        line = f"AWS_PROFILE: it, or another variable AWS_..., cannot be used: {text}"
    elif isinstance(error, OSError):
        if error.errno in _OF_A_NAME:
            line = f"AWS_PROFILE: its credential_process cannot be run: {error.strerror}"
    elif isinstance(error, (ValueError, LookupError, TypeError, AttributeError)):
        kind = type(error).__name__
        line = f"AWS_PROFILE: it, or another variable AWS_..., cannot be used: {kind}"
    return line


def mistake_in(credentials: Any) -> str | None:
    """The same of credentials that are there, which the SDK sends as they are: what they hold then
    looks like an error of each call. Of those that it has not fetched yet (from AWS itself) nothing
    is known."""
    have = {} if credentials is None else vars(credentials)
    parts = {name: have.get(name, have.get(f"_{name}")) for name, _ in _PARTS}
    if parts["access_key"] is None and parts["secret_key"] is None:
        return None
    parts["token"] = parts["token"] or "none"
    for name, variable in _PARTS:
        if not _is_plain(parts[name]):
            named = variable if credentials.method == "env" else _variable(credentials.method)
            line = f"{named}: its credentials hold what is no plain text (a line end, a space)"
            return _of_the_profile_taken(line)
    return None


def without_credentials(error: Exception) -> str:
    """That there are none for now, and whose fault that is, where somebody was asked for them."""
    provider = getattr(error, "kwargs", {}).get("provider") or _provider_of(error)
    if not provider or (isinstance(error, OSError) and error.errno not in _OF_A_NAME):
        return "no AWS credentials"
    return str(_of_the_profile_taken(f"{_variable(provider)}: no credentials"))


def _of_the_profile_taken(line: str | None) -> str | None:
    if line is not None and line.startswith("AWS_PROFILE:") and "AWS_DEFAULT_PROFILE" in os.environ:
        return line.replace("AWS_PROFILE", "AWS_DEFAULT_PROFILE", 1)
    return line


def _of_an_endpoint(text: str) -> str:
    if "amazonaws.com" in text:  # made of the region
        return "AWS_REGION: a name as eu-west-1 is wanted"
    variable = _option_in(text)
    if variable is not None and variable.startswith("AWS_ENDPOINT_URL"):
        return f"{variable}: not a URL"
    return "AWS_PROFILE: its endpoint_url, or one of its services, is not a URL"


def _variable(provider: str) -> str:
    if provider in _FORERUNNERS:
        return _FORERUNNERS[provider]
    if provider != "container-role":
        return "AWS_PROFILE"
    relative = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"  # which outranks the other one
    return relative if relative in os.environ else _CONTAINER


def _of_a_container(error: Exception) -> str | None:
    """Where it asks, and what with; None for what may pass."""
    variable, text = _variable("container-role"), str(error)
    line = None
    if isinstance(error, OSError):
        if error.errno in _OF_A_NAME:
            line = f"{_TOKEN}_FILE: the file cannot be read: {error.strerror}"
    elif isinstance(error, UnicodeDecodeError):
        line = f"{_TOKEN}_FILE: the file holds no text"
    elif "Auth token" in text:
        of_file = "_FILE" if f"{_TOKEN}_FILE" in os.environ else ""
        line = f"{_TOKEN}{of_file}: no header can carry this token"
    elif "Unsupported host" in text:
        line = f"{variable}: the SDK asks no such host for credentials"
    elif isinstance(getattr(error, "kwargs", {}).get("error", error), ValueError):
        line = f"{variable}: not a URL"
    return line


def _provider_of(error: Exception) -> str:
    """What the SDK was asking for credentials when this was raised; empty where it was not."""
    provider, trace = "", error.__traceback__
    while trace is not None:
        asked = trace.tb_frame.f_locals.get("self")
        if isinstance(asked, CredentialProvider):
            provider = str(asked.METHOD)
        trace = trace.tb_next
    return provider


def _is_plain(part: object) -> bool:
    return isinstance(part, str) and re.fullmatch("[!-~]+", part) is not None


def _option_in(text: str) -> str | None:
    """The SDK's variable whose value stands in a text of the SDK's."""
    for name, value in sorted(os.environ.items()):
        is_option = name.startswith("AWS_") and name not in _NOT_OPTIONS
        told = is_option and len(value) >= _OPTION_LENGTH_MIN
        if told and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text):
            return name
    return None


def _no_credentials() -> str:
    if os.environ.get("AWS_SECRET_ACCESS_KEY") and not os.environ.get("AWS_ACCESS_KEY_ID"):
        return "AWS_ACCESS_KEY_ID: missing beside AWS_SECRET_ACCESS_KEY"
    for variable in ("AWS_CREDENTIAL_FILE", "BOTO_CONFIG"):
        if os.environ.get(variable) and "AWS_PROFILE" not in os.environ:
            return f"{variable}: there are no AWS credentials in its file, nor anywhere else"
    return (
        "AWS_PROFILE: there are no AWS credentials: name a profile, or set AWS_ACCESS_KEY_ID and"
        " AWS_SECRET_ACCESS_KEY"
    )
