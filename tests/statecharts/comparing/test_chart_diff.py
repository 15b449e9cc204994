"""The difference of two charts is found complete, and is marked with signs in tables and pictures."""

import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statemachine import State, StateChart

from statecharts import CHARTS, Connection, Link, Request, model
from statecharts.tools.comparing import comparison
from statecharts.tools.comparing.diff import Diff, diff
from statecharts.tools.drawing import dot, mermaid
from statecharts.tools.drawing.marks import ADDED, CHANGED, REMOVED
from tests.needs import needs_dot

ROOT = Path(__file__).parents[3]
each_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)


class Before(StateChart[Any]):
    """A door, in the old version."""

    shut = State("SHUT", initial=True, enter=["light_off", "lock"])
    ajar = State("AJAR")
    wide = State("OPEN")
    gone = State("GONE", final=True)

    push = shut.to(ajar, cond="unlocked", on="creak") | ajar.to(wide, on=["creak", "slam"])
    pull = wide.to(shut) | ajar.to(shut, cond="free")
    knock = shut.to(None, cond="awake", on="answer") | shut.to(None, cond="asleep", on="snore")
    remove = shut.to(gone) | wide.to(gone)
    ignored = {"wide": frozenset({"push"})}  # noqa: RUF012
    tasks = {"light": ("light_on", "light_off")}  # noqa: RUF012


class After(StateChart[Any]):
    """The same door in the new version."""

    shut = State("CLOSED", initial=True, enter=["lock"])
    wide = State("OPEN", enter="light_on")

    class off(State.Compound, name="OFF"):  # noqa: N801
        gone = State("GONE", initial=True, final=True)

    push = shut.to(wide, cond="unlocked", on="creak")
    pull = wide.to(shut)
    knock = shut.to(None, cond="asleep", on="snore") | shut.to(None, cond="awake", on=["answer", "open_up"])
    remove = shut.to(off) | wide.to(off.gone, cond="allowed")
    ignored = {"wide": frozenset({"push", "knock"})}  # noqa: RUF012
    tasks = {"light": ("light_on", "light_off remove")}  # noqa: RUF012


@pytest.fixture(scope="module")
def door() -> Diff:
    return diff(model.read(Before), model.read(After))


def lines(found: Diff) -> list[str]:
    return [f"{change.mark.sign} {change.where} {change.what}: {change.how}" for change in found.changes]


def test_every_kind_of_change_is_listed_state_by_state(door: Diff) -> None:
    """The order is the new chart's; what was removed is listed where it stood."""
    assert lines(door) == [
        "± CLOSED state: renamed: SHUT → CLOSED; entry: -light_off, lock",
        "± CLOSED `push` [unlocked]: target: AJAR → OPEN",
        "± CLOSED `knock` [awake]: actions: answer, +open_up",
        "± CLOSED `remove`: target: GONE → OFF",
        "± CLOSED `knock`: tried in the order [awake], [asleep] → [asleep], [awake]",
        "- AJAR state: atomic",
        "- AJAR `push`: → OPEN / creak, slam",
        "- AJAR `pull` [free]: → SHUT",
        "± OPEN state: entry: +light_on",
        "± OPEN `remove`: guard: none → [allowed]",
        "± OPEN ignored: +knock",
        "+ OFF state: compound",
        "± OFF · GONE state: moved: top level → OFF; now initial",
        "±  light: begins: light_on; ends: light_off, +remove",
    ]


def test_the_summary_counts_them(door: Diff) -> None:
    """States are counted first."""
    assert comparison.summary(door) == (
        "1 state added, 1 state removed, 3 states changed, 2 transitions removed, 4 transitions changed, "
        "1 order changed, 1 ignored list changed, 1 task changed"
    )


def test_a_transition_that_leads_elsewhere_is_one_row_and_two_arrows(door: Diff) -> None:
    """The old arrow is dashed and red, the new one green."""
    arrows = {
        edge.targets: door.marks[edge] for edge in door.union.edges if (edge.source, edge.event) == ("shut", "push")
    }
    assert arrows == {("ajar",): REMOVED, ("wide",): ADDED}


def test_what_changed_carries_its_signs_in_the_union(door: Diff) -> None:
    """In a picture the names of actions and guards carry signs within their one line."""
    changed = {edge for edge, mark in door.marks.items() if mark is CHANGED}
    assert {(edge.event, edge.guard, edge.actions) for edge in changed if isinstance(edge, model.EdgeModel)} == {
        ("knock", "awake", ("answer", "+open_up")),
        ("remove", "+allowed", ()),
    }
    assert door.union.state("shut").name == "SHUT → CLOSED"
    assert door.union.state("shut").entry == ("-light_off", "lock")


def test_the_union_keeps_what_was_removed_where_it_stood(door: Diff) -> None:
    """A removed state stands behind the state that it followed."""
    assert [state.id for state in door.union.states] == ["shut", "ajar", "wide", "off", "gone"]


@needs_dot
def test_the_pictures_show_both_versions_with_their_signs(door: Diff) -> None:
    """They are DOT, which Graphviz accepts, and Mermaid."""
    picture, text = dot.render(door.union, door.marks), mermaid.render(door.union, door.marks)
    for line in ("- AJAR", "+ OFF", "± SHUT → CLOSED", "± OPEN"):
        assert line in picture
        assert line in text
    assert "- push [unlocked]" in text
    assert "+ push [unlocked]" in text
    result = subprocess.run(["dot", "-Tsvg"], input=picture, capture_output=True, text=True, check=True)  # noqa: S607
    assert result.stderr == ""


@each_chart
def test_a_chart_does_not_differ_from_itself(chart: Any) -> None:
    """It is read twice, or once from JSON; the union is the chart."""
    plain = model.read(chart)
    same = diff(plain, model.from_json(model.to_json(plain)))
    assert (same.changes, same.marks) == ((), {})
    assert dot.render(same.union) == dot.render(plain)


@each_chart
def test_a_chart_that_exists_once_is_all_added_or_all_removed(chart: Any) -> None:
    """Every state and every transition of it is marked."""
    plain = model.read(chart)
    for found, mark in ((diff(None, plain), ADDED), (diff(plain, None), REMOVED)):
        assert set(found.marks.values()) == {mark}
        assert len(found.marks) == len(plain.states) + len(plain.edges)
        assert {change.mark for change in found.changes} == {mark}
        assert len(found.changes) == len(plain.states) + len(plain.edges) + len(plain.tasks)


@pytest.mark.parametrize(
    ("one", "other"), [(Connection, Link), (Link, Request), (Request, Connection), (Before, After)]
)
def test_backwards_everything_is_the_other_way_round(one: Any, other: Any) -> None:
    """What one direction calls added the other calls removed, also for charts that share hardly a state."""
    there, back = (diff(model.read(a), model.read(b)) for a, b in ((one, other), (other, one)))
    turned = {ADDED: REMOVED, REMOVED: ADDED, CHANGED: CHANGED}
    assert sorted(turned[change.mark].sign + change.subject for change in there.changes) == sorted(
        change.mark.sign + change.subject for change in back.changes
    )
    assert there.changes


names = st.sampled_from(["a", "b", "c", "d"])
lists = st.lists(st.sampled_from(["f", "g", "h"]), max_size=3, unique=True).map(tuple)
edges = st.builds(
    model.EdgeModel,
    source=names,
    event=st.sampled_from(["x", "y"]),
    guard=st.sampled_from(["", "p", "not p"]),
    targets=st.lists(names, max_size=1).map(tuple),
    actions=lists,
    after=lists,
)
states = st.builds(
    model.StateModel, id=names, name=names, parent=st.none(), kind=st.just("atomic"), initial=st.booleans(), entry=lists
)
charts = st.builds(
    model.ChartModel,
    name=st.just("Any"),
    doc=st.just(""),
    prose=st.just(""),
    states=st.permutations("abcd").flatmap(
        lambda ids: st.tuples(*(states.map(lambda state, own=own: replace(state, id=own)) for own in ids))
    ),
    edges=st.lists(edges, max_size=8, unique=True).map(tuple),
    tasks=st.just(()),
    ignored=st.dictionaries(names, lists, max_size=2),
)


@given(old=charts, new=charts)
def test_of_any_two_charts_nothing_is_lost(old: model.ChartModel, new: model.ChartModel) -> None:
    """Every state is in the union once, the counts fit, and the signs lead back to both charts."""
    found = diff(old, new)
    counts = Counter((change.subject, change.mark) for change in found.changes)
    assert sorted(state.id for state in found.union.states) == sorted({state.id for state in old.states + new.states})
    assert len(new.edges) - len(old.edges) == counts["transition", ADDED] - counts["transition", REMOVED]
    for chart, gone in ((old, "+"), (new, "-")):
        entries = {
            state.id: tuple(name.lstrip("+-") for name in state.entry if name[0] != gone)
            for state in found.union.states
        }
        assert entries == {state.id: state.entry for state in chart.states}


@given(one=charts, data=st.data())
def test_order_counts_among_candidates_and_nowhere_else(one: model.ChartModel, data: st.DataObject) -> None:
    """States and transitions may be declared in any order, as long as an event meets its candidates in the same order."""
    edges, states = (data.draw(st.permutations(items)) for items in (one.edges, one.states))
    other = replace(one, edges=tuple(edges), states=tuple(states))
    changes = diff(one, other).changes
    assert {change.subject for change in changes} <= {"order"}
    assert (changes == ()) is (_candidates(one) == _candidates(other))


@given(one=charts, other=charts)
def test_no_change_means_that_the_charts_behave_alike(one: model.ChartModel, other: model.ChartModel) -> None:
    """They have the same states, candidates and ignored events."""
    alike = set(one.states) == set(other.states) and _candidates(one) == _candidates(other) and _ignored(one, other)
    assert (diff(one, other).changes == ()) is alike


def _candidates(chart: model.ChartModel) -> dict[tuple[str, str], list[model.EdgeModel]]:
    found: dict[tuple[str, str], list[model.EdgeModel]] = {}
    for edge in chart.edges:
        found.setdefault((edge.source, edge.event), []).append(edge)
    return found


def _ignored(one: model.ChartModel, other: model.ChartModel) -> bool:
    return all(one.ignored.get(state.id, ()) == other.ignored.get(state.id, ()) for state in one.states)
