"""What benchmarks and long proofs may be asked for: a check of nothing is refused, in one line."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as bench
from tests.fuzz import __main__ as fuzz
from tests.simulation import __main__ as simulation
from tests.support.arguments import rate


@pytest.mark.parametrize(
    ("main", "asked"),
    [
        (bench.main, ["--repeats", "0"]),
        (bench.main, ["--seconds", "nan"]),
        (bench.main, ["--seconds", "-1"]),
        (bench.main, ["--site", "no-such-folder"]),
        (simulation.main, ["--seeds", "0"]),
        (simulation.main, ["--jobs", "0"]),
        (fuzz.main, ["--frames", "-5"]),
        (fuzz.main, ["--processes", "x"]),
    ],
)
def test_nothing_to_be_measured_or_checked_is_refused(
    main, asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["it", *asked])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert asked[0] in told
    assert asked[1] in told


def test_a_rate_may_be_a_fraction() -> None:
    assert rate("1.5") == 1.5
