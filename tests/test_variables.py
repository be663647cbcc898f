"""Each variable that any process reads, with each value that is none: refused in one line that
begins with the variable and repeats nothing of the value, or taken and used without an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from feeder.settings import FeederSettings, MarketChannelSettings, UserFeederSettings
from functions.aws.settings import FunctionSettings, ReconcileSettings, SettleSettings
from functions.settings import ScheduleSettings, WorkerSettings
from runtime.settings import EnvironmentSettings, load_settings

MARK = "hunter2"
KINDS: tuple[type[EnvironmentSettings], ...] = (
    *(WorkerSettings, ScheduleSettings, FeederSettings, UserFeederSettings),
    *(MarketChannelSettings, FunctionSettings, ReconcileSettings, SettleSettings),
)
NEEDED = {
    "API_KEY": "key",
    "API_SECRET": "c2VjcmV0",
    "API_PASSPHRASE": "word",
    "API_ADDRESS": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
}
"""What the user feeder does not start without, and what the API credentials of others are."""
VARIABLES = sorted(
    {
        # Each once, by the first kind that has it as it is.
        (name, repr(field.annotation), repr(field.metadata)): (name.upper(), kind)
        for kind in reversed(KINDS)
        for name, field in kind.model_fields.items()
    }.values(),
    key=lambda each: (each[0], each[1].__name__),
)
NOTHING: dict[str, bytes] = {
    "spaces": b"   ",
    "line end": b"hunter2\n",
    "two lines": b"hunter2\nhunter2",
    "half a character": b"hunter2\xff",
    "bytes": b"\xff\xfe",
    "not ASCII": "hunter2ž☃".encode(),
    "escape": b"\x1b[31mhunter2",
    "long": b"hunter2" * 15_000,
    "long number": b"9" * 100_000,
    "no number": b"NaN",
    "infinite": b"inf",
    "beyond": b"1e999999999",
    "negative": b"-1",
    "list": b"[1]",
    "object": b'{"hunter2": 1}',
    "password": b"https://u:hunter2@h",
    "user": b"wss://hunter2@h/x",
    "no host": b"https://hunter2:x:y",
    "no path": b"/no/such/hunter2",
    "directory": b"/tmp",
    "device": b"/dev/zero",
    "name in a file too long": b"/tmp/" + b"hunter2" * 100,
}
NO_TEXT = {"spaces", "line end", "two lines", "half a character", "bytes", "escape", "long"}
"""What no name, address, number or key of ours can be."""
STRIPPED = {"API_KEY", "API_SECRET", "API_PASSPHRASE"}
"""They come from files, which end with a line end."""
LOGIN = {"NATS_USER", "NATS_PASSWORD"}
"""Whatever the server takes."""
MADE_OR_MISSING = {
    *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CREDENTIAL_FILE"),
}
"""Files that need not be there, with any name."""
FILES = {"SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"} | MADE_OR_MISSING


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable, _ in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def use(settings: EnvironmentSettings) -> None:
    """What the processes make of it once it is there."""
    for name in ("limits", "gate_config", "order_config", "nats_login", "credentials"):
        getattr(settings, name, lambda: None)()
    for name, value in settings.model_dump().items():
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and name.upper() not in FILES:
            text.encode()


@contextmanager
def given(variable: str, value: bytes) -> Iterator[None]:
    before = dict(os.environb)
    os.environ.update(NEEDED)
    os.environb[variable.encode()] = value
    try:
        yield
    finally:
        os.environb.clear()
        os.environb.update(before)


@pytest.mark.parametrize(
    ("variable", "kind"), VARIABLES, ids=[f"{v}-{k.__name__}" for v, k in VARIABLES]
)
def test_a_value_is_refused_by_the_variables_name_or_taken(
    variable: str, kind: type[EnvironmentSettings], capsys: pytest.CaptureFixture[str]
) -> None:
    taken: set[str] = set()
    for what, value in NOTHING.items():
        with given(variable, value):
            try:
                use(load_settings(kind))
                taken.add(what)
            except SystemExit as refused:
                assert refused.code == 2
                line = capsys.readouterr().err
                assert line.startswith(f"cannot start: {variable}"), (what, line)
                assert line.count("\n") == 1
                assert len(line) < 400, what
                assert MARK not in line, what
                assert line.isascii(), what
    if variable not in LOGIN | MADE_OR_MISSING:
        assert not taken & (NO_TEXT - {"line end"} if variable in STRIPPED else NO_TEXT)
    if variable in FILES:
        assert not taken & {"device", "directory"}
    if "_URL" in variable and variable != "NATS_URL":
        assert not taken & {"password", "user"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_variable_is_an_unset_one(kind: type[EnvironmentSettings]) -> None:
    os.environ.update(NEEDED)
    expected = load_settings(kind)
    for name in kind.model_fields:
        if name.upper() not in NEEDED:
            with given(name.upper(), b""):
                assert load_settings(kind) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_only_variables_in_capitals_count(
    kind: type[EnvironmentSettings], capsys: pytest.CaptureFixture[str]
) -> None:
    """As every document spells them: of two spellings the last one in the environment would count,
    and nobody sees which one that is."""
    os.environ.update(NEEDED)
    expected = load_settings(kind)
    for name in kind.model_fields:
        for spelled in (name, name.title()):
            capsys.readouterr()
            with given(spelled, b"hunter2 \xff"):
                assert load_settings(kind) == expected, spelled
            said = capsys.readouterr()
            assert spelled in said.out + said.err
            assert MARK not in said.out + said.err


def test_no_other_spelling_trades_live(monkeypatch: pytest.MonkeyPatch) -> None:
    for spellings in (("EXECUTION", "execution"), ("Execution", "EXECUTION"), ("", "execution")):
        for name in spellings:
            if name:
                monkeypatch.delenv(name, raising=False)
                monkeypatch.setenv(name, "paper" if name.isupper() else "live")
        assert load_settings(WorkerSettings).execution == "paper"
