from __future__ import annotations

from local.setback import Setback


def test_it_is_said_once_and_once_more_when_it_is_over() -> None:
    said: list[str] = []
    setback = Setback(said.append, quiet_s=0)
    setback.worked(lambda: "never failed")
    setback.failed("full")
    setback.failed("still full")
    setback.worked(lambda: "over")
    setback.worked(lambda: "over, too")
    setback.failed("full again")
    assert said == ["full", "over", "full again"]


def test_what_works_now_and_then_is_not_over() -> None:
    said: list[str] = []
    setback = Setback(said.append)
    for _ in range(3):
        setback.failed("full")
        setback.worked(lambda: "over")
    assert said == ["full"]
