"""A configuration: its bounds, its stored form, and what a person changes of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Self

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import model_validator

from functions.core.configuration import (
    SETTINGS,
    AccountConfiguration,
    ConfigurationError,
    canonical,
    changed,
    configuration_of,
    contradictions,
    differences,
    flat,
    settings_in,
    shown,
)
from protocol.book import Proof
from strategies.builtin import BUILTIN
from strategies.parameters import StrategyParameters, parameter
from tests.support.configuration_builders import TunedParameters, a_row

STRATEGY = "book_imbalance_crypto"
CENTS = st.integers(100, 20_000).map(lambda cents: Decimal(cents) / 100)
CONFIGURATIONS = st.builds(
    AccountConfiguration,
    max_positions=st.integers(1, 100),
    max_entries_per_market=st.none() | st.integers(1, 1_000),
    cooldown_s=st.floats(0, 86_400),
    daily_loss_limit_usd=st.integers(1, 10**15).map(lambda e6: Decimal(e6) / 10**6),
    daily_spend_cap_usd=st.just(Decimal(10**9)),
    size_usd=CENTS,
    enforce_min_order_size=st.booleans(),
    max_book_age_ms=st.integers(1, 10_000),
    book_proof=st.sampled_from(["top", "checksum"]),
    min_time_to_close_s=st.integers(0, 86_400),
)


@given(CONFIGURATIONS)
def test_what_is_stored_is_read_as_it_was(settings: AccountConfiguration) -> None:
    row = a_row(3, **settings.model_dump())
    read = configuration_of(row, STRATEGY, TunedParameters)
    assert read.settings == settings_in(row) == settings
    assert canonical(read.settings) == row.values
    assert read.version == read.limits.config_version == 3


@given(CONFIGURATIONS)
def test_what_is_shown_can_be_typed(settings: AccountConfiguration) -> None:
    typed = {name: shown(value) for name, value in settings.model_dump().items()}
    typed |= {"levels": "7"}
    after, parameters = changed(AccountConfiguration(), {}, TunedParameters, typed)
    assert (after, parameters) == (settings, TunedParameters(levels=7))
    assert differences(flat(settings), flat(after)) == []


def test_the_same_values_are_the_same_text() -> None:
    one = AccountConfiguration(cooldown_s=60, size_usd=Decimal("1.10"))
    other = AccountConfiguration.model_validate({"cooldown_s": "60.0", "size_usd": "1.1"})
    assert canonical(one) == canonical(other)
    assert '"cooldown_s":60.0' in canonical(one)
    assert '"size_usd":"1.1"' in canonical(one)


def test_it_is_used_in_the_units_of_the_account() -> None:
    row = a_row(
        cooldown_s=1.5,
        daily_loss_limit_usd=Decimal("0.5"),
        book_proof="checksum",
        min_time_to_close_s=2,
        size_usd=Decimal(3),
    )
    read = configuration_of(row, STRATEGY, TunedParameters)
    assert (read.limits.cooldown_ms, read.limits.daily_loss_limit_e6) == (1_500, 500_000)
    assert (read.gate.proof_min, read.gate.time_to_close_min_ms) == (Proof.CHECKSUM, 2_000)
    assert read.order.spend_e6 == 3_000_000


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": "{"}, "version 1 of the configuration cannot be followed"),
        ({"values": "[]"}, "cannot be followed"),
        ({"values": '{"max_positions":0}'}, "max_positions: Input should be greater"),
        ({"values": '{"not_yet_invented":1}'}, "not_yet_invented: Extra inputs"),
        ({"parameters": '{"levels":99}'}, "levels: Input should be less"),
        ({"strategy": "another"}, "this account is the strategy another's"),
    ],
)
def test_what_cannot_be_followed_is_one_line(changes: dict[str, Any], said: str) -> None:
    row = msgspec.structs.replace(a_row(), **changes)
    with pytest.raises(ConfigurationError, match=said) as refused:
        configuration_of(row, STRATEGY, TunedParameters)
    assert "\n" not in str(refused.value)


def test_what_a_row_does_not_have_yet_is_as_by_default() -> None:
    row = msgspec.structs.replace(a_row(), values='{"max_positions":7}', parameters="{}")
    read = configuration_of(row, STRATEGY, TunedParameters)
    assert read.settings == AccountConfiguration(max_positions=7)
    assert read.parameters == TunedParameters()


def test_only_what_is_set_and_differs_contradicts() -> None:
    stored = AccountConfiguration(max_positions=2, size_usd=Decimal("1.10"))
    variables = {"max_positions": 5, "size_usd": Decimal("1.1"), "cooldown_s": 300.0}
    [found] = contradictions(variables, stored)
    assert (found.name, found.before, found.after) == ("max_positions", "5", "2")


def test_no_parameter_of_a_built_in_has_the_name_of_a_setting() -> None:
    for strategy in BUILTIN.values():
        assert not set(strategy.Parameters.model_fields) & set(SETTINGS)


def test_parameters_whose_validator_raises_are_one_line() -> None:
    class Raising(StrategyParameters):
        levels: int = parameter(5, "How many.", ge=1)

        @model_validator(mode="after")
        def _divides(self) -> Self:
            assert 1 / (self.levels - 6)
            return self

    with pytest.raises(ConfigurationError, match="raise ZeroDivisionError"):
        changed(AccountConfiguration(), {}, Raising, {"levels": "6"})
    stored = msgspec.structs.replace(a_row(), parameters='{"levels":6}')
    with pytest.raises(ConfigurationError, match=r"version 1 .* raise ZeroDivisionError"):
        configuration_of(stored, stored.strategy, Raising)


def test_every_setting_says_what_it_is() -> None:
    for name in SETTINGS:
        field = AccountConfiguration.model_fields[name]
        assert field.description, name
        assert field.description.endswith("."), name
