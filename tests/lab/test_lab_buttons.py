"""The lab over HTTP: each button does its work, and only the page may press it."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from connect.cli.lab import Workers
from connect.cli.sample_app import SampleApp
from connect.gateway import Gateway
from connect.lab.controls import CONTROLS

if TYPE_CHECKING:
    from connect.worker import WorkerConnection


async def test_a_function_is_invoked_and_its_steps_are_shown(client: Any) -> None:
    """The function gets the event's data, and the run ends with its output."""
    assert await client.post("invoke", {"function": "app-greet", "data": {"name": "Ada"}}) == 200
    shown = await client.until(lambda snapshot: any(run["status"] == "completed" for run in snapshot["world"]["runs"]))
    (run,) = shown["world"]["runs"]
    assert (run["function"], run["output"]) == ("app-greet", "Hello, Ada")
    assert run["steps"] == [{"name": "think", "failed": False}]


async def test_events_that_functions_send_stay_in_the_lab(client: Any) -> None:
    """The environment names another server, which gets none of them."""
    await client.post("invoke", {"function": "app-pass-on"})
    await client.until(lambda snapshot: any(run["output"] == "Hello, Bob" for run in snapshot["world"]["runs"]))


async def test_a_drain_makes_a_second_link_before_the_first_is_gone(client: Any) -> None:
    """While the API hangs the page shows two links: one in use, one being made."""
    await client.post("do/hang")
    await client.post("do/drain")
    shown = await client.until(lambda snapshot: len(snapshot["status"]["links"]) == 2)
    assert (shown["status"]["state"], shown["status"]["is_ready"]) == ("DRAINING", True)
    assert [link["is_current"] for link in shown["status"]["links"]] == [True, False]
    await client.post("do/hang")
    await client.reaches("ACTIVE")


@pytest.mark.parametrize("answer", ["refuse", "unauthorized", "too-many"])
async def test_a_refusal_lasts_until_it_is_released(client: Any, answer: str) -> None:
    """The worker reconnects once the button is pressed again."""
    await client.post(f"do/{answer}")
    await client.post("do/drop")
    shown = await client.until(lambda snapshot: snapshot["status"]["next_retry_in"] is not None)
    assert shown["status"]["state"] == "RECONNECTING"
    assert [button["name"] for button in shown["world"]["buttons"] if button["on"]] == [answer]
    await client.post(f"do/{answer}")
    await client.reaches("ACTIVE")


async def test_a_stalled_gateway_is_noticed(client: Any) -> None:
    """The link is replaced once its heartbeats went unanswered."""
    await client.post("do/mute")
    shown = await client.until(lambda snapshot: snapshot["told"].get("Connected") == 2)
    missing = {moment["target"] for moment in shown["taken"] if moment["event"] == "beat"}
    assert missing >= {"one_missing", "two_missing", "three_missing", "closed"}


async def test_a_nacked_lease_is_told(client: Any) -> None:
    await client.post("invoke", {"function": "app-wait"})
    await client.until(lambda snapshot: len(snapshot["status"]["in_flight"]) == 1)
    await client.post("do/nack")
    shown = await client.until(lambda snapshot: not snapshot["status"]["in_flight"])
    assert any("lost the lease of app-wait" in moment["text"] for moment in shown["moments"])


async def test_lost_acks_send_replies_by_http(client: Any) -> None:
    await client.post("do/lose-acks")
    await client.post("invoke", {"function": "app-greet", "data": {"name": "Ada"}})
    await client.until(lambda snapshot: any("was flushed" in moment["text"] for moment in snapshot["moments"]))


async def test_the_worker_ends_and_another_begins(client: Any) -> None:
    """SIGTERM waits for work in flight, a second one cancels it. The timeline goes on with the next worker."""
    await client.post("invoke", {"function": "app-wait"})
    await client.until(lambda snapshot: len(snapshot["status"]["in_flight"]) == 1)
    await client.post("do/sigterm")
    shown = await client.reaches("DRAINING")
    assert shown["status"]["substates"] == ["STOPPING"]
    await client.post("do/sigterm")
    before = await client.reaches("CLOSED")
    await client.post("do/start")
    after = await client.reaches("ACTIVE")
    assert after["moments"][-1]["number"] > before["moments"][-1]["number"]


async def test_a_worker_that_lives_is_not_started_again_once_it_ends() -> None:
    """Pressed while the worker lives, the button does nothing, not even later."""
    made: list[WorkerConnection] = []
    async with Gateway() as gateway:
        shop = SampleApp(gateway.url)
        lives = Workers([(shop.client, shop.functions)], gateway.url)
        running = asyncio.create_task(lives.run(made.append))
        await gateway.wait_for_worker()
        lives.restart()
        lives.terminate()
        await made[0].closed()
        await asyncio.sleep(0.1)
        assert len(made) == 1
        lives.restart()
        await gateway.wait_for_worker()
        assert len(made) == 2
        lives.terminate()
        await made[1].closed()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_only_the_page_may_press(client: Any) -> None:
    """A request without the token, from another origin, or under another host name is refused."""
    assert await client.post("do/drop", **{"X-Lab-Token": ""}) == 403
    assert await client.post("do/drop", **{"X-Lab-Token": "é"}) == 403
    assert await client.post("do/drop", Origin="http://evil.example") == 403
    assert await client.post("do/drop", Host="evil.example") == 403
    behind_a_proxy = {"Host": "127.0.0.1:1", "Origin": "https://127.0.0.1:1"}
    assert await client.post("do/nothing", **behind_a_proxy) == 404
    async with client.session.get("/feed", headers={"Host": "evil.example:80"}) as feed:
        assert feed.status == 403
    shown = await client.until(lambda _: True)
    assert shown["status"]["state"] == "ACTIVE"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("do/nothing", None, 404),
        ("invoke", {"function": "app-none"}, 404),
        ("invoke", {"function": ["app-greet"]}, 404),
        ("invoke", {"function": {"a": 1}}, 404),
        ("invoke", {"function": "app-greet", "data": "text"}, 400),
        ("invoke", {}, 400),
        ("invoke", [], 400),
        ("invoke", None, 400),
    ],
)
async def test_nonsense_is_refused(client: Any, path: str, body: Any, status: int) -> None:
    assert await client.post(path, body) == status


async def test_every_button_is_explained(client: Any) -> None:
    """A mouse and a screen reader find the explanation."""
    shown = await client.until(lambda _: True)
    assert [button["name"] for button in shown["world"]["buttons"]] == [each.name for each in CONTROLS]
    assert all(button["does"].endswith(".") for button in shown["world"]["buttons"])


async def test_the_page_needs_nothing_from_elsewhere(client: Any) -> None:
    """Every part comes from the lab, and the browser is told to load nothing else."""
    for part in ("", "app.js", "style.css", "connection.svg", "link.svg", "charts.json"):
        async with client.session.get(f"/{part}") as answer:
            assert answer.status == 200
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            text = (await answer.text()).replace("http://www.w3.org", "")
            assert "http://" not in text
            assert "https://" not in text
