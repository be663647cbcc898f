"""What is wrong with the SDK's own variables and files: the line names it, and nothing of it."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import aiobotocore.session
import pytest
from aiobotocore.credentials import AioProcessProvider

from functions.adapters.dynamodb.table import Table, open_client
from functions.adapters.secrets import SecretError, secret_text
from functions.ports import StoreError, StoreMisconfiguredError
from tests.support.dynamodb_engines import _Session

SECRET = "hunter2"
KEYS = {"AWS_ACCESS_KEY_ID": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET}
SSO = "sso_account_id = 1\nsso_role_name = r\n"
ROLE = "role_arn = arn:aws:iam::1:role/x\n"


@pytest.fixture(autouse=True)
def alone(shared_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another session for each test: it keeps what it has read."""
    monkeypatch.setattr(aiobotocore.session, "AioSession", _Session)
    for name in (*KEYS, "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def process(tmp_path: Path, text: str) -> str:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return f"[default]\ncredential_process = {program}\n"


async def asked(region: str = "eu-west-1") -> None:
    async with open_client(region=region, endpoint_url="http://127.0.0.1:1") as client:
        await Table(client, "t", "STATE_TABLE").get("account", Key={})


async def line_of_client() -> str:
    """The same where nothing but the SDK's own options says whom to ask."""
    with pytest.raises(StoreMisconfiguredError) as wrong:
        async with open_client(region="eu-west-1", endpoint_url=None):
            pass
    assert SECRET not in str(wrong.value)
    return str(wrong.value)


async def line_of(region: str = "eu-west-1") -> str:
    with pytest.raises(StoreMisconfiguredError) as wrong:
        await asked(region)
    line = str(wrong.value)
    assert "\n" not in line
    assert SECRET not in line
    return line


@pytest.mark.parametrize(
    ("env", "variable"),
    [
        ({}, "AWS_PROFILE: there are no AWS credentials"),
        ({"AWS_PROFILE": SECRET}, "AWS_PROFILE: "),
        ({"AWS_DEFAULT_PROFILE": SECRET}, "AWS_DEFAULT_PROFILE: "),
        ({"AWS_ACCESS_KEY_ID": SECRET}, "AWS_SECRET_ACCESS_KEY: missing"),
        ({"AWS_SECRET_ACCESS_KEY": SECRET}, "AWS_ACCESS_KEY_ID: missing"),
        *(
            ({**KEYS, name: f"{SECRET}!"}, f"{name}: ")
            for name in (
                *("AWS_DEFAULTS_MODE", "AWS_STS_REGIONAL_ENDPOINTS", "AWS_CREDENTIAL_EXPIRATION"),
                *("AWS_ACCOUNT_ID_ENDPOINT_MODE", "AWS_METADATA_SERVICE_NUM_ATTEMPTS"),
                *("AWS_METADATA_SERVICE_TIMEOUT", "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
                *("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "AWS_REQUEST_CHECKSUM_CALCULATION"),
                *("AWS_RESPONSE_CHECKSUM_VALIDATION", "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES"),
            )
        ),
        (
            {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": f"{SECRET}!"},
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: ",
        ),
        (
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{SECRET}/"},
            "AWS_CONTAINER_CREDENTIALS_FULL_URI: ",
        ),
        (
            {
                "AWS_WEB_IDENTITY_TOKEN_FILE": f"/no/{SECRET}",
                "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x",
            },
            "AWS_WEB_IDENTITY_TOKEN_FILE: ",
        ),
    ],
)
async def test_a_variable_of_the_sdk_is_named(
    env: dict[str, str], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert (await line_of()).startswith(variable)


@pytest.mark.parametrize(
    ("config", "variable"),
    [
        (f"{SECRET}\n", "AWS_CONFIG_FILE: "),
        (f"[default]\naws_access_key_id = {SECRET}\n", "AWS_PROFILE: its profile lacks"),
        (f"[default]\n{ROLE}source_profile = default\n", "AWS_PROFILE: "),
        (f"[default]\n{ROLE}source_profile = nobody\n", "AWS_PROFILE: "),
        (f"[default]\n{ROLE}credential_source = Nobody\n", "AWS_PROFILE: "),
        (f"[default]\nsso_session = s\n{SSO}", "AWS_PROFILE: "),
        (
            f"[default]\nsso_session = s\n{SSO}[sso-session s]\nsso_region = eu-west-1\n"
            "sso_start_url = https://x.awsapps.com/start\n",
            "AWS_PROFILE: its login has ended",
        ),
        ("[default]\ncredential_process = /no/such/program\n", "AWS_PROFILE: its credential_pro"),
        ("[default]\ncredential_process = 'one quote\n", "AWS_PROFILE: its credential_process"),
        ("[default]\ncredential_process = /tmp\n", "AWS_PROFILE: its credential_process"),
    ],
)
async def test_a_profile_that_cannot_be_used_is_named(
    config: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert (await line_of()).startswith(variable)


@pytest.mark.parametrize(
    "printed",
    [
        *(SECRET, "", "[]", "null", "{}", '{"Version": 1}', '{"Version": 2}'),
        '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "Expiration": "soon"}',
    ],
)
async def test_a_process_that_gives_no_credentials_is_named(
    printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(process(tmp_path, f"echo '{printed}'"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert (await line_of()).startswith("AWS_PROFILE: its credential_process")


@pytest.mark.parametrize(
    "key", [f"{SECRET}\\n", f"{SECRET}\\u017e", f"{SECRET}\\ud800", f"\\r\\n{SECRET}", "\\u0000"]
)
@pytest.mark.parametrize("part", ["AccessKeyId", "SecretAccessKey", "SessionToken"])
async def test_credentials_that_no_request_can_carry_are_named(
    part: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c", part: key}
    told = ", ".join(f'"{name}": "{value}"' for name, value in parts.items())
    (tmp_path / "printed").write_text(f'{{"Version": 1, {told}}}')
    (tmp_path / "config").write_text(process(tmp_path, f"cat {tmp_path / 'printed'}"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert (await line_of()).startswith("AWS_PROFILE: its credentials")


@pytest.mark.parametrize("part", ["AccessKeyId", "SecretAccessKey", "SessionToken"])
@pytest.mark.parametrize("value", ["5", "[1]", "null", "{}", "true", '""'])
async def test_credentials_that_are_no_text_are_named(
    part: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if part == "SessionToken" and value in ("null", '""', "{}"):
        return  # none is needed
    parts = {"AccessKeyId": '"a"', "SecretAccessKey": '"b"', "SessionToken": '"c"', part: value}
    told = ", ".join(f'"{name}": {text}' for name, text in parts.items())
    (tmp_path / "printed").write_text(f'{{"Version": 1, {told}}}')
    (tmp_path / "config").write_text(process(tmp_path, f"cat {tmp_path / 'printed'}"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert (await line_of()).startswith("AWS_PROFILE: its credential")


@pytest.mark.parametrize("line", ["aws_access_key_id = \u017e", "aws_session_token = \u017e\u017e"])
async def test_credentials_of_a_file_that_no_request_can_carry_are_named(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"[default]\naws_secret_access_key = b\n{line}\n"
    if "key_id" not in line:
        text += "aws_access_key_id = a\n"
    (tmp_path / "credentials").write_text(text, encoding="utf-8")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert (await line_of()).startswith("AWS_PROFILE: its credentials")


@pytest.mark.parametrize(
    "uri",
    ["http://[::1", "http://127.0.0.1:x/", "http://127.0.0.1:99999/", f"{SECRET}", "http:///x"],
)
async def test_a_uri_of_a_container_that_is_none_is_named(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)
    assert (await line_of()).startswith("AWS_CONTAINER_CREDENTIALS_FULL_URI: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", f"{SECRET}\n{SECRET}"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", f"/no/{SECRET}"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "two lines"),
    ],
)
async def test_a_token_of_a_container_that_is_none_is_named(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value == "two lines":
        (tmp_path / "token").write_text(f"{SECRET}\r\n{SECRET}")
        value = str(tmp_path / "token")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/")
    monkeypatch.setenv(name, value)
    assert (await line_of()).startswith(f"{name}: ")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN])
async def test_a_machine_without_room_is_no_variables_fault(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: object, _: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(AioProcessProvider, "_retrieve_credentials_using", full)
    (tmp_path / "config").write_text(process(tmp_path, "true"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(StoreError, match=os.strerror(number)) as failed:
        await asked()
    assert not isinstance(failed.value, StoreMisconfiguredError)
    assert "AWS_" not in str(failed.value)


async def test_what_may_pass_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = process(tmp_path, "echo the network is down >&2; exit 3")
    (tmp_path / "config").write_text(failing)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for told in ("custom-process.*the network is down", "container-role"):
        with pytest.raises(StoreError, match=told) as failed:
            await asked()
        assert not isinstance(failed.value, StoreMisconfiguredError)
        (tmp_path / "config").write_text("")
        dead = "http://127.0.0.1:1/credentials"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", dead)


@pytest.mark.parametrize("region", ["eu west", "a..b", "x" * 64, SECRET + "!"])
async def test_a_region_that_is_none_is_named(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert (await line_of(region)).startswith("AWS_REGION: ")


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
async def test_certificates_that_are_not_there_are_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {**KEYS, name: f"/no/{SECRET}"}.items():
        monkeypatch.setenv(variable, value)
    assert (await line_of()).startswith("AWS_CA_BUNDLE: ")


@pytest.mark.parametrize("expires", ["2001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"])
async def test_credentials_that_come_expired_are_a_failure_of_the_store(
    expires: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "Expiration": "%s"}'
    (tmp_path / "config").write_text(process(tmp_path, f"echo '{printed % expires}'"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(StoreError):
        await asked()
    with pytest.raises(SecretError):
        await secret_text("s", region="eu-west-1", variable="KEY_SECRET")


MFA = f"[default]\n{ROLE}source_profile = s\nmfa_serial = arn:aws:iam::1:mfa/u\n[profile s]\n"


@pytest.mark.parametrize("keys", ["", "role_arn = arn:aws:iam::1:role/y\nsource_profile = k\n"])
async def test_a_role_that_wants_a_code_is_refused_and_nobody_is_asked(
    keys: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking would read the terminal, or whatever stdin is, in the middle of the event loop."""
    named = "aws_access_key_id = a\naws_secret_access_key = b\n"
    (tmp_path / "config").write_text(f"{MFA}{keys or named}[profile k]\n{named}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    if keys:  # the role on the way wants one, too
        text = (tmp_path / "config").read_text()
        (tmp_path / "config").write_text(text.replace(keys, f"{keys}mfa_serial = m\n"))
    reader, _writer = os.pipe()
    monkeypatch.setattr("sys.stdin", os.fdopen(reader))
    assert (await line_of()).startswith("AWS_PROFILE: its role wants a code")
    with pytest.raises(SecretError):
        await secret_text("s", region="eu-west-1", variable="SECRET")


@pytest.mark.parametrize(
    "config",
    [
        "[default]\nca_bundle = FILE\naws_access_key_id = a\naws_secret_access_key = b\n",
        f"[default]\n{ROLE}web_identity_token_file = FILE\n",
        f"[default]\n{ROLE}source_profile = s\n[profile s]\n{ROLE}web_identity_token_file = FILE\n",
    ],
)
async def test_a_file_of_the_profile_that_is_none_is_refused_instead_of_waited_for(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / SECRET)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for path in (tmp_path / SECRET, "/dev/zero"):
        (tmp_path / "config").write_text(config.replace("FILE", str(path)))
        async with asyncio.timeout(30):
            line = await line_of()
        assert line.startswith("AWS_PROFILE: its "), line
        assert line.endswith(": it is no file, but a directory, a pipe or a device")
        with pytest.raises(SecretError):
            await secret_text("s", region="eu-west-1", variable="SECRET")


OF_ROLE = f"[default]\n{ROLE}source_profile = s\n"
PROFILE_S = "[profile s]\naws_access_key_id = a\naws_secret_access_key = b\n"
STS = f"[services x]\nsts =\n  endpoint_url = {SECRET}\n"


@pytest.mark.parametrize(
    ("config", "env", "blamed"),
    [
        (OF_ROLE + PROFILE_S, {"AWS_ENDPOINT_URL_STS": SECRET}, "AWS_ENDPOINT_URL_STS: "),
        (f"{OF_ROLE}services = x\n{PROFILE_S}{STS}", {}, "AWS_PROFILE: its endpoint_url"),
        (f"{OF_ROLE}region = eu west\n{PROFILE_S}", {}, "AWS_PROFILE: its region"),
    ],
)
async def test_where_a_role_is_taken_that_is_no_url_is_named(
    config: str,
    env: dict[str, str],
    blamed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_REGION", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert (await line_of()).startswith(blamed)


async def test_a_profiles_endpoint_that_is_no_url_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = "aws_access_key_id = a\naws_secret_access_key = b\n"
    (tmp_path / "config").write_text(f"[default]\nendpoint_url = {SECRET}\n{keys}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert (await line_of_client()).startswith("AWS_PROFILE: its endpoint_url")


@pytest.mark.parametrize(
    "env",
    [
        {"AWS_SDK_LOAD_CONFIG": "1"},
        {"AWS_METADATA_SERVICE_NUM_ATTEMPTS": "1"},
        {"AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "10"},
        {"AWS_SDK_LOAD_CONFIG": "true", "AWS_EXECUTION_ENV": "value"},
    ],
)
@pytest.mark.parametrize("printed", ["hello", "", "true", "[10]"])
async def test_a_process_is_blamed_for_what_it_prints_whatever_options_there_are(
    env: dict[str, str], printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(process(tmp_path, f"echo '{printed}'"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert (await line_of()).startswith("AWS_PROFILE: its credential_process")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("BOTO_CONFIG", "[Credentials]\naws_access_key_id = x\n"),
        ("BOTO_CONFIG", f"{SECRET}\n"),
        ("BOTO_CONFIG", "[other]\n"),
        ("BOTO_CONFIG", "[Credentials]\naws_access_key_id = x\naws_secret_access_key = a b\n"),
        ("AWS_CREDENTIAL_FILE", f"{SECRET}\n"),
        ("AWS_CREDENTIAL_FILE", "AWSAccessKeyId=x\n"),
        ("AWS_CREDENTIAL_FILE", "AWSAccessKeyId=x\nAWSSecretKey=a b\n"),
    ],
)
async def test_a_file_of_the_sdks_forerunners_is_named(
    variable: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "file").write_text(text)
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    assert (await line_of()).startswith(f"{variable}: ")


async def test_of_two_profiles_the_one_that_the_sdk_takes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[profile p]\naws_access_key_id = a\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "p")
    assert (await line_of()).startswith("AWS_PROFILE: its profile lacks")
    monkeypatch.setenv("AWS_DEFAULT_PROFILE", "gone")
    assert (await line_of()).startswith("AWS_DEFAULT_PROFILE: the SDK's files have no such")
