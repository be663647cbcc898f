"""Variables that libraries read for themselves, most while they are imported: none of them counts.

They choose other implementations, limits and formats than those that are tested here, and one that
a library cannot use is a traceback before anything of ours can say what it is about.
"""

from __future__ import annotations

import os
from typing import Final

_PREFIXES: Final = (
    *("PROMETHEUS_", "WEBSOCKETS_", "ETH_HASH_", "ETH_ACCOUNT_", "ECC_BACKEND_", "COINCURVE_"),
    *("PYDANTIC_", "PYCRYPTODOME_", "TYPER_", "BOTOCORE_EXPERIMENTAL_", "BOTO_EXPERIMENTAL_"),
    *("AIOHTTP_", "MULTIDICT_", "YARL_", "FROZENLIST_", "PROPCACHE_", "MSGPACK_", "WRAPT_"),
)
_NAMES: Final = (
    *("TERMINAL_WIDTH", "UNICODE_VERSION", "MPLBACKEND", "MATPLOTLIBRC"),
    "SSLKEYLOGFILE",  # whoever reads that file reads all that is sent, credentials too
)
_ignored: list[str] = []


def ignore_library_variables() -> None:
    """Take them out of the environment. To be called before anything else is imported: there is no
    log yet that could say so (`runtime.log.configure_logging` does)."""
    for name in list(os.environ):
        theirs = name.upper().startswith(_PREFIXES) or name in _NAMES  # one is spelled both ways
        if theirs and os.environ.pop(name):
            _ignored.append(name)


def take_ignored() -> list[str]:
    """The names of those that were set, once."""
    names = sorted(_ignored)
    _ignored.clear()
    return names
