"""Keys, addresses and API credentials as they are given: what is none is one line without it."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from venue.api_settings import (
    CURVE_ORDER,
    ApiKey,
    Base64Secret,
    HeaderSecret,
    SignerAddress,
    SigningKey,
    WalletAddress,
)

DIGITS = "ab" * 32
CHECKSUMMED = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
UUID = "3f2b8c1e-6f0a-4b55-9a51-0d6f3a1b2c3d"


class Given(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    private_key: SigningKey | None = None
    wallet: WalletAddress | None = None
    api_key: ApiKey | None = None
    api_secret: Base64Secret | None = None
    api_passphrase: HeaderSecret | None = None
    api_address: SignerAddress | None = None


def refusal(**given: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        Given(**given)
    [mistake] = refused.value.errors()
    assert mistake["loc"][0] == next(iter(given))
    text = str(refused.value)
    assert next(iter(given.values())).strip() not in text
    return mistake["msg"]


@pytest.mark.parametrize("key", [DIGITS, f"0x{DIGITS}", f"0X{DIGITS.upper()}", f" 0x{DIGITS}\r\n"])
def test_a_signing_key_is_64_hex_digits_however_they_are_written(key: str) -> None:
    taken = Given(private_key=SecretStr(key)).private_key
    assert taken is not None
    assert Account.from_key(taken.get_secret_value()) == Account.from_key(DIGITS)
    assert Given(private_key=key).private_key == taken  # type: ignore[arg-type] - as pydantic takes it


@pytest.mark.parametrize(
    "key",
    [
        DIGITS[1:],  # silently padded by what signs: another signer
        f"0x{DIGITS[1:]}",
        DIGITS + "a",
        DIGITS[:-2],
        DIGITS + "\n" + DIGITS,
        DIGITS[:32] + " " + DIGITS[32:],
        "zz" * 32,
        "0x" + "zz" * 32,
        "0x0x" + DIGITS[4:],
        "٣" * 64,  # digits, but not of ours
        CHECKSUMMED,
        UUID,
        "witch collapse practice feed shame open despair creek road again ice least",
    ],
)
def test_what_is_no_signing_key_is_refused(key: str) -> None:
    assert "64 hex digits" in refusal(private_key=key)


@pytest.mark.parametrize("number", [0, CURVE_ORDER, CURVE_ORDER + 1, (1 << 256) - 1])
def test_a_number_that_the_curve_does_not_have_is_no_key(number: int) -> None:
    assert "curve" in refusal(private_key=f"{number:064x}")


@pytest.mark.parametrize("number", [1, CURVE_ORDER - 1])
def test_the_first_and_the_last_key_of_the_curve_are_keys(number: int) -> None:
    assert Given(private_key=f"{number:064x}").private_key is not None  # type: ignore[arg-type] - as pydantic takes it


@pytest.mark.parametrize("name", ["wallet", "api_address"])
@pytest.mark.parametrize(
    "address",
    [CHECKSUMMED, CHECKSUMMED.lower(), "0x" + CHECKSUMMED[2:].upper(), f"{CHECKSUMMED}\n"],
)
def test_an_address_is_taken_with_its_checksum_or_in_one_case(name: str, address: str) -> None:
    assert getattr(Given(**{name: address}), name) == address.strip()


@pytest.mark.parametrize("name", ["wallet", "api_address"])
@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("0x12", "not an address"),
        (CHECKSUMMED + "0", "not an address"),
        (CHECKSUMMED[2:], "not an address"),
        ("0x" + DIGITS, "not an address"),
        ("0x" + "g" * 40, "not an address"),
        (CHECKSUMMED.replace("0x19E7", "0x19e7"), "checksum"),
        (CHECKSUMMED.replace("0x19E7", "0x19E8"), "checksum"),
    ],
)
def test_what_is_no_address_or_mistyped_is_refused(name: str, address: str, told: str) -> None:
    assert told in refusal(**{name: address})


@pytest.mark.parametrize("name", ["api_key", "api_secret", "api_passphrase"])
def test_a_signing_key_in_another_variable_is_refused(name: str) -> None:
    """It would be sent to the venue with every question."""
    assert "signing key" in refusal(**{name: f"0x{DIGITS}"})


@pytest.mark.parametrize("name", ["api_key", "api_secret"])
def test_a_bare_signing_key_is_refused_where_nothing_else_looks_like_one(name: str) -> None:
    assert "signing key" in refusal(**{name: DIGITS})


def test_the_venue_s_passphrases_look_like_signing_keys_and_are_taken() -> None:
    assert Given(api_passphrase=DIGITS).api_passphrase is not None  # type: ignore[arg-type] - as pydantic takes it


@pytest.mark.parametrize("name", ["api_key", "api_secret", "api_passphrase"])
def test_space_around_a_credential_is_a_file_s_and_space_in_it_is_a_mistake(name: str) -> None:
    taken = getattr(Given(**{name: " c2VjcmV0\r\n"}), name)
    assert taken.get_secret_value() == "c2VjcmV0"
    assert "plain text" in refusal(**{name: "c2Vj cmV0"})
    assert "plain text" in refusal(**{name: "c2Vj\ncmV0"})
    with pytest.raises(ValidationError):
        Given(**{name: "  "})
