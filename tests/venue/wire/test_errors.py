from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venue.wire.errors import decoded, without_half_characters

_decode = msgspec.json.Decoder().decode


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"a \uDE00 b"', "a \ufffd b"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\\ud83d"', r"\ud83d"),
        (rb'"\\\ud83d"', "\\\ufffd"),
    ],
)
def test_half_a_character_becomes_the_sign_for_one_that_is_missing(
    written: bytes, text: str
) -> None:
    assert decoded(_decode, written) == text


@given(st.text())
def test_whole_characters_stay_as_they_are(text: str) -> None:
    assert _decode(without_half_characters(json.dumps(text).encode())) == text


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_that_json_can_write_is_decoded(text: str) -> None:
    assert isinstance(decoded(_decode, json.dumps(text).encode()), str)


def test_what_is_no_json_stays_an_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        decoded(_decode, rb'{"a": "\ud83d"')
