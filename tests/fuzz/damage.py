"""What can go wrong with a frame between the venue and us, and more than that.

`DAMAGES` are functions of (frame, all earlier frames of this round, random) that return the frames
which arrive instead of one; `late` ones arrive after frames that were sent later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeAlias

Damage: TypeAlias = Callable[[bytes, Sequence[bytes], Random], list[bytes]]

_NUMBER: Final = re.compile(rb'"[0-9.]+"')
_HASH: Final = re.compile(rb'"[0-9a-f]{40}"')
_TIMESTAMP: Final = re.compile(rb'"timestamp":"([0-9]+)"')
_FIELD: Final = re.compile(rb'"[a-z_]+":')
_SIDE: Final = re.compile(rb'"side":"(?:BUY|SELL)"')
_LEVEL: Final = re.compile(rb'\{"price":"[^}]*\},?')
_ODD_VALUES: Final = (
    b"null", b"true", b"0", b"-1", b"1e400", b"1e-400", b"9" * 400, b"0.5", b"{}", b"[]", b"[[]]",
    b'""', b'"0"', b'"1"', b'"-0.5"', b'"0.50"', b'".5"', b'"1e-1"', b'"NaN"', b'"Infinity"',
    b'"0x10"', b'" 0.5"', b'"0,5"', b'"0.00001"', b'"0.9999"', b'"1.0"', b'"\\u0660.\\u0665"',
    b'"\\ud800"', b'"\\u0000"', b'"' + b"9" * 60 + b'"', b'"0.' + b"0" * 60 + b'1"',
    b'"99999999999999"', b'"0.0000001"', '"½"'.encode(), b'"\xff\xfe"',
)  # fmt: skip


def drop(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    return []


def twice(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    return [frame, frame]


def old_again(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    return [frame, random.choice(earlier)] if earlier else [frame]


def old_instead(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    return [random.choice(earlier)] if earlier else []


def flip_byte(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    at = random.randrange(len(frame))
    return [frame[:at] + bytes((frame[at] ^ (1 << random.randrange(8)),)) + frame[at + 1 :]]


def insert_bytes(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    at = random.randrange(len(frame))
    return [frame[:at] + random.randbytes(random.randrange(1, 4)) + frame[at:]]


def truncate(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    return [frame[: random.randrange(len(frame))]]


def splice(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    other = random.choice(earlier) if earlier else frame
    return [frame[: random.randrange(len(frame))] + other[random.randrange(len(other)) :]]


def nest(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    depth = random.choice((1, 1, 2, 50, 3_000))
    return [b"[" * depth + frame + b"]" * random.choice((depth, depth, 0))]


def join(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    """An array of several events; they are in order only by luck."""
    return [b"[" + b",".join((frame, *random.choices(earlier or [frame], k=2))) + b"]"]


def odd_value(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    return [_replaced(frame, _NUMBER, lambda _: random.choice(_ODD_VALUES), random)]


def other_number(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    """A number of this frame in the place of another one: sizes, prices, tokens, times swap."""
    return [_replaced(frame, _NUMBER, lambda _: random.choice(_NUMBER.findall(frame)), random)]


def one_digit(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    def change(found: bytes) -> bytes:
        at = random.randrange(1, len(found) - 1)
        return found[:at] + b"%d" % random.randrange(10) + found[at + 1 :]

    return [_replaced(frame, _NUMBER, change, random)]


def wrong_hash(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    other = random.choice((b'""', b"null", b'"' + b"0" * 40 + b'"', b'"zz"', b"1"))
    return [_replaced(frame, _HASH, lambda _: other, random)]


def hash_of_another(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    hashes = _HASH.findall(random.choice(earlier)) if earlier else []
    return [_replaced(frame, _HASH, lambda found: random.choice(hashes or [found]), random)]


def shift_time(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    by_ms = random.choice((-100_000, -1_000, -20, -1, 1, 20, 1_000, 50_000, 10**9))

    def change(found: re.Match[bytes]) -> bytes:
        return b'"timestamp":"%d"' % (int(found[1]) + by_ms)

    return [_TIMESTAMP.sub(change, frame)]


def swap_sides(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    for one, other in ((b'"bids"', b'"asks"'), (b'"BUY"', b'"SELL"')):
        frame = frame.replace(one, b"\0").replace(other, one).replace(b"\0", other)
    return [frame]


def rename_field(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    """A field is missing then, and an unknown one there; or one is there twice."""
    other = random.choice((b'"x":', *_FIELD.findall(frame)))
    return [_replaced(frame, _FIELD, lambda _: other, random)]


def lose_level(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    return [_replaced(frame, _LEVEL, lambda _: b"", random).replace(b",]", b"]")]


def double_level(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    return [_replaced(frame, _LEVEL, lambda found: found.rstrip(b",") + b"," + found, random)]


def other_event(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    names = (b'"book"', b'"price_change"', b'"last_trade_price"', b'"tick_size_change"', b'"new"')
    return [frame.replace(random.choice(names), random.choice(names))]


def bad_entry(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    """One entry of a `price_change` cannot be read, the others can."""
    odd = (b'"side":"HOLD"', b'"side":null', b'"other":1', b'"side":"B\xffY"')
    return [_replaced(frame, _SIDE, lambda _: random.choice(odd), random)]


def bad_sibling(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    """An array in which one event cannot be read."""
    other = _replaced(random.choice(earlier or [frame]), _TIMESTAMP, lambda _: b'"x":1', random)
    events = [frame, other] if random.random() < 0.5 else [other, frame]
    return [b"[" + b",".join(events) + b"]"]


def garbage(frame: bytes, earlier: Sequence[bytes], random: Random) -> list[bytes]:
    odd = (b"", b"PONG", b"[]", b"null", b'"', b"{", b"[[", b"INVALID OPERATION", b"{}", b"[{}]")
    return [random.choice(odd), *([frame] if random.random() < 0.5 else [])]


DAMAGES: Final[tuple[Damage, ...]] = (
    drop, drop, drop, twice, old_again, old_instead, flip_byte, insert_bytes, truncate, splice,
    nest, join, odd_value, other_number, one_digit, one_digit, wrong_hash, hash_of_another,
    shift_time, swap_sides, rename_field, lose_level, double_level, other_event,
    bad_entry, bad_entry, bad_sibling, garbage,
)  # fmt: skip


def _replaced(
    frame: bytes, pattern: re.Pattern[bytes], to: Callable[[bytes], bytes], random: Random
) -> bytes:
    """One occurrence of the pattern, replaced."""
    found = list(pattern.finditer(frame))
    if not found:
        return frame
    chosen = random.choice(found)
    return frame[: chosen.start()] + to(chosen[0]) + frame[chosen.end() :]
