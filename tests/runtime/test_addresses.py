"""Addresses that nothing can be reached at are named at start, in one line, whatever is wrong."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import certifi
import pytest
from prometheus_client import CollectorRegistry

from functions.settings import WorkerSettings
from runtime.addresses import origins
from runtime.health import health_server
from runtime.settings import EnvironmentSettings, MetricsSettings, load_settings, url_of
from runtime.trust import check_certificates, check_directory

SECRET = "hunter2"


class Addresses(EnvironmentSettings):
    some_url: Annotated[str, url_of("https", "http")] = "http://h"


class Metrics(MetricsSettings):
    metrics_port: int = 0


def refused(kind: type[EnvironmentSettings], capsys: pytest.CaptureFixture[str], name: str) -> str:
    with pytest.raises(SystemExit) as told:
        load_settings(kind)
    assert told.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith(f"cannot start: {name}: ")
    assert line.count("\n") == 1
    assert SECRET not in line
    return line


@pytest.mark.parametrize(
    "host",
    [
        *("a..b", ".a", "a.b..", "..", ".", "-", "a b", "a\tb", "a\x7fb", "a\nb", "a%20b", "a|b"),
        *(
            "a\\b",
            "a<b",
            'a"b',
            "a{b}",
            "a,b",
            "$HOST",
            "${HOST}",
            "<host>",
            "x" * 64,
            "a.".ljust(300, "x"),
        ),
        *(".".join(["abcdefgh"] * 30), "256.1.1.1", "1.2.3.4.5", "1.2.3", "0x7f.1"),
        *("::1", "fe80::1", "::1:8080", "[::1", "::1]", "[]", "[zz]", "[1.2.3.4]", "[::1]x"),
        *("a:", "a:b", "a:0", "a:-1", "a:65536", "a:99999", "a:80:80", "a: 80", "a:8 0", "a:٨"),
        *("[::1]:0", "[::1]:x", f"{SECRET}@", f"u:{SECRET}@:80", f"u:{SECRET}@a..b"),
        *("\ud800", "ü" * 60, "a\u3002\u3002b", "\u200b"),
    ],
)
def test_a_host_that_cannot_be_one_is_refused(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        monkeypatch.setenv("SOME_URL", f"http://{host}")
    except (ValueError, UnicodeEncodeError):
        pytest.skip("no environment can hold it")
    refused(Addresses, capsys, "SOME_URL")


@pytest.mark.parametrize(
    "url",
    ["http://h/#there", "http://h?x=1", " http://h", "http://h/a b", "http//h", "h", "ftp://h"],
)
def test_what_is_no_base_of_paths_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_URL", url)
    refused(Addresses, capsys, "SOME_URL")


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "a.b.c.", "a_b", "a-b.example:443", "127.0.0.1", "[::1]", "[::1]:65535"),
        *("xn--bcher-kva.example", "bücher.example", "2a.example", "x" * 63),
    ],
)
def test_a_host_that_can_be_one_is_taken(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_URL", f"http://{host}/path/")
    assert load_settings(Addresses).some_url == f"http://{host}/path"


@pytest.mark.parametrize(
    "user", [SECRET, f"u:{SECRET}", f":{SECRET}", f"{SECRET}:", "", f"a@{SECRET}"]
)
def test_a_user_or_a_password_is_refused(
    user: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_URL", f"http://{user}@h:1/path")
    assert "user" in refused(Addresses, capsys, "SOME_URL")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"https://h/v2/{SECRET}", "https://h"),
        (f"at wss://h:1/{SECRET}/ws?key={SECRET}, again", "at wss://h:1, again"),
        (f"https://h/{SECRET}: HTTP 404", "https://h: HTTP 404"),
        (f"(https://[::1]:8/{SECRET}) and 'http://h?{SECRET}'", "(https://[::1]:8) and 'http://h'"),
        (f"nats://u:{SECRET}@h:4222", "nats://h:4222"),
        (f"nats://u:{SECRET}'\"<@{SECRET}@h:4222", "nats://h:4222"),
        (f"tls://{SECRET}@h", "tls://h"),
        (f'{{"url": "HTTPS://h/{SECRET}"}}', '{"url": "HTTPS://h"}'),
        ("http://h", "http://h"),
        ("h:4222, a/b?c", "h:4222, a/b?c"),
        ("see /metrics: 1 != 2", "see /metrics: 1 != 2"),
    ],
)
def test_of_a_url_only_its_host_is_shown(text: str, said: str) -> None:
    assert origins(text) == said


def test_what_is_shown_is_found_in_time() -> None:
    for part in ("a.", "a://", ":", "/", "a://b@", "a://b/", "http://h/x'"):
        began_s = time.thread_time()
        origins(f"{part * 200_000}://")
        assert time.thread_time() - began_s < 5, part


@pytest.mark.parametrize(
    "host", ["a..b", "x" * 64, "a b", "[::1]", "http://h", "127.0.0.1:9101", "256.0.0.1", "*"]
)
def test_a_metrics_host_that_cannot_be_one_is_refused(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METRICS_HOST", host)
    refused(Metrics, capsys, "METRICS_HOST")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "localhost", "fe80::1%lo"])  # noqa: S104 - what may be said
def test_a_metrics_host_may_be_any_of_this_machine(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRICS_HOST", host)
    assert load_settings(Metrics).metrics_host == host


async def listening(host: str, port: int) -> None:
    async with health_server(host, port, CollectorRegistry(), lambda: None):
        pass


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a..b"])
async def test_an_address_that_is_not_ours_blames_the_host(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        await listening(host, 0)
    line = capsys.readouterr().err
    assert line.startswith("cannot start: METRICS_HOST: ")
    assert line.count("\n") == 1


async def test_a_port_that_is_taken_blames_the_port(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit):
        await listening("127.0.0.1", taken.getsockname()[1])
    assert capsys.readouterr().err.startswith("cannot start: METRICS_PORT: ")
    await asyncio.sleep(0)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_trust_that_is_not_there_is_refused(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "no" / "such"))
    refused(Addresses, capsys, name)


@pytest.mark.parametrize("content", ["", "hunter2", "-----BEGIN CERTIFICATE-----\nhunter2\n"])
def test_a_file_without_certificates_is_refused(
    content: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "ca.pem").write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert "PEM" in refused(Addresses, capsys, "SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    refused(Addresses, capsys, "SSL_CERT_FILE")


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def unreadable(path: Path) -> Path:
    (path / "in").mkdir(parents=True)
    path.chmod(0)
    return path / "in"


def loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def huge(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(1 << 40)
    return path


def linked(path: Path) -> Path:
    path.symlink_to(fifo(path.with_name("there")))
    return path


class Everything(WorkerSettings):
    metrics_port: int = 0


NAMED = ("SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
OF_THE_SDK = (
    *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", [*NAMED, *OF_THE_SDK])
@pytest.mark.parametrize("made", [fifo, huge, linked])
def test_what_is_no_file_is_not_waited_for(
    name: str,
    made: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, str(made(tmp_path / SECRET)))
    refused(Everything, capsys, name)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("made", [loop, unreadable])
def test_what_cannot_be_reached_is_refused(
    name: str,
    made: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = made(tmp_path / SECRET)
    if os.geteuid() == 0 and made is unreadable:
        pytest.skip("root enters everything")
    monkeypatch.setenv(name, str(path))
    refused(Everything, capsys, name)


def test_the_sdks_files_may_be_missing_or_the_null_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path in ("/no/such/file", os.devnull):
        for name in OF_THE_SDK:
            monkeypatch.setenv(name, path)
        assert load_settings(Everything).aws_config_file == path


@pytest.mark.parametrize("check", [check_certificates, check_directory])
@pytest.mark.parametrize("path", [SECRET * 1_000, f"{SECRET}\0", "\ud800", f"/{SECRET}" * 2_000])
def test_what_can_be_no_path_is_a_value_error(check: Callable[[str], str], path: str) -> None:
    with pytest.raises(ValueError, match=" ") as wrong:
        check(path)
    assert SECRET not in str(wrong.value)
    assert not isinstance(wrong.value, UnicodeError)


def test_a_pipe_in_the_home_directory_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".aws").mkdir()
    fifo(tmp_path / ".aws" / "credentials")
    monkeypatch.setenv("HOME", str(tmp_path))
    refused(Everything, capsys, "AWS_SHARED_CREDENTIALS_FILE")


def test_trust_that_is_there_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert load_settings(Addresses).ssl_cert_dir == str(tmp_path)
