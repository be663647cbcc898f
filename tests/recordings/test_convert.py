"""The converter, on a small parquet of the source's form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow
from pyarrow import parquet

from recordings.loader import load

ROOT = Path(__file__).parents[2]
START = 1_790_586_000_000


Levels = list[tuple[float, float]]


def book(ts: int, side: str, bids: Levels, asks: Levels) -> dict[str, object]:
    return {
        "market_id": "0x01",
        "ts": ts,
        "side": side,
        "bid_px": [price for price, _ in bids],
        "bid_sz": [size for _, size in bids],
        "ask_px": [price for price, _ in asks],
        "ask_sz": [size for _, size in asks],
    }


def write_source(folder: Path, rows: list[dict[str, object]]) -> None:
    market = {
        "market_id": "0x01",
        "slug": "btc-updown-15m-1790586000",
        "start_ts": START,
        "end_ts": START + 900_000,
        "payout_up": 0.0,
        "payout_down": 1.0,
    }
    parquet.write_table(pyarrow.Table.from_pylist([market]), folder / "markets.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "books.parquet")


ROWS = [
    book(START - 60_001, "UP", [(0.1, 1)], [(0.9, 1)]),  # too early
    book(START - 1_000, "UP", [(0.48, 1.9300000000000002)], [(0.5, 3)]),
    book(START - 1_000, "DOWN", [(0.5, 3)], [(0.52, 1.93)]),
    book(START + 500, "DOWN", [(0.501, 3)], []),
    book(START + 600, "UP", [(0.5, 1)], [(0.5, 3)]),  # crossed, so not a book of the venue
    book(START + 600, "DOWN", [(0.4, 1)], [(0.5, 3)]),
    book(START + 900, "UP", [(0.48, 2), (0.47, 0.000001)], [(0.5, 3)]),
    book(START + 900_001, "UP", [(0.1, 1)], [(0.9, 1)]),  # too late
]


def convert(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-m", "recordings.convert", str(source), str(out)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_snapshots_become_level_changes(tmp_path: Path) -> None:
    write_source(tmp_path, ROWS)
    done = convert(tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr

    recording = load(tmp_path / "out" / "btc-updown-15m-1790586000.jsonl.gz")
    assert recording.header.payouts == ("0", "1")
    assert [line.decode() for line in recording.lines] == [
        '[-1000,[["0.48","1.93"],["0.5","3"]],1]',
        '[500,null,[["0.5","0","0.501","3"],["0.52","0"]]]',
        '[900,[["0.47","0.000001","0.48","2"],[]],null]',
    ]


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    write_source(tmp_path, ROWS)
    for out in ("one", "two"):
        assert convert(tmp_path, tmp_path / out).returncode == 0
    one, two = (next((tmp_path / out).iterdir()).read_bytes() for out in ("one", "two"))
    assert one == two


def test_what_cannot_be_converted_is_said_in_one_line(tmp_path: Path) -> None:
    missing = convert(tmp_path / "nowhere", tmp_path)
    assert missing.returncode == 2
    assert missing.stderr.startswith("cannot read the parquet files:")

    write_source(tmp_path, [book(START - 1, "UP", [(0.12345, 1)], [])])
    inexact = convert(tmp_path, tmp_path / "out")
    assert inexact.returncode == 1
    assert inexact.stderr == "0.12345 has more than 4 decimals\n"
