from __future__ import annotations

from pathlib import Path

from sandbox.soak.leases import losses, unexplained

LINE = '{{"service": "feeder", "event": "{}", "timestamp": "1970-01-01T00:{}:00.500000Z"}}\n'


def test_a_lost_lease_counts_unless_somebody_stood_still(tmp_path: Path) -> None:
    (tmp_path / "feeder-1.log").write_text(
        LINE.format("lease_lost", "01") + LINE.format("lease_released", "02")
    )
    (tmp_path / "feeder-2.log").write_text(
        '{"event": "lease_lost"\n'
        + LINE.format("lease_lost", "03")
        + LINE.format("lease_lost", "04")
    )
    (tmp_path / "nats.log").write_text(LINE.format("lease_lost", "05"))
    assert sorted(losses(tmp_path)) == [60.5, 180.5, 240.5]
    assert unexplained(losses(tmp_path), since_s=100, explained=[(200, 250)]) == 1
