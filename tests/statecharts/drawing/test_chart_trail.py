"""A walk through a chart is drawn beside its picture."""

from statecharts import Connection, model
from statecharts.tools.drawing import trail

CHART = model.read(Connection)
WALK = [
    {"Connection: connecting --link_ready--> active"},
    {"Connection: active --shutdown--> stopping", "Connection: stopping --(always) [idle]--> closed"},
]


def test_each_step_is_listed_and_what_it_passed_is_marked() -> None:
    text = trail.render(CHART, WALK)
    assert "  1  Connection: connecting --link_ready--> active\n" in text
    assert "  2  Connection: active --shutdown--> stopping + Connection: stopping --(always) [idle]--> closed\n" in text
    assert 'state "▸ STOPPING" as stopping' in text
    assert "connecting --> active : ▸ link_ready\n" in text
    assert 'state "REPLACING" as replacing' in text


def test_only_the_candidate_that_was_taken_is_marked() -> None:
    marked = {edge.event for edge in trail.marks(CHART, WALK) if isinstance(edge, model.EdgeModel)}
    assert marked == {"link_ready", "shutdown", ""}
