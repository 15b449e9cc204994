"""Events are frozen data: compared, hashed and shown by their fields."""

import dataclasses

import pytest

from connect import events
from connect.events import Closed, Connected, Event, FlushFailed, ReplyFlushed

KINDS = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_a_frozen_dataclass_by_keywords(kind: type[Event]) -> None:
    fields = dataclasses.fields(kind)
    assert all(each.kw_only for each in fields)
    event = kind(**{each.name: each.name for each in fields})
    assert dataclasses.asdict(event) == {each.name: each.name for each in fields}
    assert dataclasses.replace(event, at="later") != event
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.at = 0.0  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del event.at


def test_equal_is_what_has_the_same_class_and_fields() -> None:
    one, same = FlushFailed(at=1.0, request_id="a"), FlushFailed(at=1.0, request_id="a")
    assert one == same
    assert len({one, same}) == 1
    assert one != FlushFailed(at=1.0, request_id="b")
    assert one != ReplyFlushed(at=1.0, request_id="a")
    assert one != "a"


def test_it_is_shown_with_its_fields_in_order() -> None:
    assert repr(Connected(at=1.5, connection_id="c", gateway_group="g")) == (
        "Connected(at=1.5, connection_id='c', gateway_group='g')"
    )
    assert repr(Closed(at=2.0, error=None)) == "Closed(at=2.0, error=None)"
