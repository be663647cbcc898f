"""Lines of a recording: whatever was received comes back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feeder.recording.errors import LineError
from feeder.recording.format import (
    Configured,
    Decided,
    Frame,
    Listed,
    Missed,
    Paid,
    Published,
    Record,
    decided_of,
    decode_record,
    encode_record,
    frame_of,
    payload,
    published_of,
)
from tests.support.message_builders import market_info

FRAME = '"kind":"frame","at_ns":1,"mono_ns":2,"conn":3'


@given(st.binary() | st.text().map(str.encode))
@example(b"PONG")
@example(b"")
@example(b"\xff\xfe{")
@example(b'{"a":"\\u0000\n"}\r\n')
@example("\u2028\u0085\U0001f600".encode())
def test_a_frame_comes_back_byte_for_byte_from_one_line(received: bytes) -> None:
    line = encode_record(frame_of(received, conn=3, at_ns=1, mono_ns=2))
    assert line.endswith(b"\n")
    assert len(line.splitlines()) == 1
    record = decode_record(line)
    assert isinstance(record, Frame)
    assert (payload(record), record.conn, record.at_ns, record.mono_ns) == (received, 3, 1, 2)


@given(st.binary() | st.text().map(str.encode))
@example(b"")
@example(b"\xff\xfe{")
def test_a_message_of_ours_comes_back_byte_for_byte(received: bytes) -> None:
    for made, kind in ((published_of, Published), (decided_of, Decided)):
        record = decode_record(encode_record(made(received, subject="a.b", at_ns=1, mono_ns=2)))
        assert isinstance(record, kind)
        assert (payload(record), record.subject, record.at_ns) == (received, "a.b", 1)


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (Configured(at_ns=1, mono_ns=2, account="a", text='{"version":1}'), b"configuration"),
        (
            Paid(at_ns=1, mono_ns=2, condition_id="0x", payouts_e6={"7": 10**6}, source="gamma"),
            b"paid",
        ),
        (Missed(at_ns=3, mono_ns=2, what="books", messages=2, since_ns=1, why="gap"), b"missed"),
    ],
)
def test_what_is_beside_the_frames_comes_back(record: Record, kind: bytes) -> None:
    line = encode_record(record)
    assert line.startswith(b'{"kind":"' + kind + b'"')
    assert decode_record(line) == record


def test_text_stays_readable_and_the_rest_is_base64() -> None:
    assert encode_record(frame_of(b"PONG", conn=3, at_ns=1, mono_ns=2)) == (
        b"{" + FRAME.encode() + b',"text":"PONG"}\n'
    )
    assert encode_record(frame_of(b"\xff", conn=3, at_ns=1, mono_ns=2)) == (
        b"{" + FRAME.encode() + b',"base64":"/w=="}\n'
    )


def test_a_listing_comes_back_whole() -> None:
    listed = Listed(at_ns=1, mono_ns=2, market=market_info())
    assert decode_record(encode_record(listed)) == listed


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b'{"kind":"invented later","at_ns":1,"mono_ns":2}',
        b"{" + FRAME.encode() + b"}",
        b"{" + FRAME.encode() + b',"text":"a","base64":"YQ=="}',
        b"{" + FRAME.encode() + b',"base64":"?"}',
        b"{" + FRAME.encode() + b',"text":1}',
        b'{"kind":"book","at_ns":1,"mono_ns":2,"subject":"book.a.b"}',
        b'{"kind":"decision","at_ns":1,"mono_ns":2,"subject":"decision.a","base64":"?"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_record_says_so(line: bytes) -> None:
    with pytest.raises(LineError):
        decode_record(line)


@given(st.binary())
def test_no_bytes_lead_to_another_error(line: bytes) -> None:
    try:
        decode_record(line)
    except LineError:
        return
