"""diagrams/modules.svg is up to date with the code."""

from pathlib import Path

import pytest

from docs import modules
from statecharts.tools.drawing import picture
from tests.needs import needs_dot


def test_the_committed_picture_is_fresh() -> None:
    """Graphviz draws other bytes in each release, so the hash of the picture's text is checked."""
    assert modules.stale() == [], "run `make diagrams`"


@needs_dot
def test_the_picture_has_every_room_and_arrow() -> None:
    text = modules.render()
    drawn = picture.svg(text)

    assert drawn.count('class="node"') == len(modules.Boxes().floor)
    assert drawn.count('class="edge"') == text.count(" -> ") - text.count("style=invis")


def test_an_arrow_is_left_out_where_others_imply_it(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = modules.Boxes()
    monkeypatch.setattr(boxes, "below", {"a": {"b", "c"}, "b": {"c", "d"}, "c": set(), "d": set()})

    assert list(boxes.arrows(["a", "b", "c"])) == [("a", "b"), ("b", "c")]


def test_a_change_makes_both_files_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEXT", "PICTURE"):
        monkeypatch.setattr(modules, name, tmp_path / getattr(modules, name).name)
        getattr(modules, name).write_text("digraph {}")

    assert modules.stale() == ["modules.dot", "modules.svg"]
