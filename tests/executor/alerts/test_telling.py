"""At least once, and never twice a minute: whatever flickers, and wherever the process dies."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.alerts.alert import Alert
from executor.alerts.alerts_file import AlertsFile, AlertsFileError
from executor.alerts.telling import AGAIN_MS, APART_MS, ToldAlert, decide

T0 = 1_790_000_000_000
KEYS = ("a", "b")


def lasting(key: str, calm_ms: int = 0) -> Alert:
    return Alert(key=key, scope="s", text=f"begins {key}", over=f"ends {key}", calm_ms=calm_ms)


def told_at(
    looks: list[tuple[int, set[str], bool]], alerts: dict[str, Alert]
) -> list[tuple[int, str, str]]:
    """(when, key, text) of all that is told; of each look: when, what holds, is it seen."""
    told: dict[str, ToldAlert] = {}
    messages = []
    for now_ms, holding, known in looks:
        found = [alerts[key] for key in sorted(holding)] if known else []
        decided = decide(told, found, {"s"} if known else set(), now_ms)
        for key, row in decided.changed.items():
            if row is None:
                del told[key]
            else:
                told[key] = row
        messages += [(now_ms, message.key, message.text) for message in decided.messages]
    return messages


@given(
    st.lists(
        st.tuples(st.integers(1, 100_000), st.sets(st.sampled_from(KEYS)), st.booleans()),
        max_size=40,
    ),
    st.sampled_from([0, 30_000, 300_000]),
)
@settings(max_examples=40, deadline=None)
def test_of_one_key_there_is_a_minute_between_two_messages(
    steps: list[tuple[int, set[str], bool]], calm_ms: int
) -> None:
    looks, now_ms = [], T0
    for span_ms, holding, known in steps:
        now_ms += span_ms
        looks.append((now_ms, holding, known))
    messages = told_at(looks, {key: lasting(key, calm_ms) for key in KEYS})
    for key in KEYS:
        times = [at_ms for at_ms, of, _ in messages if of == key]
        assert all(b - a >= APART_MS for a, b in itertools.pairwise(times))
        # What was seen for the first time is told at once.
        first = next((at for at, holding, known in looks if known and key in holding), None)
        assert times[:1] == ([] if first is None else [first])
        # Beginning and end take turns, but for repetitions.
        texts = [text for _, of, text in messages if of == key]
        kinds = [text.split()[0] for text in texts]
        assert all(
            (a, b) in {("begins", "ends"), ("begins", "(still)"), ("(still)", "ends"),
                       ("(still)", "(still)"), ("ends", "begins")}
            for a, b in itertools.pairwise(kinds)
        )  # fmt: skip


@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=60))
@settings(max_examples=20, deadline=None)
def test_what_holds_and_is_not_told_is_told_within_a_minute(spans_ms: list[int]) -> None:
    """It ended, and holds again: at the latest a minute after its end was told, the look after."""
    looks: list[tuple[int, set[str], bool]] = [(T0, {"a"}, True), (T0 + APART_MS, set(), True)]
    now_ms = T0 + APART_MS
    for span_ms in spans_ms:
        now_ms += span_ms
        looks.append((now_ms, {"a"}, True))
    again = [at for at, _, text in told_at(looks, {"a": lasting("a")}) if text == "begins a"][1:]
    due = next((at for at, _, _ in looks[2:] if at - looks[1][0] >= APART_MS), None)
    assert again == ([] if due is None else [due])


def test_what_lasts_is_repeated_each_hour_and_what_has_happened_is_not() -> None:
    looks: list[tuple[int, set[str], bool]] = [
        (T0 + second * 1_000, {"a", "b"}, True) for second in range(0, 2 * 3_600 + 10, 5)
    ]
    once = Alert(key="b", scope="s", text="begins b")
    messages = told_at(looks, {"a": lasting("a"), "b": once})
    assert messages == [
        (T0, "a", "begins a"),
        (T0, "b", "begins b"),
        (T0 + AGAIN_MS, "a", "(still) begins a"),
        (T0 + 2 * AGAIN_MS, "a", "(still) begins a"),
    ]


def test_what_is_not_seen_is_not_over() -> None:
    looks: list[tuple[int, set[str], bool]] = [(T0, {"a"}, True)]
    looks += [(T0 + minute * 60_000, set(), False) for minute in range(1, 30)]
    assert len(told_at(looks, {"a": lasting("a")})) == 1
    looks.append((T0 + 30 * 60_000, set(), True))
    assert told_at(looks, {"a": lasting("a")})[-1][2] == "ends a (it lasted 30 min)"


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    looks: list[tuple[int, set[str], bool]] = [(T0, {"a"}, True), (T0 - 86_400_000, set(), True)]
    assert [text for _, _, text in told_at(looks, {"a": lasting("a")})] == ["begins a", "ends a"]


def test_all_is_forgotten_in_the_end() -> None:
    told: dict[str, ToldAlert] = {}
    for alert in (lasting("a"), Alert(key="b", scope="gone", text="b", over="x")):
        told |= {k: v for k, v in decide({}, [alert], {"s"}, T0).changed.items() if v is not None}
    assert set(decide(told, [], set(), T0 + 4 * 86_400_000).changed.values()) == {None}


# -- with the file, and crashes --------------------------------------------------------------------

CRASHES = ("after_take", "after_attempt", "after_send", "")


@given(
    st.lists(
        st.tuples(
            st.integers(1, 50_000), st.sets(st.sampled_from(KEYS)), st.sampled_from(CRASHES),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    )
)  # fmt: skip
@settings(max_examples=10, deadline=None)
def test_wherever_it_dies_all_is_sent_and_nothing_twice_a_minute(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[int, set[str], str, bool]],
) -> None:
    path = tmp_path_factory.mktemp("alerts") / "alerts.sqlite"
    alerts = {key: lasting(key) for key in KEYS}
    sent: list[tuple[int, str, str]] = []
    promised: list[tuple[str, str]] = []
    file, now_ms = AlertsFile(path), T0

    def reopened() -> AlertsFile:
        file._db.close()  # as a SIGKILL would: nothing is said good-bye to
        return AlertsFile(path)

    def send(crash: str, *, takes: bool) -> None:
        nonlocal file
        rows = file.due("one", now_ms)
        if not rows:
            return
        file.attempting("one", rows, now_ms)
        if crash == "after_attempt":
            file = reopened()
            return
        if takes:
            sent.extend((now_ms, row.key, row.text) for row in rows)
        if crash == "after_send":
            file = reopened()
        elif takes:
            file.sent("one", rows)

    def look(holding: set[str]) -> None:
        decided = decide(file.told, [alerts[key] for key in sorted(holding)], {"s"}, now_ms)
        assert not file.take(decided, ["one"], now_ms)
        promised.extend((message.key, message.text) for message in decided.messages)

    for span_ms, holding, crash, takes in steps:
        now_ms += span_ms
        look(holding)
        if crash == "after_take":
            file = reopened()
        send(crash, takes=takes)
    for _ in range(4):  # a while in which nothing fails
        now_ms += APART_MS
        send("", takes=True)
    assert file.waiting("one") == 0
    file.close()
    for key in KEYS:
        times = [at_ms for at_ms, of, _ in sent if of == key]
        assert all(b - a >= APART_MS for a, b in itertools.pairwise(times))
        said = "\n".join(text for _, of, text in sent if of == key)
        assert all(text in said for of, text in promised if of == key)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    file = AlertsFile(tmp_path / "alerts.sqlite")
    with pytest.raises(AlertsFileError, match="another `executor alert run`"):
        AlertsFile(tmp_path / "alerts.sqlite")
    file.close()
    AlertsFile(tmp_path / "alerts.sqlite").close()


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "alerts.sqlite"
    path.write_bytes(b"no database" * 1_000)
    AlertsFile(path).close()
    assert (tmp_path / "alerts.sqlite.damaged").read_bytes().startswith(b"no database")


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "alerts.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=7")
    db.close()
    with pytest.raises(AlertsFileError, match=r"of another version \(7\)"):
        AlertsFile(path)


def test_a_disk_that_takes_nothing_stops_no_alert(tmp_path: Path) -> None:
    path = tmp_path / "alerts.sqlite"
    file = AlertsFile(path)
    file._db.execute("PRAGMA query_only=1")
    file.take(decide({}, [lasting("a")], {"s"}, T0), ["one"], T0)
    assert [row.text for row in file.due("one", T0)] == ["begins a"]
    file._db.execute("PRAGMA query_only=0")
    file.note("x", 1)  # and the disk has room again
    file.close()
    again = AlertsFile(path)
    assert set(again.told) == {"a"}
    assert again.waiting("one") == 1
    again.close()


def test_what_comes_while_the_same_key_is_being_sent_is_sent_later(tmp_path: Path) -> None:
    file = AlertsFile(tmp_path / "alerts.sqlite")
    file.take(decide({}, [lasting("a")], {"s"}, T0), ["one"], T0)
    rows = file.due("one", T0)
    file.attempting("one", rows, T0)
    later_ms = T0 + APART_MS
    file.take(decide(file.told, [], {"s"}, later_ms), ["one"], later_ms)
    file.sent("one", rows)
    assert [row.text for row in file.due("one", later_ms)] == ["ends a (it lasted 1 min)"]
    file.close()


def test_what_waits_is_bounded_and_given_up_after_six_hours(tmp_path: Path) -> None:
    file = AlertsFile(tmp_path / "alerts.sqlite")
    many = [lasting(f"k{number}") for number in range(205)]
    assert file.take(decide({}, many, {"s"}, T0), ["one", "two"], T0) == {"one": 5, "two": 5}
    assert len(file.due("one", T0)) == 20
    assert file.give_up("one", T0 + 6 * 3_600_000) == 0
    assert file.give_up("one", T0 + 6 * 3_600_000 + 1) == 200
    assert file.keep_only(["one"]) == 200
    assert file.waiting("two") == 0
    file.close()
