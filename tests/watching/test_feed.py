"""The live page's data: status, timeline and transitions taken of the worker that is followed, and when there is news."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from connect import events
from connect.errors import LinkLost
from connect.status import ConnectionState, Status
from connect.watching.feed import MOMENTS, Feed, charts
from statecharts import Connection, Link, model


class Source:
    """A worker, as far as the feed reads one: a test tells its events."""

    def __init__(self, state: ConnectionState = ConnectionState.ACTIVE) -> None:
        self.state = state
        self._callbacks: list[Callable[[Any], object]] = []

    def on(self, kind: type[events.Event], callback: Callable[[Any], object]) -> Callable[[], None]:
        assert kind is events.Event
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def status(self) -> Status:
        return Status(state=self.state, requests_received=7)

    def tell(self, *told: events.Event) -> None:
        for event in told:
            for callback in self._callbacks:
                callback(event)


def moved(event: str, source: tuple[str, ...], target: tuple[str, ...], chart: Any = "connection") -> events.Moved:
    return events.Moved(chart=chart, connection_id="01LINK", event=event, source=source, target=target, at=1.5)


@pytest.fixture
async def worker() -> Source:
    return Source()


@pytest.fixture
async def feed(worker: Source) -> Feed:
    made = Feed()
    made.follow(worker)
    return made


async def test_before_a_worker_is_followed_there_is_no_status() -> None:
    snapshot = Feed().snapshot()
    assert (snapshot["status"], snapshot["moments"], snapshot["taken"], snapshot["told"]) == (None, [], [], {})


async def test_a_snapshot_has_the_status_as_json_takes_it(feed: Feed) -> None:
    snapshot = json.loads(json.dumps(feed.snapshot()))
    assert snapshot["status"]["state"] == "ACTIVE"
    assert snapshot["status"]["requests_received"] == 7
    assert snapshot["at"] == pytest.approx(time.time(), abs=60)


async def test_a_move_is_a_moment_and_is_counted_by_the_ids_of_its_states(feed: Feed, worker: Source) -> None:
    """Names alone may stand for more than one state."""
    there = moved("gateway_closing", ("ACTIVE",), ("DRAINING", "REPLACING"))
    worker.tell(there, there)
    snapshot = feed.snapshot()
    first, second = snapshot["moments"]
    assert (first["number"], second["number"]) == (1, 2)
    assert first["text"] == "ACTIVE → DRAINING · REPLACING"
    assert (first["at"], first["chart"], first["link"], first["event"]) == (
        1.5,
        "connection",
        "01LINK",
        "gateway_closing",
    )
    (taken,) = snapshot["taken"]
    assert taken["count"] == 2
    known = {state["id"] for state in charts()["connection"]["states"]}
    assert {taken["source"], taken["target"]} <= known


@pytest.mark.parametrize("event", ["beat", "heartbeat_seen"])
async def test_heartbeats_are_counted_and_no_moments(feed: Feed, worker: Source, event: str) -> None:
    chart = model.read(Link)
    edge = next(edge for edge in chart.edges if edge.event == event and edge.targets)
    by_id = {state.id: state for state in chart.states}

    def path(state_id: str | None) -> tuple[str, ...]:
        return (*path(by_id[state_id].parent), by_id[state_id].name) if state_id else ()

    worker.tell(moved(event, path(edge.source), path(edge.targets[0]), "link"))
    snapshot = feed.snapshot()
    assert snapshot["moments"] == []
    assert [taken["count"] for taken in snapshot["taken"]] == [1]


async def test_an_answered_heartbeat_is_the_pulse(feed: Feed, worker: Source) -> None:
    assert feed.snapshot()["beat"] is None
    worker.tell(events.HeartbeatAnswered(connection_id="01LINK", round_trip=0.1, at=99.5))
    assert feed.snapshot()["beat"] == 99.5


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (events.Reconnecting(attempt=3, delay=1.25, error=LinkLost("gone")), "attempt 3 failed, next in 1.2 s: gone"),
        (
            events.LeaseLost(request_id="01R", run_id="01U", function_slug="app-fn", cancelled=True),
            "lost the lease of app-fn 01R",
        ),
        (events.ReplyBuffered(request_id="01R"), "reply to 01R waits to be flushed"),
        (events.ReplyFlushed(request_id="01R"), "reply to 01R was flushed"),
        (events.ReplyLost(request_id="01R", reason="too old"), "reply to 01R is lost: too old"),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, events.Event) else None,
)
async def test_trouble_is_told_in_words(feed: Feed, worker: Source, event: events.Event, text: str) -> None:
    worker.tell(event)
    assert [moment["text"] for moment in feed.snapshot()["moments"]] == [text]


async def test_other_events_are_counted_alone(feed: Feed, worker: Source) -> None:
    for _ in range(3):
        worker.tell(events.LinkOpened(connection_id="01LINK"))
    worker.tell(events.Draining(by="worker", connection_id=None))
    snapshot = feed.snapshot()
    assert snapshot["moments"] == []
    assert snapshot["told"] == {"LinkOpened": 3, "Draining": 1}


async def test_a_page_is_told_what_it_has_not_seen(feed: Feed, worker: Source) -> None:
    for number in range(5):
        worker.tell(events.ReplyFlushed(request_id=str(number)))
    assert [moment["number"] for moment in feed.snapshot(since=3)["moments"]] == [4, 5]
    assert feed.snapshot(since=5)["moments"] == []


async def test_only_the_newest_moments_are_kept(feed: Feed, worker: Source) -> None:
    for number in range(MOMENTS + 10):
        worker.tell(events.ReplyFlushed(request_id=str(number)))
    numbers = [moment["number"] for moment in feed.snapshot()["moments"]]
    assert numbers == list(range(11, MOMENTS + 11))


async def test_the_next_worker_takes_the_place_of_the_one_before(feed: Feed, worker: Source) -> None:
    """The timeline goes on."""
    worker.tell(events.ReplyFlushed(request_id="first"))
    other = Source(ConnectionState.CONNECTING)
    feed.follow(other)
    worker.tell(events.ReplyFlushed(request_id="not heard"))
    other.tell(events.ReplyFlushed(request_id="second"))
    snapshot = feed.snapshot()
    assert snapshot["status"]["state"] == "CONNECTING"
    assert [moment["text"] for moment in snapshot["moments"]] == [
        "reply to first was flushed",
        "reply to second was flushed",
    ]


async def test_each_process_has_a_session_of_its_own() -> None:
    assert len({Feed().session for _ in range(20)}) == 20


# -- news ------------------------------------------------------------------------------------------------------------------------


async def test_waiting_ends_with_the_next_event(feed: Feed, worker: Source) -> None:
    await feed.wait(0)  # that a worker is followed was news
    waiting = asyncio.create_task(feed.wait(3600))
    await asyncio.sleep(0)
    assert not waiting.done()
    worker.tell(events.LinkOpened(connection_id="01LINK"))
    async with asyncio.timeout(5):
        await waiting


async def test_news_that_came_before_is_not_waited_for(feed: Feed) -> None:
    await feed.wait(0)
    feed.changed()
    async with asyncio.timeout(5):
        await feed.wait(3600)


async def test_without_news_waiting_ends_in_time(feed: Feed) -> None:
    await feed.wait(0)
    async with asyncio.timeout(5):
        await feed.wait(0.05)


# -- the charts ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "chart"), [("connection", Connection), ("link", Link)])
def test_the_page_gets_the_charts_as_they_are(name: str, chart: Any) -> None:
    plain = model.read(chart)
    told = json.loads(json.dumps(charts()[name]))
    assert {state["id"] for state in told["states"]} == {state.id for state in plain.states}
    assert len(told["edges"]) == len(plain.edges)
    assert all(edge["source"] in {state["id"] for state in told["states"]} for edge in told["edges"])


async def test_what_a_peer_names_is_cut_in_the_timeline(worker: Source, feed: Feed) -> None:
    """A moment is kept a long time, and sent to every page."""
    worker.tell(
        events.ReplyLost(request_id="x" * 100_000, reason="no"), moved("link_lost", ("ACTIVE",), ("RECONNECTING",))
    )
    assert len(json.dumps(feed.snapshot()["moments"])) < 2000
