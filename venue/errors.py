"""Errors of the venue's network side: it gave no answer, or one that is no success."""

from __future__ import annotations

from typing import Final

TEXT_LENGTH_MAX: Final = 300


class VenueError(Exception):
    """The venue gave no usable answer; the text is one line, without secrets.

    `status` is the HTTP status, where the venue answered with one.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class VenueUnreachableError(VenueError):
    """No answer: no connection, it broke, or nothing came in time."""


class NotSentError(VenueUnreachableError):
    """Not one byte of a request left this machine, so the venue cannot have read any of it."""


class OrderUnknownError(VenueUnreachableError):
    """A request was written, in part at least, and no whole answer to it came: nobody knows whether
    the venue has acted on it."""


class ChannelLostError(ConnectionError):
    """A websocket came to its end, or we gave it up; the text says why."""


class ConnectionClosedError(ChannelLostError):
    """A websocket was closed by the venue or by whatever is between, or because of what it sent."""


class AccountRefusedError(Exception):
    """The venue does not let the account in, which only a person can mend.

    The text is one line that says what to do.
    """


class VenueRefusedError(VenueError):
    """An answer that is no success, or too large.

    `reason` is the venue's own text where it gave one, whole and as it was written (whoever draws
    conclusions from it needs all of it), else what came instead. `own_word`: it was the `error` of
    a JSON object, and no page or text of a firewall or proxy before the venue. `date` is the
    answer's header of that name, empty without one. `retry_after_s`: what its header Retry-After
    asks for, None without one.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        own_word: bool = False,
        date: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(one_line(f"HTTP {status}: {reason}"), status)
        self.reason = reason
        self.own_word = own_word
        self.date = date
        self.retry_after_s = retry_after_s


_OF_THE_REGION: Final = ("region", "country", "jurisdiction", "restricted", "geo")
_BROKEN: Final = (
    *("context cancel", "timeout", "timed out", "deadline exceeded", "unavailable"),
    *("trading is", "maintenance"),
)


def refuses_who_asks(refused: VenueRefusedError) -> bool:
    """Whether this is the venue's own word about who asks: not about the region, nor about what
    broke on the way, nor about the venue itself."""
    text = refused.reason.lower()
    if not refused.own_word or any(word in text for word in _BROKEN):
        return False
    if refused.status == 403:
        return not any(word in text for word in _OF_THE_REGION)
    return refused.status == 401


def one_line(text: str) -> str:
    """What every log can take: printable ASCII, bounded. JSON may hold halves of characters."""
    return " ".join(text.split())[:TEXT_LENGTH_MAX].encode("ascii", "backslashreplace").decode()
