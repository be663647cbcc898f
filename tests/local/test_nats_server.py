"""How a nats-server is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local.child import Child, ChildError
from local.nats_server import start_nats


class Told(Child):
    """A process that is not started."""

    env: Mapping[str, str]

    async def start(self, *argv: str, env: Mapping[str, str], **_: Any) -> None:
        self.env = env
        raise ChildError("enough")


@pytest.mark.parametrize(("set_to", "given"), [(None, "1"), ("", "1"), ("4", "4")])
async def test_it_has_one_processor_unless_the_environment_says_otherwise(
    set_to: str | None, given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GOMAXPROCS", raising=False)
    if set_to is not None:
        monkeypatch.setenv("GOMAXPROCS", set_to)
    child = Told("nats", tmp_path)
    with pytest.raises(ChildError, match="enough"):
        await start_nats(child, tmp_path)
    assert child.env == {"GOMAXPROCS": given}
