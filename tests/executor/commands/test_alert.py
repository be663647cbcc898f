"""`executor alert`: would a person be reached?"""

from __future__ import annotations

import sys

import pytest

from tests.executor.conftest import SECRET as KEY_SECRET
from tests.executor.conftest import Command
from tests.support.http_sink import http_sink

SECRET = "pAsSwOrD-of-mine"


async def test_each_service_says_whether_it_took_the_message(
    run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http_sink() as sink:
        taken, refused = (
            f"json://127.0.0.1:{sink.port}/{SECRET}",
            f"json://u:{SECRET}@127.0.0.1:1/",
        )
        monkeypatch.setenv("ALERT_URLS", f"{taken}, {refused}")
        monkeypatch.setenv("HEARTBEAT_URL", f"{sink.url}/ping/{SECRET}")
        result = await run("alert", "test")
        assert len(sink.requests) == 2
        assert (
            "TEST: alerts of the streaming executor reach you"
            in sink.requests[0][1] + (sink.requests[1][1])
        )
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "sent      JSON (1st of ALERT_URLS)",
        "not sent  JSON (2nd of ALERT_URLS): it cannot be reached, or did not answer in time",
        "sent      HEARTBEAT_URL",
    ]


@pytest.mark.parametrize("command", ["run", "test"])
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "ALERT_URLS and HEARTBEAT_URL are not set: there is nobody to tell"),
        (
            {"ALERT_URLS": f"foo://{SECRET}"},
            "ALERT_URLS: the 1st is no service that apprise knows",
        ),
        ({"HEARTBEAT_URL": SECRET}, "HEARTBEAT_URL: not a URL of the form https://host"),
    ],
)
async def test_what_a_person_can_mend_is_one_line(
    run: Command,
    command: str,
    variables: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = await run("alert", command)
    assert result.exit_code == 2
    shown = result.output + "".join(capfd.readouterr())
    assert said in shown
    assert SECRET not in shown


async def test_a_signing_key_is_refused_unseen(
    run: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEARTBEAT_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("PRIVATE_KEY", KEY_SECRET)
    result = await run("alert", "run")
    shown = result.output + "".join(capfd.readouterr())
    assert result.exit_code == 2
    assert "PRIVATE_KEY" in shown
    assert KEY_SECRET not in shown


async def test_without_apprise_one_line_says_what_to_install(
    run: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEARTBEAT_URL", "http://127.0.0.1:1/")
    for name in [name for name in sys.modules if name.partition(".")[0] == "apprise"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apprise", None)
    for command in ("run", "test"):
        result = await run("alert", command)
        assert result.exit_code == 2
        assert "pip install 'streaming-executor[local]'" in capfd.readouterr().err + result.output
