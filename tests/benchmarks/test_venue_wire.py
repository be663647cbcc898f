"""Frames written past the venue's queues."""

from __future__ import annotations

from websockets.frames import OP_TEXT, Frame

from benchmarks.venue_wire import unmasked


def test_a_frame_is_written_as_a_server_writes_it() -> None:
    for length in (0, 125, 126, 700, 65_535):
        payload = b"x" * length
        assert unmasked(payload) == Frame(OP_TEXT, payload).serialize(mask=False)
