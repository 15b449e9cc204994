"""Which worker is this? Status, page, metrics and the first log line say it, and no secret with it."""

import asyncio
import json
import os
import platform
import socket
import subprocess
from typing import Any

import aiohttp
import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rig import Apps

import connect
from connect.gateway import Gateway
from connect.status import AppInfo
from tests.needs import needs_promtool

KEY = "signkey-test-00112233445566778899aabbccddeeff"


@pytest.fixture(autouse=True)
def _informed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "connect")


def first_line(caplog: pytest.LogCaptureFixture) -> str:
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    [line] = [record.getMessage() for record in records if " starts: " in record.getMessage()]
    return line


@pytest.fixture
async def served(gw: Gateway, apps: Apps, start: Any) -> Any:
    """A worker of two apps with its page; what it serves there, by path, and the worker."""

    async def work(ctx: Any) -> None:
        """Nothing to do."""

    apps.function("work", on_failure=work)(work)
    other = Apps(gw, "other")
    other.function("sync")(_nothing)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    options = {"instance_id": "shop-7", "env": "staging", "signing_key": KEY, "http": place, "status_page": True}
    worker = await start([(each.client, each.functions) for each in (apps, other)], **options)
    said: dict[str, str] = {}
    async with aiohttp.ClientSession(f"http://{place}", timeout=aiohttp.ClientTimeout(5)) as session:
        for path in ("/status", "/metrics"):
            async with session.get(path) as answer:
                said[path] = await answer.text()
        async with session.get("/feed") as feed:
            await feed.content.readline()
            said["/feed"] = (await feed.content.readline()).decode().removeprefix("data: ")
    return said, worker


def _nothing(ctx: Any) -> None:
    """Nothing to do."""


def labels(page: str, name: str) -> list[dict[str, str]]:
    """The labels of every sample of that name; each has the value 1."""
    families = text_string_to_metric_families(page)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    assert {sample.value for sample in samples} == {1}
    return [sample.labels for sample in samples]


async def test_the_status_says_which_worker_it_is(served: Any, gw: Gateway) -> None:
    said, worker = served
    info = worker.status().worker
    assert (info.instance_id, info.host, info.pid) == ("shop-7", socket.gethostname(), os.getpid())
    assert info.apps == (
        AppInfo("app", None, ("app-echo", "app-work", "app-work-failure")),
        AppInfo("other", None, ("other-sync",)),
    )
    assert (info.api, info.mode, info.env, info.isolation) == (gw.url, "dev", "staging", "thread")
    assert (info.python_version, info.aiohttp_version) == (platform.python_version(), aiohttp.__version__)
    for shown in (json.loads(said["/status"]), json.loads(said["/feed"])["status"]):
        assert shown["worker"]["instance_id"] == "shop-7"
        assert [app["app_id"] for app in shown["worker"]["apps"]] == ["app", "other"]
        assert "app-echo" in shown["worker"]["apps"][0]["functions"]
        assert gw.url.endswith(shown["links"][0]["gateway"])
        assert shown["uptime"] > 0


async def test_the_metrics_say_it_with_those_of_the_process(served: Any, gw: Gateway) -> None:
    said, _ = served
    page = said["/metrics"]
    [info] = labels(page, "inngest_connect_worker_info")
    assert (info["instance_id"], info["host"], info["api"]) == ("shop-7", socket.gethostname(), gw.url)
    assert (info["env"], info["mode"], info["isolation"]) == ("staging", "dev", "thread")
    assert info["python_version"] == platform.python_version()
    assert [app["app"] for app in labels(page, "inngest_connect_app_info")] == ["app", "other"]
    functions = [each["function"] for each in labels(page, "inngest_connect_function_info")]
    assert functions == ["app-echo", "app-work", "app-work-failure", "other-sync"]
    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"):
        assert f"\n{name} " in page
    # A program that serves metrics of its own has these there, too: neither registry minds the other.
    assert "process_cpu_seconds_total" in prometheus_client.generate_latest().decode()


async def test_the_first_line_of_the_log_says_it(served: Any, caplog: pytest.LogCaptureFixture, gw: Gateway) -> None:
    line = first_line(caplog)
    assert line.startswith("worker shop-7 starts: inngest ")
    for part in (gw.url, "environment staging", "app, other", "functions: 4", f"pid {os.getpid()}", "isolation thread"):
        assert part in line


async def test_no_secret_is_said(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    said, worker = served
    everything = f"{said} {worker.status()} {first_line(caplog)}"
    assert "00112233445566" not in everything


async def test_a_password_in_the_servers_address_is_not_said(gw: Gateway, apps: Apps) -> None:
    url = gw.url.replace("//", "//user:hidden-password@")
    worker = connect.connect([(apps.client, apps.functions)], api_base_url=url)
    assert worker.status().worker.api == gw.url.replace("//", "//***@")  # type: ignore[union-attr]
    assert "hidden-password" not in str(worker.status())


async def test_what_a_user_names_stays_on_one_line(gw: Gateway, caplog: pytest.LogCaptureFixture, start: Any) -> None:
    odd = Apps(gw, 'a"b\\c')
    odd.function("work")(_nothing)
    worker = await start([(odd.client, odd.functions)], instance_id="one\ntwo")
    assert worker.status().worker.instance_id == "one\\ntwo"
    assert "\n" not in first_line(caplog)


@needs_promtool
async def test_prometheus_takes_the_page(served: Any) -> None:
    """Its linter has nothing to say."""
    said, _ = served
    command = ["promtool", "check", "metrics"]
    checked = await asyncio.to_thread(
        subprocess.run, command, input=said["/metrics"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
