"""The command as a person types it: both ways of starting it, from anywhere."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pty
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from functions.adapters.dynamodb.store import DynamoStore
from sandbox.dynamodb import CREDENTIALS_ENV

ROOT = Path(__file__).parents[2]
INSTALLED = Path(sys.executable).with_name("executor")
PIPE = asyncio.subprocess.PIPE


async def finished(*argv: str, cwd: Path, **env: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env={**os.environ, **env}, stdout=PIPE, stderr=PIPE
    )
    stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def test_both_ways_list_every_command(tmp_path: Path) -> None:
    (_, module, _), (code, installed, _) = await asyncio.gather(
        finished(sys.executable, "-m", "executor", "--help", cwd=ROOT),
        finished(str(INSTALLED), "--help", cwd=tmp_path),
    )
    assert code == 0
    assert installed == module
    commands = ("status", "positions", "decisions", "halt", "resume", "reconcile", "doctor")
    for command in (*commands, "config", "record", "inspect"):
        assert command in installed


async def test_json_is_alone_on_stdout(store: DynamoStore, tmp_path: Path) -> None:
    await store.open_account()
    code, stdout, stderr = await finished(str(INSTALLED), "status", "--json", cwd=tmp_path)
    assert (code, stderr) == (0, "")
    assert json.loads(stdout)["trading"] is True


async def test_a_run_keeps_its_log_off_stdout(
    store: DynamoStore, venue: object, tmp_path: Path
) -> None:
    await store.open_account()
    code, stdout, stderr = await finished(str(INSTALLED), "reconcile", cwd=tmp_path)
    assert code == 0
    assert stdout.startswith("account ")
    assert "{" not in stdout
    assert {json.loads(line)["service"] for line in stderr.splitlines()} == {"executor"}


async def test_a_terminal_that_lacks_a_character_gets_its_number(
    store: DynamoStore, tmp_path: Path
) -> None:
    code, stdout, stderr = await finished(
        *(str(INSTALLED), "halt", "--reason", "größer"), cwd=tmp_path, PYTHONIOENCODING="ascii"
    )
    assert (code, stderr) == (0, "")
    assert "HALTED: gr\\xf6\\xdfer" in stdout
    assert (await store.account()).halt_reason == "größer"


async def test_halt_takes_effect_even_if_nothing_can_be_said(
    store: DynamoStore, tmp_path: Path
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(INSTALLED), "halt", "--reason", "now"), cwd=tmp_path, stdout=full, stderr=PIPE
        )
    finally:
        os.close(full)
    _, stderr = await process.communicate()
    assert (await store.account()).halt_reason == "now"
    assert process.returncode == 1
    assert stderr == b"cannot write the answer: No space left on device\n"


async def test_misuse_exits_2() -> None:
    code, _, stderr = await finished(sys.executable, "-m", "executor", "no-such", cwd=ROOT)
    assert code == 2
    assert "Traceback" not in stderr


async def test_a_reader_that_is_gone_changes_nothing(store: DynamoStore, tmp_path: Path) -> None:
    await store.halt("a test")
    for command, env in (("resume", {}), ("status", {}), ("status", {"PYTHONUNBUFFERED": "1"})):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            process = await asyncio.create_subprocess_exec(
                *(str(INSTALLED), command),
                cwd=tmp_path,
                env={**os.environ, **env},
                stdout=writer,
                stderr=PIPE,
            )
        finally:
            os.close(writer)
        _, stderr = await process.communicate()
        assert (process.returncode, stderr) == (0, b"")
    assert (await store.account()).trading == "enabled"


async def test_an_answer_waits_for_a_slow_reader(store: DynamoStore, tmp_path: Path) -> None:
    await store.open_account()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # as some shells and supervisors leave it
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    process = await asyncio.create_subprocess_exec(
        *(str(INSTALLED), "status", "--json"), cwd=tmp_path, stdout=writer, stderr=PIPE
    )
    os.close(writer)
    await asyncio.sleep(0.5)
    with os.fdopen(reader, "rb") as pipe:
        text = await asyncio.to_thread(pipe.read)
    _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (0, b"")
    assert json.loads(text.lstrip(b"x"))["trading"] is True


SSO = """
[profile trader]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Trader
region = eu-west-1
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
"""


async def test_an_expired_login_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    (tmp_path / ".aws" / "config").write_text(SSO)
    token = {
        "startUrl": "https://corp.awsapps.com/start",
        "region": "eu-west-1",
        "accessToken": "expired",
        "expiresAt": "2020-01-01T00:00:00Z",
    }
    name = hashlib.sha1(b"corp", usedforsecurity=False).hexdigest()
    (cache / f"{name}.json").write_text(json.dumps(token))
    code, stdout, stderr = await finished(
        *(str(INSTALLED), "status"), cwd=tmp_path, HOME=str(tmp_path), AWS_PROFILE="trader"
    )
    assert (code, stdout) == (2, "")
    assert stderr.count("\n") == 1, stderr
    assert "AWS_PROFILE: its login has ended" in stderr


def limited(files: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


async def test_what_this_machine_lacks_is_not_the_answers_fault(tmp_path: Path) -> None:
    for files in range(4, 9):  # from its event loop to its first socket, and one more
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "executor", "status"),
            cwd=ROOT,
            env={
                **os.environ,
                **CREDENTIALS_ENV,
                "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1",
            },
            stdout=PIPE,
            stderr=PIPE,
            preexec_fn=limited(files),
        )
        _, stderr = await process.communicate()
        text = stderr.decode()
        assert process.returncode == 1, text
        assert "cannot write the answer" not in text
        assert "AWS_" not in text or "EndpointConnectionError" in text, text


async def test_help_that_cannot_be_written_is_said() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "executor", "--help"), cwd=ROOT, stdout=full, stderr=PIPE
        )
    finally:
        os.close(full)
    _, stderr = await process.communicate()
    assert process.returncode == 1
    assert stderr == b"cannot write the answer: No space left on device\n"


async def test_an_answer_is_said_whatever_the_terminal_says_of_its_width(tmp_path: Path) -> None:
    terminal, theirs = pty.openpty()
    os.set_blocking(terminal, False)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SAY),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    assert await process.wait() == 0
    said = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    _, *answers = said.split("width ")
    assert [each.splitlines()[0] for each in answers] == WIDTHS
    for answer in answers:
        assert "HALTED: why" in answer
        assert "balance" in answer


WIDTHS = ["0", "1", "-7", "²", "nothing", "9" * 30, "80"]
SAY = f"""
import os
from executor.answers import say
from executor.doctor.finding import ok
from executor.rendering import findings_view, plain
for columns in {WIDTHS}:
    print("width", columns, flush=True)
    os.environ["COLUMNS"] = columns
    say(plain("HALTED: why", "bold red"))
    say(findings_view([ok("balance", "enough")]))
"""
