"""Forms out of the types of what may be set."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from executor.console.configuration_form import FormField, changes_in, form_of, typed_in
from functions.core.configuration import SETTINGS, AccountConfiguration, changed
from strategies.builtin import BUILTIN
from strategies.parameters import StrategyParameters, parameter


class Mode(StrEnum):
    CALM = "calm"
    WILD = "wild"


class Parameters(StrategyParameters):
    """One of each kind."""

    levels: int = parameter(5, "How many.", ge=1, le=20)
    edge_min_ticks: float = parameter(0.5, "The least edge.", gt=0, lt=1)
    mode: Mode = parameter(Mode.CALM, "How.")
    both: bool = parameter(default=True, help_text="Whether both.")
    label: str = parameter("x", "What it is called.")


STORED: dict[str, Any] = Parameters().model_dump()


def fields(**more: Any) -> dict[str, FormField]:
    groups = form_of(AccountConfiguration(), STORED, Parameters, **more)
    return {field.name: field for group in groups for field in group.fields}


def test_every_setting_and_every_parameter_has_a_field() -> None:
    assert list(fields()) == [*SETTINGS, *Parameters.model_fields]
    for strategy in BUILTIN.values():
        parameters = strategy.Parameters
        groups = form_of(AccountConfiguration(), parameters().model_dump(), parameters)
        assert changes_in(groups) == {}
        assert all(field.help for group in groups for field in group.fields)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("max_positions", ("number", "3", "1", "100", "1", "1 to 100", "")),
        ("cooldown_s", ("number", "300", "0", "86400", "any", "0 to 86400", "seconds")),
        ("size_usd", ("number", "1.1", "1", "10000", "any", "1 to 10000", "USD")),
        ("book_proof", ("select", "top", "", "", "any", "", "")),
        ("enforce_min_order_size", ("checkbox", "false", "", "", "any", "", "")),
        (
            "edge_min_ticks",
            ("number", "0.5", "0", "1", "any", "more than 0 to less than 1", "ticks"),
        ),
        ("mode", ("select", "calm", "", "", "any", "", "")),
        ("both", ("checkbox", "true", "", "", "any", "", "")),
        ("label", ("text", "x", "", "", "any", "", "")),
    ],
)
def test_the_field_is_of_the_type(name: str, wanted: tuple[str, ...]) -> None:
    field = fields()[name]
    found = (field.kind, field.value, field.least, field.most, field.step, field.bounds, field.unit)
    assert found == wanted


def test_what_may_be_without_limit_is_empty_and_stays_so() -> None:
    field = fields()["max_entries_per_market"]
    assert (field.kind, field.value, field.stored, field.limitless) == ("number", "", "none", True)
    assert (field.least, field.most, field.step) == ("1", "1000", "1")
    limited = form_of(AccountConfiguration(max_entries_per_market=2), STORED, Parameters)
    assert changes_in(limited) == {}
    lifted = form_of(
        AccountConfiguration(max_entries_per_market=2),
        STORED,
        Parameters,
        typed={"max_entries_per_market": ""},
    )
    assert changes_in(lifted) == {"max_entries_per_market": "none"}


def test_a_posted_form_is_the_change_that_the_command_makes_of_it() -> None:
    posted = {"value.max_positions": " 4 ", "value.book_proof": "checksum", "why": "because"}
    typed = typed_in(posted, AccountConfiguration) | typed_in(
        {"value.mode": "wild", "value.levels": "5"}, Parameters
    )
    groups = form_of(AccountConfiguration(), STORED, Parameters, typed)
    changes = changes_in(groups)
    assert changes == {
        "max_positions": "4",
        "book_proof": "checksum",
        "mode": "wild",
        "both": "false",
    }
    settings, parameters = changed(AccountConfiguration(), STORED, Parameters, changes)
    assert (settings.max_positions, settings.book_proof) == (4, "checksum")
    assert parameters == Parameters(mode=Mode.WILD, both=False)


def test_what_was_typed_stays_with_the_sentence_at_its_field() -> None:
    found = fields(typed={"levels": "99"}, mistakes={"levels": "too many"})["levels"]
    assert (found.value, found.stored, found.mistake) == ("99", "5", "too many")
