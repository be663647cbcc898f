"""The environment says all: an argument that did nothing would look as if it did something."""

from __future__ import annotations

import pytest

import feeder.__main__ as feeder_main
from functions import schedule, worker


@pytest.mark.parametrize("main", [worker.main, schedule.main, feeder_main.main])
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--execution", "paper"], ["--once"], [""], ["hunter2"]]
)
def test_a_process_starts_with_no_argument_that_it_does_not_know(
    main: object, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(main)
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith("cannot start: ")
    assert line.count("\n") == 1
    assert "hunter2" not in line
