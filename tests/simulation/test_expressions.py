"""The expressions against moto's own evaluation, called without a server."""

from __future__ import annotations

import copy
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from moto.dynamodb.exceptions import ConditionalCheckFailed, MockValidationException
from moto.dynamodb.models import DynamoDBBackend

from tests.simulation.expressions import (
    Context,
    InvalidError,
    parse_condition,
    parse_projection,
    parse_update,
    projected,
)

KEY = {"pk": {"S": "p"}, "sk": {"S": "s"}}
NAMES = {"#m": "0xm1", "#o": "0xm2", "#day": "2026-09-21", "#state": "state"}
VALUES: dict[str, Any] = {
    ":one": {"N": "1"},
    ":five": {"N": "5"},
    ":minus": {"N": "-3"},
    ":half": {"N": "0.5"},
    ":a": {"S": "a"},
    ":b": {"S": "b"},
    ":claim": {"M": {"state": {"S": "a"}, "version": {"N": "1"}}},
}
MAPS = ["claims", "claims.#m", "claims.#o", "spent", "pause"]
LEAVES = [
    "trading",
    "amount",
    "nothing",
    "claims.#m.#state",
    "claims.#m.version",
    "claims.#o.version",
    "spent.#day",
    "pause.until_ms",
    "nothing.#m",
]
PATHS = MAPS + LEAVES


@pytest.fixture(scope="module")
def moto() -> DynamoDBBackend:
    backend = DynamoDBBackend("eu-west-1", "123456789012")
    backend.create_table(
        "state",
        schema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        attr=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        throughput=None,
        global_indexes=[],
        indexes=[],
        streams=None,
        billing_mode="PAY_PER_REQUEST",
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=None,
        warm_throughput=None,
    )
    return backend


numbers = st.sampled_from(["1", "5", "-3", "0.5", "2"]).map(lambda n: {"N": n})
texts = st.sampled_from(["a", "b", ""]).map(lambda s: {"S": s})
claims = st.fixed_dictionaries({}, optional={"state": texts, "version": numbers}).map(
    lambda m: {"M": m}
)
items = st.fixed_dictionaries(
    {},
    optional={
        "trading": texts,
        "amount": numbers,
        "claims": st.fixed_dictionaries({}, optional={"0xm1": claims, "0xm2": claims}).map(
            lambda m: {"M": m}
        ),
        "spent": st.fixed_dictionaries({}, optional={"2026-09-21": numbers}).map(
            lambda m: {"M": m}
        ),
        "pause": st.fixed_dictionaries({"until_ms": numbers}).map(lambda m: {"M": m}),
    },
)

paths = st.sampled_from(PATHS)
values = st.sampled_from(list(VALUES))
number_values = st.sampled_from([":one", ":five", ":minus", ":half"])
signs = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
tests = st.one_of(
    st.builds("attribute_exists({})".format, paths),
    st.builds("attribute_not_exists( {} )".format, paths),
    st.builds("{} {} {}".format, paths, signs, values),
    st.builds("{} {} {}".format, st.sampled_from(LEAVES), signs, st.sampled_from(LEAVES)),
    st.builds("size({}) {} {}".format, st.sampled_from(MAPS), signs, number_values),
    st.builds("begins_with({}, {})".format, st.sampled_from(LEAVES), st.just(":a")),
    st.builds("{} BETWEEN {} AND {}".format, paths, number_values, number_values),
    st.builds("{} IN ({}, {})".format, paths, values, values),
)
conditions = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.builds("{} AND {}".format, inner, inner),
        st.builds("{} OR {}".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("NOT ({})".format, inner),
        st.builds("NOT {}".format, tests),
    ),
    max_leaves=6,
)
leaves = st.sampled_from(LEAVES)  # moto copies maps by reference
operands = st.one_of(values, leaves, st.builds("if_not_exists({}, {})".format, leaves, values))
amounts = st.one_of(
    number_values, leaves, st.builds("if_not_exists({}, {})".format, leaves, number_values)
)
assigned = st.one_of(
    operands, st.builds("{} {} {}".format, amounts, st.sampled_from("+-"), amounts)
)


@st.composite
def updates(draw: st.DrawFn) -> str:
    changed = draw(st.lists(paths, min_size=1, max_size=3, unique=True))
    split = draw(st.integers(0, len(changed)))
    sets = [f"{path} = {draw(assigned)}" for path in changed[:split]]
    text = f"SET {', '.join(sets)} " if sets else ""
    return text + (f"REMOVE {', '.join(changed[split:])}" if changed[split:] else "")


def _used(everything: dict[str, Any], *expressions: str) -> dict[str, Any]:
    words = set(re.findall(r"[#:]\w+", " ".join(expressions)))
    return {name: value for name, value in everything.items() if name in words}


def _ours(item: Any, update: str, condition: str) -> Any:
    names, found = _used(NAMES, update, condition), _used(VALUES, update, condition)
    holds, condition_words = parse_condition(condition)
    parsed, update_words = parse_update(update)
    assert condition_words | update_words == {*names, *found}
    context = Context(item, names, found)
    if not holds(context):
        return "refused"
    try:
        return parsed.apply(context, ("pk", "sk"))
    except InvalidError:
        return "invalid"


def _motos(moto: DynamoDBBackend, item: Any, update: str, condition: str) -> Any:
    """What moto says; None where it crashes (types that do not compare, sizes of nothing)."""
    moto.put_item("state", copy.deepcopy(item))
    try:
        moto.update_item(
            "state",
            copy.deepcopy(KEY),
            update,
            _used(NAMES, update, condition),
            copy.deepcopy(_used(VALUES, update, condition)),
            condition_expression=condition,
        )
    except ConditionalCheckFailed:
        return "refused"
    except MockValidationException:
        return "invalid"
    except (TypeError, ValueError, RecursionError):
        return None
    found = moto.get_item("state", copy.deepcopy(KEY))
    assert found is not None
    return _as_dynamodb_writes(found.to_json()["Attributes"])


def _as_dynamodb_writes(value: Any) -> Any:
    """Moto leaves the zeros of 0.5 + 0.5 = 1.0."""
    if not isinstance(value, dict):
        return value
    if "N" in value:
        return {"N": format(Decimal(value["N"]).normalize(), "f")}
    return {name: _as_dynamodb_writes(each) for name, each in value.items()}


@given(items, updates(), conditions)
@settings(
    max_examples=250,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_moto_evaluates_the_same(
    moto: DynamoDBBackend, item: Any, update: str, condition: str
) -> None:
    whole = {**KEY, **item}
    before = copy.deepcopy(whole)
    try:
        ours = _ours(whole, update, condition)
    except NotImplementedError:
        assume(False)
    except InvalidError:
        ours = "invalid"
    assert whole == before, "changed in place"
    motos = _motos(moto, whole, update, condition)
    assume(motos is not None)
    assert ours == motos


def _item() -> Any:
    return {
        **KEY,
        "amount": {"N": "7"},
        "claims": {"M": {"0xm1": {"M": {"state": {"S": "open"}, "version": {"N": "2"}}}}},
    }


def _context(**values: Any) -> Context:
    return Context(_item(), NAMES, {f":{name}": value for name, value in values.items()})


@pytest.mark.parametrize(
    "text",
    [
        "attribute_type(claims, :t)",
        "claims[0] = :v",
        "amount = :v AND",
        "amount LIKE :v",
        "amount = :v)",
        "amount = 'x'",
        "",
    ],
)
def test_a_condition_that_is_not_understood_is_loud(text: str) -> None:
    with pytest.raises(NotImplementedError):
        parse_condition(text)


@pytest.mark.parametrize(
    "text",
    [
        "SET a = list_append(a, :v)",
        "DELETE a :v",
        "SET a = :v SET b = :v",
        "SET a = :v + :v + :v",
        "SET a[0] = :v",
        "amount = :v",
    ],
)
def test_an_update_that_is_not_understood_is_loud(text: str) -> None:
    with pytest.raises(NotImplementedError):
        parse_update(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SET nothing.#m = :v", "document path"),
        ("SET amount.#m = :v", "document path"),
        ("REMOVE nothing.#m", "document path"),
        ("SET pk = :v", "part of the key"),
        ("SET claims.#m = :v, claims.#m.version = :v", "overlap"),
        ("SET claims.#m = :v REMOVE claims", "overlap"),
        ("SET amount = nothing", "does not exist"),
        ("SET amount = nothing + :v", "does not exist"),
        ("SET amount = pk + :v", "data type"),
        ("SET state = :v", "reserved"),
    ],
)
def test_what_dynamodb_refuses_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidError, match=why):
        parse_update(text)[0].apply(_context(v={"N": "1"}), ("pk", "sk"))


def test_right_sides_see_the_old_item() -> None:
    update, _ = parse_update("SET amount = b, b = amount ADD claims.#m.version :v, total_ :v")
    context = _context(v={"N": "10"})
    context.item["b"] = {"N": "1"}
    after = update.apply(context, ("pk", "sk"))
    assert (after["amount"], after["b"], after["total_"]) == (
        {"N": "1"},
        {"N": "7"},
        {"N": "10"},
    )
    assert after["claims"]["M"]["0xm1"]["M"] == {"state": {"S": "open"}, "version": {"N": "12"}}


def test_large_and_decimal_numbers_are_exact() -> None:
    update, _ = parse_update("SET amount = amount + :v")
    for start, added, result in (
        ("12345678901234567890", "1", "12345678901234567891"),
        ("0.1", "0.2", "0.3"),
        ("1.5", "0.5", "2"),
        ("100", "0.0", "100"),
    ):
        context = _context(v={"N": added})
        context.item["amount"] = {"N": start}
        assert update.apply(context, ("pk", "sk"))["amount"] == {"N": result}


def test_a_projection_keeps_the_way_to_what_it_names() -> None:
    found, used = parse_projection("pk, claims.#m.#state, nothing.#o")
    assert used == {"#m", "#state", "#o"}
    assert projected(_context(), found) == {
        "pk": {"S": "p"},
        "claims": {"M": {"0xm1": {"M": {"state": {"S": "open"}}}}},
    }


def test_maps_are_compared_by_what_they_hold() -> None:
    condition, _ = parse_condition("claims.#m = :v")
    same = {"M": {"version": {"N": "2.0"}, "state": {"S": "open"}}}
    assert condition(_context(v=same))
    assert not condition(_context(v={"M": {"version": {"N": "2"}}}))
