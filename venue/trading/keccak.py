"""Keccak-256, Ethereum's hash, without what makes a general interface slow.

An order is hashed four times before it can be claimed. pycryptodome's own class makes an object,
a state and three wrappers anew for each hash, which takes as long as the hashing; here the
functions of its library are called with one state, which is made as new before each hash. By
ctypes, because pycryptodome's own way to them depends on whether cffi is there.
"""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from typing import Final

_CAPACITY_BYTES: Final = 64
_ROUNDS: Final = 24
_DIGEST_BYTES: Final = 32
_PADDING: Final = 1
"""Keccak's as it was before it became SHA-3."""


def _library() -> ctypes.PyDLL:
    spec = find_spec("Crypto.Hash._keccak")
    if spec is None or spec.origin is None:
        raise ImportError("pycryptodome has no library for keccak")
    library = ctypes.PyDLL(spec.origin)
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.keccak_init.argtypes = (ctypes.POINTER(pointer), size, ctypes.c_uint8)
    library.keccak_absorb.argtypes = (pointer, ctypes.c_char_p, size)
    library.keccak_digest.argtypes = (pointer, ctypes.c_char_p, size, ctypes.c_uint8)
    library.keccak_reset.argtypes = library.keccak_destroy.argtypes = (pointer,)
    return library


_library_of_keccak: Final = _library()


class Keccak256:
    """For one thread: two that hash at once would get neither hash."""

    def __init__(self) -> None:
        lib = _library_of_keccak
        self._absorb, self._finish = lib.keccak_absorb, lib.keccak_digest
        self._reset, self._destroy = lib.keccak_reset, lib.keccak_destroy
        self._state = ctypes.c_void_p()
        _check(lib.keccak_init(ctypes.byref(self._state), _CAPACITY_BYTES, _ROUNDS))
        self._digest = ctypes.create_string_buffer(_DIGEST_BYTES)

    def __del__(self) -> None:
        self._destroy(self._state)

    def of(self, octets: bytes) -> bytes:
        """The hash of `octets`, 32 bytes."""
        state, digest = self._state, self._digest
        _check(
            self._reset(state)  # first: what was interrupted, or has failed, stays in no state
            or self._absorb(state, octets, len(octets))
            or self._finish(state, digest, _DIGEST_BYTES, _PADDING)
        )
        return digest.raw


def _check(failure: int) -> None:
    if failure:
        raise ValueError(f"keccak: error {failure}")
