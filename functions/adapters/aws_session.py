"""The SDK's session, without what would wait for ever: the event loop is held up meanwhile, and
hears no signal.

1. A profile whose role wants a code (`mfa_serial`) makes the SDK read it from the terminal, or
   from whatever stdin is.
2. A file that the profile names may be a pipe that nobody writes to. Those that variables name
   are looked at by `functions.settings.AwsSettings`.
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn

import aiobotocore.session
from botocore.exceptions import BotoCoreError

from runtime.trust import check_small_file

_REGION: Final = re.compile("[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_FILES: Final = ("ca_bundle", "web_identity_token_file")
"""Of those that the SDK opens whatever they are; others it asks first whether they are files."""


class ProfileError(BotoCoreError):
    """What only a person can mend; its text begins with the variable and shows no value."""

    fmt = "AWS_PROFILE: {what}"


def sdk_session() -> Any:
    """A session that asks nobody. Raises ProfileError, and as the SDK does for bad profiles."""
    session: Any = aiobotocore.session.AioSession()

    def resolver() -> Any:
        # Not before a client is made: the resolver takes the client's region for its own.
        found = session._create_credential_resolver()
        found.get_provider("assume-role")._prompter = _refuse_to_ask
        return found

    session.lazy_register_component("credential_provider", resolver)
    _check_files(session)
    return session


def _check_files(session: Any) -> None:
    """Of the profile, and of those that its role is taken with."""
    profile, seen = session.get_scoped_config(), set[Any]()
    profiles = session.full_config.get("profiles", {})
    while isinstance(profile, dict):
        for option in _FILES:
            if isinstance(path := profile.get(option), str):
                try:
                    check_small_file(path)
                except ValueError as error:
                    raise ProfileError(what=f"its {option}: {error}") from None
        if not _REGION.fullmatch(str(profile.get("region", "none"))):  # looked up, time and again
            raise ProfileError(what="its region: a name as eu-west-1 is wanted")
        name = profile.get("source_profile")
        if name in seen:
            return  # which the SDK says itself
        seen.add(name)
        profile = profiles.get(name)


def _refuse_to_ask(*_: object) -> NoReturn:
    raise ProfileError(
        what="its role wants a code (mfa_serial), which no process can ask for: name a profile "
        "without one, or give the credentials that the code has brought"
    )
