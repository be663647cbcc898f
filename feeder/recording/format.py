"""What a recording consists of: one JSON object a line, of a `kind`.

1. The bytes of a frame, and of a message that went between our processes, come back exactly as they
   were received: as `text`, or as `base64` where they are not UTF-8.
2. Every line says when it happened: `at_ns` is the epoch, for people and for joining with other
   records; `mono_ns` is a clock that nobody sets, for spans. It begins anew with each process.
3. A reader may meet a kind that it does not know: a later version's. That is a `LineError`, which
   says so, and no reason to stop reading.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import ClassVar, Final, TypeAlias

import msgspec

from feeder.recording.errors import LineError
from protocol.market import MarketInfo
from protocol.text import encoded

FORMAT: Final = 1
LINE_BYTES_MAX: Final = 32 << 20
"""The writer takes no longer one (`WriterLimits.waiting_bytes_max`), and what a line is decoded to
may be many times as much."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    at_ns: int
    mono_ns: int


class Started(_Record, frozen=True, kw_only=True, tag="start"):
    """The first line of every file. `run` is the same in all files of one process."""

    format: int
    run: str
    part: int
    """The file's number within the directory."""
    market_ws_url: str
    gamma_url: str
    """Scheme, host and port: recordings are given away, and the rest may be a key."""
    series: tuple[str, ...]


class Listed(_Record, frozen=True, kw_only=True, tag="market"):
    """A market that is followed, or whose listing changed; again at the start of each file."""

    market: MarketInfo


class Unfollowed(_Record, frozen=True, kw_only=True, tag="unfollowed"):
    """A market that has ended."""

    condition_id: str


class Opened(_Record, frozen=True, kw_only=True, tag="opened"):
    """A connection; `conn` counts them within a run."""

    conn: int


class Closed(_Record, frozen=True, kw_only=True, tag="closed"):
    """The end of a connection, and why; OURS when the recorder was stopped."""

    OURS: ClassVar[str] = "the recorder ended it"

    conn: int
    why: str


class Sent(_Record, frozen=True, kw_only=True, tag="sent"):
    """A message of ours."""

    conn: int
    text: str


class Frame(_Record, frozen=True, kw_only=True, tag="frame", omit_defaults=True):
    """A frame of the venue's; exactly one of `text` and `base64` is there. See `payload`."""

    conn: int
    text: str | None = None
    base64: str | None = None


class Published(_Record, frozen=True, kw_only=True, tag="book", omit_defaults=True):
    """A snapshot as a feeder published it on `book.*`; exactly one of `text` and `base64`.

    A decision may stand in the recording a little before the last book that it saw: they come by
    different ways. Which books it saw, it says itself.
    """

    subject: str
    text: str | None = None
    base64: str | None = None


class Decided(_Record, frozen=True, kw_only=True, tag="decision", omit_defaults=True):
    """A decision as a worker published it on `decision.*`; exactly one of `text` and `base64`.

    One that was made shortly before the recorder came to it may be there, too, and after an
    interruption one may be there twice: `decision_id` says so.
    """

    subject: str
    text: str | None = None
    base64: str | None = None


class Configured(_Record, frozen=True, kw_only=True, tag="configuration"):
    """One version of an account's configuration; those in force again at the start of each file."""

    account: str
    text: str
    """The version as it is stored: `functions.core.configuration.ConfigurationRow` as JSON."""


class Paid(_Record, frozen=True, kw_only=True, tag="paid"):
    """What a market paid."""

    condition_id: str
    payouts_e6: dict[str, int]
    """By token id, in 1e-6 USD a share."""
    source: str
    """Who says so: `gamma`."""


class Missed(_Record, frozen=True, kw_only=True, tag="missed"):
    """Messages of our own processes that did not come to the recorder."""

    what: str
    """`books`, `decisions` or `configurations`."""
    messages: int
    """At most so many, by what came before and after; 0: not known how many."""
    since_ns: int
    """Epoch; after this moment, and before the line's."""
    why: str


class Lost(_Record, frozen=True, kw_only=True, tag="lost"):
    """Records that could not be kept, because the disk was slower than the venue, or full."""

    records: int
    since_ns: int
    """Epoch; when the first of them was to be written."""


class Stopped(_Record, frozen=True, kw_only=True, tag="stop"):
    """The last line of a run that was stopped in order. A run without one was killed."""


Carrying: TypeAlias = Frame | Published | Decided
"""Whose `payload` is there byte for byte."""
Record: TypeAlias = (
    Started
    | Listed
    | Unfollowed
    | Opened
    | Closed
    | Sent
    | Carrying
    | Configured
    | Paid
    | Missed
    | Lost
    | Stopped
)

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Record).decode


def frame_of(payload: bytes, *, conn: int, at_ns: int, mono_ns: int) -> Frame:
    """The record of a frame."""
    text, base64 = _coded(payload)
    return Frame(at_ns=at_ns, mono_ns=mono_ns, conn=conn, text=text, base64=base64)


def published_of(payload: bytes, *, subject: str, at_ns: int, mono_ns: int) -> Published:
    """The record of a message on `book.*`."""
    text, base64 = _coded(payload)
    return Published(at_ns=at_ns, mono_ns=mono_ns, subject=subject, text=text, base64=base64)


def decided_of(payload: bytes, *, subject: str, at_ns: int, mono_ns: int) -> Decided:
    """The record of a message on `decision.*`."""
    text, base64 = _coded(payload)
    return Decided(at_ns=at_ns, mono_ns=mono_ns, subject=subject, text=text, base64=base64)


def _coded(payload: bytes) -> tuple[str | None, str | None]:
    """(text, base64): one of them."""
    try:
        return payload.decode(), None
    except UnicodeDecodeError:
        return None, b64encode(payload).decode()


def payload(record: Carrying) -> bytes:
    """The bytes of a frame or a message as they were received."""
    if record.base64 is not None:
        return b64decode(record.base64)
    return (record.text or "").encode()


def encode_record(record: Record) -> bytes:
    """One line, with its newline; a newline within a frame is escaped."""
    return encoded(_encode, record) + b"\n"


def decode_record(line: bytes) -> Record:
    """Raises LineError, the only error that any bytes can lead to."""
    if len(line) > LINE_BYTES_MAX:
        raise LineError(f"no record: longer than {LINE_BYTES_MAX} bytes")
    try:
        record: Record = _decode(line)
        if isinstance(record, Frame | Published | Decided):
            if (record.text is None) == (record.base64 is None):
                raise LineError("a frame or message has either text or base64")
            if record.base64 is not None:
                b64decode(record.base64, validate=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Base64Error) as error:
        raise LineError(f"no record: {error}") from error
    return record
