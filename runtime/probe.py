"""Is the process in this container well? For health checks:

    python -m runtime.probe [port [path]]

Asks http://127.0.0.1:<port><path>; by default the port is METRICS_PORT and the path /healthz. Exit
0 on status 200, otherwise 1, with one line that says what was answered. Imports next to nothing: a
health check runs all the time, and http.client alone would triple what it costs.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Final

from runtime.output import STDOUT, one_line

TIMEOUT_S: Final = 2.0
"""For all of it. A process that needs longer for one line of text is not well."""
ANSWER_MAX: Final = 4096
LINE_MAX: Final = 200


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    port = arguments[0] if arguments else os.environ.get("METRICS_PORT", "")
    path = arguments[1] if len(arguments) > 1 else "/healthz"
    try:
        status, line = ask(int(port), path) if port else (0, "no port given, and no METRICS_PORT")
    except (OSError, OverflowError, ValueError) as error:
        status, line = 0, f"no answer from port {port}: {error}"
    STDOUT.write(one_line(line))
    return 0 if status == 200 else 1


def ask(port: int, path: str) -> tuple[int, str]:
    """The status, and it with the first line of what else is said. Raises OSError, ValueError."""
    give_up_s = time.monotonic() + TIMEOUT_S
    request = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
    answer = b""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(request.encode("ascii"))
        while len(answer) < ANSWER_MAX:
            connection.settimeout(max(0.001, give_up_s - time.monotonic()))
            part = connection.recv(ANSWER_MAX)
            if not part:
                break
            answer += part
    head, _, body = answer.decode("ascii", "replace").partition("\r\n\r\n")
    words = head.partition("\r\n")[0].split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/"):
        raise ValueError("what it says is not HTTP")
    said = body.partition("\n")[0].strip()[:LINE_MAX]
    return int(words[1]), f"{words[1]} {said}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
