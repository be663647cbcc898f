"""Keccak-256, Ethereum's hash, without what makes a general interface slow."""

from __future__ import annotations

from Crypto.Hash import keccak


def keccak256(octets: bytes) -> bytes:
    """The hash of `octets`, 32 bytes."""
    return keccak.new(digest_bits=256, data=octets).digest()
