"""Files that a variable names for TLS: whether they are there, and what they are taken for."""

from __future__ import annotations

import os
import ssl
from pathlib import Path


def check_certificates(path: str) -> str:
    """`path`, if it is a file of PEM certificates. Else ValueError."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError("the file holds no certificates in PEM") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"the file of certificates cannot be read: {_why(error)}") from None
    return path


def check_directory(path: str) -> str:
    """`path`, if each directory in it is there (several have a colon between). Else ValueError."""
    for each in path.split(os.pathsep):
        if not Path(each).is_dir():
            raise ValueError("there is no such directory of certificates")
    return path


def check_writable(path: str) -> str:
    """`path`, if it can be appended to. Else ValueError."""
    try:
        with Path(path).open("a", encoding="ascii"):
            return path
    except (OSError, ValueError) as error:
        raise ValueError(f"the file cannot be written: {_why(error)}") from None


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
