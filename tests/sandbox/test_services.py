from __future__ import annotations

import shlex

import pytest

from functions.settings import LimitSettings
from sandbox.services import Addresses, Options, looking_line, services
from sandbox.simulator import Venue, serve


@pytest.mark.parametrize("execution", ["live", "paper"])
async def test_the_line_to_paste_lets_the_command_line_see_what_the_workers_see(
    execution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(execution=execution, max_positions=7)
    dynamodb_url = "http://127.0.0.1:4321"
    line = looking_line(options, dynamodb_url, "nats://127.0.0.1:1")
    assert "KEY=0x" not in line
    words = shlex.split(line.partition("export ")[2].partition(";")[0])
    assert "NATS_URL=nats://127.0.0.1:1" in words
    async with serve(Venue()) as url:
        at = Addresses(
            nats_url="nats://127.0.0.1:1",
            dynamodb_url=dynamodb_url,
            venue_url=url,
            series=("btc-15m",),
        )
        (worker, *_) = [each for each in await services(options, at) if "worker" in each.name]

    def seen(env: dict[str, str]) -> object:
        with monkeypatch.context() as there:
            for name in LimitSettings.model_fields:
                there.delenv(name.upper(), raising=False)
            for name, value in env.items():
                there.setenv(name, value)
            settings = LimitSettings()
        about = {"aws_endpoint_url_dynamodb", "aws_region", "aws_access_key_id"}
        tables = settings.model_dump(include={"state_table", "decision_table", *about})
        return tables, settings.account, settings.limits()

    assert seen(dict(word.split("=", 1) for word in words)) == seen(worker.env)
