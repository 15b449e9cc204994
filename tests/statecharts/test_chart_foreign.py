"""The tools read charts of other people: they leave nothing out, and run none of their code."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from statemachine import Event, State, StateChart
from statemachine.io import create_machine_class_from_definition

from statecharts import Bound, Unexpected, compile_chart, model
from statecharts.tools import cli
from statecharts.tools.comparing.diff import diff
from statecharts.tools.drawing import dot, grid, labels, mermaid, nesting
from statecharts.tools.drawing.marks import ADDED
from statecharts.tools.load import UnusableError
from statecharts.tools.walking import paths, routes
from statecharts.tools.walking.replica import atoms, question, replica
from tests.needs import needs_dot
from tests.statecharts.foreign import RAN
from tests.statecharts.foreign.breakfast import Breakfast
from tests.statecharts.foreign.charts import FOREIGN
from tests.statecharts.foreign.claim import Claim
from tests.statecharts.foreign.download import Download
from tests.statecharts.foreign.player import Player

each_chart = pytest.mark.parametrize("chart", FOREIGN, ids=lambda chart: chart.__name__)


@pytest.fixture(autouse=True)
def _none_of_their_code_runs() -> Iterator[None]:
    RAN.clear()
    yield
    assert RAN == []


def name_of(chart: type[Any]) -> str:
    return f"{chart.__module__}:{chart.__name__}"


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert cli.main(arguments) == code
    out, err = capsys.readouterr()
    assert err == ""
    return out


@each_chart
def test_every_transition_is_in_the_table(chart: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has a row below its state: event, guard, targets, actions."""
    plain = model.read(chart)
    rows = [line for line in said(capsys, "table", name_of(chart)).splitlines() if line.startswith("|  | ")]
    assert len(rows) == len(plain.edges)
    edges = [edge for state in plain.states for edge in plain.edges if edge.source == state.id]
    for line, edge in zip(rows, edges, strict=True):
        words = (labels.event(edge), edge.guard, *edge.actions, *edge.after)
        assert all(word in line for word in words)
        assert all(
            nesting.path(plain, target).replace("|", "\\|").replace("<e", "\\<e") in line for target in edge.targets
        )


@each_chart
def test_every_transition_is_in_the_picture(chart: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is an arrow, in DOT and in Mermaid, or in DOT a line in its state."""
    plain = model.read(chart)
    picture = said(capsys, "draw", name_of(chart), "--format", "dot")
    text = said(capsys, "draw", name_of(chart), "--format", "mermaid")
    for edge in plain.edges:
        assert labels.event(edge) in picture
        for target in edge.targets:
            assert f'"{edge.source} to {target}" [label=' in picture
            arrow = rf"^ *{edge.source} --> {target} : (.*<br/>)?{re.escape(labels.event(edge))}"
            assert re.search(arrow, text, re.MULTILINE)


@each_chart
def test_every_event_is_in_the_grid(chart: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Every state that can be active is a column."""
    plain = model.read(chart)
    head, _, *rows = [line for line in said(capsys, "grid", name_of(chart)).splitlines() if line.startswith("|")]
    assert set(plain.events) <= {line.split("`")[1] for line in rows if "`" in line}
    assert not any(state.name in head for state in plain.states if state.is_history)


@each_chart
def test_the_data_is_the_chart(chart: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Read back from JSON it is equal, except for what only a file holds."""
    text = said(capsys, "draw", name_of(chart), "--format", "json")
    assert model.from_json(text) == model.read(chart)
    assert json.loads(text)["name"] == chart.__name__


@needs_dot
@each_chart
def test_a_whole_folder_is_drawn_and_fresh(chart: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Page, grid, Mermaid, DOT, SVG, JSON and index are the same when they are drawn again."""
    arguments = ("draw", name_of(chart), "--into", str(tmp_path))
    said(capsys, *arguments)
    stem = chart.__name__.lower()
    kinds = ("md", "grid.md", "mmd", "dot", "svg", "json")
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", *(f"{stem}.{kind}" for kind in kinds)}
    said(capsys, *arguments, "--check")


DEAD = {
    Player: [
        "Player: middle --following [was_last_but_one]--> last",
        "Player: asleep --wake--> stopped",
    ]
}
"""Transitions that another of the same event hides."""


@each_chart
def test_a_way_is_found_to_every_transition_but_the_hidden_ones(chart: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The hidden ones are named. A replica of the chart that goes a way takes that way's transition last."""
    plain = model.read(chart)
    graph, ways = paths.explore(chart)
    found = routes.shortest(graph, ways)
    wordings = [labels.wording(plain, edge) for edge in plain.edges if not edge.default]
    assert [wording for wording in wordings if wording not in found] == DEAD.get(chart, [])
    page = said(capsys, "paths", name_of(chart))
    assert page.count("**none**") == len(DEAD.get(chart, []))
    for wording, route in found.items():
        stage = paths.arrive(replica(plain), route[:-1])
        assert graph[stage.configuration][route[-1]].taken >= {wording}


@each_chart
def test_a_replica_has_the_same_states_and_transitions(chart: Any) -> None:
    """Its events may be in another order, and complex guards get names."""
    plain, twin = model.read(chart), model.read(replica(model.read(chart)))
    assert [(state.id, state.kind, state.parent, state.entry) for state in twin.states] == [
        (state.id, state.kind, state.parent, state.entry) for state in plain.states
    ]
    ends = [sorted((edge.source, edge.event, edge.targets) for edge in one.edges) for one in (plain, twin)]
    assert ends[0] == ends[1]


@each_chart
@pytest.mark.parametrize("other", FOREIGN, ids=lambda chart: chart.__name__)
def test_any_two_charts_can_be_compared(chart: Any, other: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Every transition of both is in the union, and its pictures can be written."""
    old, new = model.read(chart), model.read(other)
    found = diff(old, new)
    ends = {(edge.source, target) for one in (old, new) for edge in one.edges for target in edge.targets}
    picture, text = dot.render(found.union, found.marks), mermaid.render(found.union, found.marks)
    assert all(f'"{source} to {target}"' in picture for source, target in ends)
    assert all(re.search(rf"^ *{source} --> {target} : ", text, re.MULTILINE) for source, target in ends)
    page = said(capsys, "diff", name_of(chart), name_of(other), code=int(chart is not other))
    assert page.count("\n| ") == len(found.changes) + bool(found.changes)


@each_chart
def test_a_new_chart_is_all_added(chart: Any) -> None:
    """A row for each state and transition of it."""
    plain = model.read(chart)
    found = diff(None, plain)
    assert len(found.changes) == len(plain.states) + len(plain.edges)
    assert set(found.marks.values()) == {ADDED}


def test_what_the_engine_sends_itself_is_never_sent() -> None:
    """A route ends all regions before it takes the transition that waits for them."""
    graph, ways = paths.explore(Breakfast)
    found = routes.shortest(graph, ways)
    assert [move.event for move in found["Breakfast: cooking --done_state_cooking--> served"]] == [
        *("begin", "whistle", "minutes_over", "minutes_over", "pop"),
    ]
    assert not any(move.event.startswith("done_state_") for route in found.values() for move in route)


def test_a_guard_that_asks_for_a_state_is_answered_by_the_chart() -> None:
    """`In('hard')` holds once the egg is hard, and cannot be assumed."""
    graph, ways = paths.explore(Breakfast)
    (route,) = [route for wording, route in routes.shortest(graph, ways).items() if "In('hard')" in wording]
    assert [move.event for move in route] == ["begin", "whistle", "minutes_over", "minutes_over"]
    assert not any("In" in guard for move in route for guard in move.truths)


def test_guards_that_compare_are_asked_by_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    """Each comparison is treated as a name that holds or does not, and is shown as it was written."""
    assert question("a<=b and not (c or d >1)") == "a_at_most_b and not (c or d_above_1)"
    assert atoms("a<=b and In('x') and c") == {"a<=b": "a_at_most_b"}
    assert "`submit`, `decide` [amount > limit, partner], `appeal` [partner]" in said(capsys, "paths", name_of(Claim))


def test_history_is_read_with_its_depth_and_its_beginning() -> None:
    """H is for the substate, H* for all of them. Where it leads at first is not a transition."""
    plain = model.read(Player)
    assert {state.id: nesting.title(state) for state in plain.states if state.is_history} == {
        "last_mode": "H Last mode",
        "last_track": "H* Same track",
    }
    (first,) = [edge for edge in plain.edges if edge.default]
    assert (first.source, labels.event(first), first.targets) == ("last_mode", "(at first)", ("radio",))
    assert "(at first)" in dot.render(plain)


def test_methods_found_by_their_names_are_actions_like_others() -> None:
    """Such are `on_enter_running` and `before_transition`; an invoked task lives as long as its state."""
    plain = model.read(Download)
    assert plain.state("running").entry == ("on_enter_running",)
    assert plain.state("checking").invoke == ("compute_hash",)
    assert all("before_transition" in edge.actions for edge in plain.edges)


GUARDS = [f"guard_{number}" for number in range(24)]


class Sorter(StateChart[Any]):
    """One event, and two dozen guards that choose its transition."""

    start = State(initial=True)
    end = State(final=True)
    for name in GUARDS:
        start.to(end, cond=name, event="choose", on=f"note_{name}")


def test_many_guards_do_not_multiply() -> None:
    """The search tries one combination more than there are guards, not two to their power."""
    graph, _ = paths.explore(Sorter)
    assert len(graph[frozenset({"start"})]) == len(GUARDS) + 1


class Spinner(StateChart[Any]):
    """Once it is told to go, it never stops."""

    still = State(initial=True)
    tick = State()
    tock = State()
    go = still.to(tick) | still.to.itself(cond="careful")
    tick.to(tock)
    tock.to(tick)


class Restless(StateChart[Any]):
    """It never stops."""

    tick = State(initial=True)
    tock = State()
    go = tick.to(tock)
    tick.to(tock)
    tock.to(tick)


def test_what_never_comes_to_rest_is_left_out_or_refused() -> None:
    """So a walk through a chart always ends."""
    graph, _ = paths.explore(Spinner)
    assert graph == {frozenset({"still"}): {}}
    with pytest.raises(UnusableError, match="Restless cannot be walked: its eventless transitions never come to rest"):
        routes.render(Restless)


class Hasty(StateChart[Any]):
    """It moves by itself before any event. Its errors and ends have their dotted names."""

    class errand(State.Compound):  # noqa: N801
        dressed = State(initial=True)
        outside = State()
        home = State(final=True)
        dressed.to(outside)
        back = outside.to(home)

    rest = State()
    fallen = State(final=True)
    at_last = Event(errand.to(rest), id="done.state.errand")
    stumbled = Event(errand.to(fallen) | rest.to(fallen), id="error.execution")


def test_what_happens_before_any_event_needs_no_route() -> None:
    """The tools say so. Events that are declared under dotted names are the engine's own all the same."""
    page = routes.render(Hasty)
    assert "| Errand · Dressed | `(always)` |  | Errand · Outside | (at the beginning) |" in page
    assert "| Errand | `done.state.errand` |  | Rest | `back` |" in page
    assert "| Rest | `error.execution` |  | Fallen | `back`, `error.execution` |" in page


class Graph(StateChart[Any]):
    """Its states and events have names that Graphviz and Mermaid reserve."""

    root = State(initial=True)
    state = State()
    end = State(final=True)

    class node(State.Compound):  # noqa: N801
        note = State(initial=True)
        start_of_node = State()
        note_to_class = State()
        größe = State(final=True)
        edge = note.to(start_of_node) | start_of_node.to(note_to_class) | note_to_class.to(größe)

    strict = root.to(state) | state.to(node) | node.to(end)


class Inbox(StateChart[Any]):
    """Its states have names that other charts use to declare something about themselves."""

    tasks = State(initial=True)
    ignored = State(final=True)
    drop = tasks.to(ignored)


def test_states_may_be_called_like_what_a_chart_says_of_itself() -> None:
    plain = model.read(Inbox)
    assert (plain.tasks, plain.ignored) == ((), {})
    assert model.read(replica(plain)).edges == plain.edges
    assert "1 of 1 transitions can be taken" in routes.render(Inbox)
    reports: list[Unexpected] = []
    bound = Bound(Inbox, paths.note_taker(Inbox), reports.append)
    bound.start()
    bound.fire("drop")
    bound.fire("drop")
    assert [report.event for report in reports] == ["drop"]
    assert compile_chart(Inbox).ignored == {}


@needs_dot
def test_no_name_of_a_state_or_a_chart_is_in_the_way() -> None:
    """Graphviz draws a node for each; Mermaid gets ids that it does not reserve."""
    plain = model.read(Graph)
    drawing = dot.render(plain)
    result = subprocess.run(["dot", "-Tplain"], input=drawing, capture_output=True, text=True, check=True)  # noqa: S607
    assert result.stderr == ""
    nodes = sum(line.startswith("node ") for line in result.stdout.splitlines())
    assert nodes == len(grid.leaves(plain)) + len({(edge.source, edge.targets) for edge in plain.edges}) + 2
    text = mermaid.render(plain)
    assert 'state "Root" as root_\n' in text
    assert 'state "Note" as note_\n' in text
    assert "note_to_class --> gruf6udfe : edge\n" in text
    assert "    end_ --> [*]\n" in text


def test_an_arrow_to_several_states_at_once_is_drawn_to_each() -> None:
    """A chart from a document may have such arrows: one target in each region."""
    regions = {
        region: {"states": {f"{region}_{n}": {"initial": n == 1} for n in (1, 2)}, "initial": True}
        for region in ("left", "right")
    }
    for region in regions:
        regions[region]["states"][f"{region}_1"]["on"] = {"step": [{"target": f"{region}_2"}]}
    chart = create_machine_class_from_definition(
        "Fork",
        states={
            "here": {"initial": True, "on": {"go": [{"target": "left_2 right_2", "on": ["jump"]}]}},
            "there": {"parallel": True, "states": regions, "on": {"back": [{"target": "here"}]}},
        },
    )
    plain = model.read(chart)
    picture, text = dot.render(plain), mermaid.render(plain)
    for target in ("left_2", "right_2"):
        assert f'"here to {target}"' in picture
        assert f"here --> {target} : go" in text
    graph, _ = paths.explore(chart)
    (wording,) = [labels.wording(plain, edge) for edge in plain.edges if edge.event == "go"]
    assert wording == "Fork: here --go--> left_2, right_2"
    assert graph[frozenset({"here"})][paths.Move("go")].taken == {wording}
    assert {"left_2", "right_2"} < graph[frozenset({"here"})][paths.Move("go")].configuration
