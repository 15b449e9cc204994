"""The pictures and pages are fresh, the same on every run, and show every state in its own box."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from statecharts import CHARTS, model
from statecharts.tools import cli, load
from statecharts.tools.drawing import dot, draw, labels, mermaid
from tests.needs import needs_dot
from tests.statecharts.foreign.charts import FOREIGN

ROOT = Path(__file__).parents[3]
DIAGRAMS = ROOT / "diagrams"

each_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)
every_chart = pytest.mark.parametrize("chart", [*CHARTS, *FOREIGN], ids=lambda chart: chart.__name__)


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_committed_diagrams_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    """After a change of a chart, `make diagrams` draws the picture that is committed with it."""
    assert cli.main(["draw", "--check"]) == 0, capsys.readouterr().err


def test_every_chart_of_ours_is_listed() -> None:
    """pyproject.toml lists all charts, which are drawn and covered."""
    assert [load.chart(name) for name in load.listed()] == list(CHARTS)


def test_texts_are_the_same_whatever_the_hash_seed() -> None:
    """Every run writes the same bytes: no code iterates over a set."""
    script = """
from pathlib import Path
from statecharts import CHARTS, model
from statecharts.tools.drawing import draw
print(draw.texts({chart.__name__: model.read(chart) for chart in CHARTS}, Path("diagrams")))
"""
    runs = {_output(script, seed) for seed in ("0", "1", "2")}
    assert len(runs) == 1


def _output(script: str, seed: str) -> bytes:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True).stdout  # noqa: S603


@needs_dot
def test_check_passes_after_drawing_and_names_what_went_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture is stale if its DOT text is another one, a text if a byte differs, either if it is missing."""
    into = ["draw", "--into", str(tmp_path)]
    assert cli.main(into) == 0
    assert cli.main([*into, "--check"]) == 0
    (tmp_path / "link.svg").write_text("<svg/>")
    (tmp_path / "request.md").unlink()
    assert cli.main([*into, "--check"]) == 1
    said = capsys.readouterr().err
    assert f"stale: {tmp_path / 'link.svg'}, {tmp_path / 'request.md'}" in said
    assert f"run `python -m statecharts draw --into {tmp_path}`" in said


def test_without_graphviz_everything_but_the_pictures_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says in one line what to install."""
    monkeypatch.setenv("PATH", "")
    assert cli.main(["draw", "--into", str(tmp_path)]) == 2
    charts = {chart.__name__.lower(): model.read(chart) for chart in CHARTS}
    assert {path.name for path in tmp_path.iterdir()} == set(draw.texts(charts, tmp_path))
    (said,) = capsys.readouterr().err.splitlines()
    assert all(f"{tool} install graphviz" in said for tool in ("apt-get", "brew", "choco"))


@needs_dot
@every_chart
def test_each_box_holds_exactly_the_states_whose_parent_it_is(chart: Any) -> None:
    """In Graphviz's own layout no arrow drags a state into a foreign box."""
    plain = model.read(chart)
    drawn = _laid_out(dot.render(plain))
    names = {item["_gvid"]: item["name"] for item in drawn["objects"]}
    boxes = {item["name"]: item for item in drawn["objects"] if item["name"].startswith("cluster_")}
    deep = {name: {names[node] for node in box.get("nodes", ())} for name, box in boxes.items()}
    leaves = {state.id for state in plain.states if f"cluster_{state.id}" not in boxes}
    assert set(boxes) == {f"cluster_{state.id}" for state in plain.states if state.id not in leaves}
    for name in boxes:
        assert deep[name] & leaves == {leaf for leaf in leaves if name in _boxes_around(plain, leaf)}


def _boxes_around(plain: model.ChartModel, state_id: str) -> set[str]:
    parent = plain.state(state_id).parent
    return {f"cluster_{parent}"} | _boxes_around(plain, parent) if parent else set()


def _laid_out(text: str) -> Any:
    result = subprocess.run(["dot", "-Tjson"], input=text, capture_output=True, text=True, check=True)  # noqa: S607
    assert result.stderr == ""
    return json.loads(result.stdout)


@needs_dot
@every_chart
def test_no_label_lies_on_another_or_on_the_border_of_a_foreign_box(chart: Any) -> None:
    """Nodes and labels keep apart; a box and a node are inside or outside each other."""
    drawn = _laid_out(dot.render(model.read(chart)))["objects"]
    nodes = {item["name"]: _rectangle(item) for item in drawn if "pos" in item}
    boxes = {item["name"]: tuple(map(float, item["bb"].split(","))) for item in drawn if "bb" in item}
    overlapping = [(one, other) for one in nodes for other in nodes if one < other and _meet(nodes[one], nodes[other])]
    across = [(node, box) for node in nodes for box in boxes if _across(nodes[node], boxes[box])]
    assert (overlapping, across) == ([], [])


Rectangle = tuple[float, ...]


def _rectangle(node: Any) -> Rectangle:
    (x, y), wide, high = map(float, node["pos"].split(",")), float(node["width"]) * 72, float(node["height"]) * 72
    return (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _across(node: Rectangle, box: Rectangle) -> bool:
    inside = box[0] <= node[0] and node[2] <= box[2] and box[1] <= node[1] and node[3] <= box[3]
    return _meet(node, box) and not inside


@each_chart
def test_every_transition_is_in_every_kind_of_file(chart: Any) -> None:
    """Each file has all events, guards and actions."""
    plain = model.read(chart)
    picture, page = dot.render(plain), (DIAGRAMS / f"{plain.name.lower()}.md").read_text()
    for edge in plain.edges:
        assert labels.event(edge) in picture
        assert f"| `{labels.event(edge)}` | {labels.guard(plain, edge).strip('[]')} |" in page
        assert all(name in picture and name in page for name in edge.actions)
        for target in edge.targets:
            assert f"{edge.source} to {target}" in picture
            arrow = rf"^ *{edge.source} --> {target} : (.*<br/>)?{re.escape(labels.event(edge))}\b"
            assert re.search(arrow.removesuffix(r"\b"), mermaid.render(plain), re.MULTILINE)


@every_chart
def test_no_mermaid_label_holds_a_colon(chart: Any) -> None:
    """A colon ends a label in Mermaid's state grammar."""
    for line in mermaid.render(model.read(chart)).splitlines():
        assert line.count(":") <= 1


@each_chart
def test_the_committed_data_is_the_chart(chart: Any) -> None:
    """Tools that compare versions read every state and every transition from the JSON."""
    plain = model.read(chart)
    data = json.loads((DIAGRAMS / f"{plain.name.lower()}.json").read_text())
    assert [state["id"] for state in data["states"]] == [state.id for state in plain.states]
    assert len(data["edges"]) == len(plain.edges)
    assert set(data["ignored"]) == set(chart.ignored)


@each_chart
def test_what_an_arrow_does_stands_well_apart_from_its_event(chart: Any) -> None:
    """A picture has two texts there, set by estimated widths; a single blank is lost in a viewer with wider letters."""
    before = re.findall(r'(.{8})<FONT COLOR="#57606a">', dot.render(model.read(chart)))
    bracket = '7606a"> '
    assert [text for text in before if text != bracket]
    assert all(text.endswith("&#160; ") for text in before if text != bracket), before
