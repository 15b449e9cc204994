"""Pages, the terminal and the log outlive whatever a function returns, raises or logs: it is shown, or cut."""

import asyncio
import json
import math
import re
import shutil
import socket
import unicodedata
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tenacity
from rig import DOWN

from connect import events

VALUES = {
    "nan": "float('nan')",
    "infinities": "[float('inf'), float('-inf'), {'deep': [float('nan')]}]",
    "ten megabytes": "'x' * 10_000_000",
    "a million": "[1] * 1_000_000",
    "wide": "{f'key {n}': n for n in range(30_000)}",
    "controls": "''.join(map(chr, range(160)))",
    "bidi": "'\\u202eback\\u2066 \\u200f\\ufeff\\u2028\\u2029'",
    "surrogates": "['\\ud800', '\\udfff x', {'\\udc80': 1}]",
    "script": "'</script><script>document.title = 1</script><img src=x onerror=alert(1)>'",
    "deep": "nested(400)",
    "deepest": "nested(100_000)",
    "long integer": "10 ** 4000",
    "longest integer": "10 ** 5000",
    "keys": "{1: 2, None: 3, True: 4, 2.5: 5}",
    "odd keys": "{(1, 2): 3}",
    "object": "object()",
    "bytes": "b'\\xff\\x00'",
    "markup": "'[/bold] [red]not closed'",
}
"""What a function comes to, in Python."""

APP = f"""
import inngest, logging

client = inngest.Inngest(app_id="app")

def nested(levels):
    made = []
    for _ in range(levels):
        made = [made]
    return made

VALUES = {{{", ".join(f"{name!r}: lambda: {value}" for name, value in VALUES.items())}}}

@client.create_function(fn_id="returns", retries=0, trigger=inngest.TriggerEvent(event="returns"))
async def returns(ctx):
    async def step():
        return VALUES[ctx.event.data["what"]]()
    if ctx.event.data.get("step"):
        await ctx.step.run("\\u202e\\x1b\\n" + "s" * 3000, step)
    return VALUES[ctx.event.data["what"]]()

@client.create_function(fn_id="raises", retries=0, trigger=inngest.TriggerEvent(event="raises"))
async def raises(ctx):
    value = VALUES[ctx.event.data["what"]]()
    raise ValueError(value if isinstance(value, str) else repr(type(value)))

@client.create_function(fn_id="logs", retries=0, trigger=inngest.TriggerEvent(event="logs"))
async def logs(ctx):
    try:
        raise ValueError("one\\n2026-01-01 00:00:00,000 INFO    connect: forged\\x1b[2J")
    except ValueError:
        logging.getLogger("mine").exception("two\\n2026-01-01 00:00:00,000 INFO    connect: forged \\x1b[2J \\u202e \\ud800 end")

apps = [(client, [returns, raises, logs])]
"""
HOW = {"returns": {}, "returns a step": {"step": True}, "raises": {}}

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def strict(text: str | bytes) -> Any:
    """*text* as a browser reads JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"a browser knows no {constant}")

    return json.loads(text, parse_constant=refuse)


class Lab:
    """The lab as a process, and what its page gets."""

    def __init__(self, address: str, session: aiohttp.ClientSession, token: str, command: Any) -> None:
        self.address, self.session, self.token, self.command = address, session, token, command
        self.invoked = 0
        self.largest = 0

    async def invoke(self, function: str, **data: Any) -> None:
        headers = {"X-Lab-Token": self.token}
        async with self.session.post("/invoke", json={"function": function, "data": data}, headers=headers) as answer:
            assert answer.status == 200
        self.invoked += 1

    async def ended(self, count: int) -> list[dict[str, Any]]:
        """The last *count* runs, once they have ended."""
        async with asyncio.timeout(30), self.session.get("/feed", read_bufsize=1 << 24) as feed:
            async for line in feed.content:
                if line.startswith(b"data: "):
                    self.largest = max(self.largest, len(line))
                    runs: list[dict[str, Any]] = strict(line.removeprefix(b"data: "))["world"]["runs"]
                    if len(runs) >= count and all(run["status"] != "running" for run in runs):
                        return runs[-count:]
        raise AssertionError("the feed ended")


@pytest.fixture
async def lab(start_process: Any, tmp_path: Path) -> Any:
    (tmp_path / "mine.py").write_text(APP)
    command = start_process("-m", "connect", "lab", "mine:apps", "--port", "0", "--time-scale", "0", cwd=tmp_path)
    line = await asyncio.to_thread(command.expect, "the lab is at")
    address = re.findall(r"http://\S+/", line)[0]
    async with aiohttp.ClientSession(address) as session:
        async with session.get("/") as page:
            token = re.findall(r'name="lab-token" content="([^"]+)"', await page.text())[0]
        made = Lab(address, session, token, command)
        async with asyncio.timeout(20), session.get("/feed") as feed:
            async for line in feed.content:
                if (
                    line.startswith(b"data: ")
                    and "app-raises" in strict(line.removeprefix(b"data: "))["world"]["functions"]
                ):
                    break
        yield made
    await asyncio.to_thread(command.signal)
    await asyncio.to_thread(command.ends)
    assert "never retrieved" not in command.text


async def test_the_lab_shows_or_cuts_whatever_a_function_comes_to(lab: Lab) -> None:
    """Each snapshot is JSON to a browser, and small."""
    for function, more in HOW.items():
        for what in VALUES:
            await lab.invoke(f"app-{function.split()[0]}", what=what, **more)
        runs = await lab.ended(len(VALUES))
        assert {run["status"] for run in runs} <= {"completed", "failed"}
    assert lab.largest < 200_000


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium (Debian: chromium) is missing")
async def test_a_browser_shows_whatever_a_function_comes_to(lab: Lab) -> None:
    """The page goes on, says nothing in its console, and no text turns its direction."""
    from playwright.async_api import async_playwright, expect

    complaints: list[str] = []
    async with async_playwright() as playwright:
        flags = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(flags))
        page = await browser.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(lab.address)
        for what in VALUES:
            await lab.invoke("app-returns", what=what, step=True)
        await lab.ended(len(VALUES))
        await expect(page.locator("#runs li")).to_have_count(len(VALUES), timeout=20_000)
        await expect(page.locator("#runs b.running")).to_have_count(0, timeout=20_000)
        text = await page.inner_text("#runs")
        title = await page.title()
        await browser.close()
    assert complaints == []
    assert title == "ACTIVE · worker"
    assert "NaN" in text
    assert "</script>" in text
    assert not [each for each in text if unicodedata.category(each)[0] == "C" and each != "\n"]


async def test_the_gateways_terminal_shows_or_cuts_whatever_a_function_comes_to(
    start_process: Any, tmp_path: Path
) -> None:
    """Each thing that it tells is one line, and moves no cursor."""
    (tmp_path / "mine.py").write_text(APP)
    gateway = start_process("-m", "connect", "gateway", "--port", "0", "--time-scale", "0", PYTHONIOENCODING="utf-8")
    url = re.findall(r"http://\S+?(?=,)", await asyncio.to_thread(gateway.expect, "gateway at"))[0]
    worker = start_process("-m", "connect", "run", "mine:apps", INNGEST_DEV=url)
    await asyncio.to_thread(worker.expect, "→ ACTIVE")
    await asyncio.to_thread(gateway.expect, "takes work")
    async with aiohttp.ClientSession(url) as session:
        for name in ("returns", "raises"):
            for what in VALUES:
                event = {"name": name, "data": {"what": what, "step": name == "returns"}}
                async with session.post("/e/key", json=event) as answer:
                    assert answer.status == 200
        for _ in range(2 * len(VALUES)):
            await asyncio.to_thread(gateway.expect, "← app-r")
        async with session.post("/e/key", json={"name": "no\u202e\x1b\nfunction"}) as answer:
            assert answer.status == 200
        await asyncio.to_thread(gateway.expect, "no function listens")
    shown = gateway.text.splitlines()
    for line in shown[3:]:
        assert re.match(r"\d\d:\d\d:\d\d  |stopped", line), line
        assert line.isprintable(), line
        assert len(line) < 1_100


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_record_of_the_log_is_one_line(gw: Any, start_process: Any, tmp_path: Path, form: str) -> None:
    """Whatever user code logs. Only the lines of its traceback follow, each indented."""
    (tmp_path / "mine.py").write_text(APP)
    worker = start_process(
        "-m", "connect", "run", "mine:apps", "--log-format", form, INNGEST_DEV=gw.url, PYTHONIOENCODING="utf-8:strict"
    )
    await asyncio.to_thread(worker.expect, "ACTIVE")
    async with asyncio.timeout(10):
        await gw.start_run("app-logs").done()
    worker.signal()
    assert await asyncio.to_thread(worker.ends) == 0
    lines = worker.text.splitlines()
    assert sum("forged" in line for line in lines) == (3 if form == "text" else 1)
    for line in lines:
        assert line.isprintable(), line
        if form == "json":
            assert strict(line)["level"]
        else:
            assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ +\w|  ", line), line
    assert "cannot be formatted" not in worker.text
    assert "Logging error" not in worker.text


async def test_the_status_page_can_be_read_however_long_a_policy_waits(gw: Any, start: Any) -> None:
    """The user's policy may wait without end: JSON has no infinity."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    policy = tenacity.AsyncRetrying(wait=lambda _: math.inf)
    worker = await start(http=address, status_page=True, retry=policy)
    gw.starts.standing = DOWN
    gw.connections[0].drop()
    await worker.hears(events.Reconnecting)
    async with aiohttp.ClientSession(f"http://{address}") as session:
        async with session.get("/status") as answer:
            assert strict(await answer.read())["next_retry_in"] == "Infinity"
        async with session.get("/feed") as feed:
            await feed.content.readline()
            snapshot = strict((await feed.content.readline()).removeprefix(b"data: "))
    assert snapshot["status"]["next_retry_in"] == "Infinity"
