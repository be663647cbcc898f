"""SIGTERM and SIGINT while a process still imports what it is made of: it ends with 0.

Importing takes about a second. Python would end by the signal, with a traceback where it is SIGINT;
and the first process of a container does not even hear a SIGTERM that it has not asked for. Nothing
has begun yet, so nothing is to be tidied up. `runtime.process` takes the signals over.

Nor do variables of the environment's choose what libraries are while they are imported.

To be imported first, and only by what is started as a process.
"""

from __future__ import annotations

import os
import signal

from runtime.library_variables import ignore_library_variables


def _end(*_: object) -> None:
    os._exit(0)


for _number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(_number, _end)

ignore_library_variables()
