"""Files that a variable names: whether they are there, and what they are taken for.

Only files of a sensible size are opened: a pipe or a device would hold up the start, or never end.
"""

from __future__ import annotations

import os
import ssl
import stat
from typing import Final

FILE_BYTES_MAX: Final = 10_000_000
"""All certificates that browsers trust take a quarter of a million."""


def check_certificates(path: str) -> str:
    """`path`, if it is a file of PEM certificates. Else ValueError."""
    try:
        if not _size_of_file(path):
            raise ValueError("the file holds no certificates in PEM")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError("the file holds no certificates in PEM") from None
    except OSError as error:
        raise ValueError(f"the file of certificates cannot be read: {error.strerror}") from None
    return path


def check_directory(path: str) -> str:
    """`path`, if each directory in it is there (several have a colon between). Else ValueError."""
    for each in path.split(os.pathsep):
        try:
            if not stat.S_ISDIR(_status(each).st_mode):
                raise ValueError("there is no such directory of certificates")
        except OSError as error:
            text = f"the directory of certificates cannot be used: {error.strerror}"
            raise ValueError(text) from None
        if not os.access(each, os.X_OK):
            raise ValueError("the directory of certificates cannot be entered")
    return path


def check_small_file(path: str) -> str:
    """`path`, unless what is there is no file; whether it can be read is for who reads it. The null
    device is taken for a file without anything, as is usual.

    `~` is the home directory. Raises ValueError.
    """
    named = os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111 - of text, as the SDK does
    if _is_there(named) and not os.path.samestat(_status(named), _status(os.devnull)):
        _size_of_file(named)
    return path


def _is_there(path: str) -> bool:
    try:
        _status(path)
    except OSError:
        return False
    return True


def _size_of_file(path: str) -> int:
    """Raises OSError; ValueError for what is no file, or a huge one."""
    status = _status(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no file, but a directory, a pipe or a device")
    if status.st_size > FILE_BYTES_MAX:
        raise ValueError(f"the file is larger than {FILE_BYTES_MAX} bytes")
    return status.st_size


def _status(path: str) -> os.stat_result:
    """Raises OSError; ValueError, with a text of ours, for what can be no path."""
    try:
        return os.stat(path)  # noqa: PTH116 - of what may be no path
    except ValueError:
        raise ValueError("no file can have this name") from None
