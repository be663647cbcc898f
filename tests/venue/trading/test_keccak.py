"""The hash that orders are known by, against another implementation of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from venue.trading.keccak import Keccak256

ROOT = Path(__file__).parents[3]


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_each_hash_knows_nothing_of_those_before_it(messages: list[bytes]) -> None:
    hashes = Keccak256()
    assert [hashes.of(each) for each in messages] == [keccak(each) for each in messages]


@pytest.mark.parametrize("length", [135, 136, 137, 272, 384])
def test_whole_blocks_are_hashed_too(length: int) -> None:
    assert Keccak256().of(b"x" * length) == keccak(b"x" * length)


def test_a_hash_that_was_handed_out_stays_as_it_is() -> None:
    hashes = Keccak256()
    first = hashes.of(b"a")
    hashes.of(b"b")
    assert first == keccak(b"a")


def test_a_hash_that_was_interrupted_is_in_none_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal's handler may raise between any two calls."""
    hashes = Keccak256()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(hashes, "_finish", _interrupted)
        hashes.of(b"a")
    assert hashes.of(b"b") == keccak(b"b")


def _interrupted(*_: object) -> int:
    raise KeyboardInterrupt


def test_it_needs_no_library_that_images_do_not_have() -> None:
    """pycryptodome goes another way to its functions where cffi is; no image has that."""
    code = "import sys; sys.modules['cffi'] = None; from venue.trading.keccak import Keccak256\n"
    code += "print(Keccak256().of(b'').hex())"
    said = subprocess.check_output((sys.executable, "-c", code), cwd=ROOT, text=True)  # noqa: S603 - ours
    assert said.strip() == keccak(b"").hex()
