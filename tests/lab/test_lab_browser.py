"""The lab's page in a real browser: what it shows, and what can be pressed with a mouse, with keys and on a phone."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from connect.gateway import Gateway
from tests.lab.conftest import APP

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 20_000.0
"""Milliseconds that the page may take for anything on a loaded machine."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium (Debian: chromium) is missing")

expect.set_options(timeout=PATIENCE)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        await started.close()


@pytest.fixture
async def page(browser: Browser, lab: str) -> AsyncIterator[Page]:
    """The lab's page, once its worker is ACTIVE. It must have logged no error at the end."""
    opened = await browser.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    await opened.goto(lab)
    await expect(opened.locator("#state")).to_have_text("ACTIVE")
    yield opened
    await opened.close()
    assert complaints == []


async def lit(page: Page) -> set[str]:
    """The names of the states that the picture shows as active."""
    return set(await page.locator("#connection .lit text[font-weight=bold]").all_text_contents())


async def test_open_invoke_drain_and_see_the_states_change(page: Page) -> None:
    """A run ends with its output; a drain shows in the diagram, in the timeline and as a second link."""
    assert await lit(page) == {"ACTIVE"}
    await page.get_by_label("Function").select_option("app-greet")
    await page.get_by_role("button", name="Invoke", exact=True).click()
    await expect(page.locator("#runs li").first).to_contain_text('completed app-greet  ✓ think → "Hello, Ada"')

    await page.get_by_role("button", name="API hangs").click()
    await page.get_by_role("button", name="Drain").click()
    await expect(page.locator("#state")).to_have_text("DRAINING · REPLACING")
    await expect(page.locator("#link-charts figure")).to_have_count(2)
    assert await lit(page) == {"REPLACING"}
    await expect(page.locator("#connection .enclosing")).to_have_count(1)
    await expect(page.locator("#timeline li").filter(has_text="ACTIVE → DRAINING · REPLACING")).to_have_count(1)

    await page.get_by_role("button", name="API hangs").click()
    await expect(page.locator("#state")).to_have_text("ACTIVE")
    await expect(page.locator("#link-charts figure")).to_have_count(1)
    await expect(page.locator("#coverage-count")).to_contain_text(" of 53")


async def test_the_transition_just_taken_is_shown(page: Page) -> None:
    """Only the last transition's arrow and label are marked, and only for a while."""
    await page.get_by_role("button", name="Drain").click()
    await expect(page.locator("#timeline li").filter(has_text="DRAINING · REPLACING → ACTIVE")).to_have_count(1)
    await page.get_by_role("button", name="API down").click()
    await page.get_by_role("button", name="Drop the link").click()
    marked = page.locator("#connection .just text", has_text="link_lost")
    await expect(page.locator("#state")).to_have_text("RECONNECTING")
    await expect(marked).to_have_count(1)
    assert await page.locator("#connection .just text", has_text="link_ready").count() == 0
    await expect(page.locator("#facts")).to_contain_text("500")
    await expect(marked).to_have_count(0)


async def test_work_in_flight_is_shown_with_its_lease(page: Page) -> None:
    """The page shows function, state, age and the time left of its lease. A shutdown waits for it; a second one does not."""
    await page.get_by_label("Function").select_option("app-wait")
    await page.get_by_role("button", name="Invoke", exact=True).click()
    row = page.locator("#flight tr")
    await expect(row).to_contain_text("app-wait")
    await expect(row).to_contain_text("EXECUTING")
    await expect(row.locator("meter")).to_have_count(1)
    stop = page.get_by_role("button", name="SIGTERM")
    await stop.click()
    await expect(page.locator("#state")).to_have_text("DRAINING · STOPPING")
    await stop.click()
    await expect(page.locator("#state")).to_have_text("CLOSED")
    await expect(page.locator("#no-links")).to_be_visible()
    await page.get_by_role("button", name="Start again").click()
    await expect(page.locator("#state")).to_have_text("ACTIVE")


async def test_heartbeats_are_seen_as_a_pulse(page: Page) -> None:
    await expect(page.locator("#pulse-text")).to_contain_text("last heartbeat answered at")


async def test_everything_can_be_done_by_keyboard(page: Page) -> None:
    """The first Tab leads past the diagram to the controls, Enter presses, and the focus is visible."""
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Drain")).to_be_focused()
    for _ in range(3):
        await page.keyboard.press("Tab")
    held = page.get_by_role("button", name="API down")
    await expect(held).to_be_focused()
    assert await held.evaluate("each => getComputedStyle(each).outlineStyle") != "none"
    await page.keyboard.press("Enter")
    await expect(held).to_have_attribute("aria-pressed", "true")


async def test_a_workers_own_page_has_nothing_to_press(browser: Browser, start_process: Any, tmp_path: Any) -> None:
    """It has no link to buttons either."""
    (tmp_path / "mine.py").write_text(APP)
    async with Gateway() as gateway:
        words = ("--status-page", "--http", "127.0.0.1:0")
        worker = start_process("-m", "connect", "run", "mine:apps", *words, cwd=tmp_path, INNGEST_DEV=gateway.url)
        address = (await asyncio.to_thread(worker.expect, "the live page")).split()[-1]
        page = await browser.new_page()
        await page.goto(address)
        await expect(page.locator("#state")).to_have_text("ACTIVE")
        assert await page.locator("button:visible").count() == 0
        await expect(page.locator("#who")).to_contain_text(f"{socket.gethostname()} · up ")
        await expect(page.locator("#worker-facts dd").filter(has_text="app: app-")).to_have_count(1)
        await page.keyboard.press("Tab")
        await expect(page.locator("#connection")).to_be_focused()
        await page.close()


async def test_a_screen_reader_is_told(page: Page) -> None:
    """The state is announced, every part has a name, and the pictures have a text."""
    await expect(page.get_by_role("status")).to_have_text("ACTIVE")
    await expect(page.get_by_role("status")).to_have_attribute("aria-live", "polite")
    for name in ("Lifecycle", "What the world does", "In flight", "Runs", "Timeline", "Links", "Transitions seen"):
        await expect(page.get_by_role("region", name=name).first).to_be_attached()
    label = await page.locator("#link-charts figure").get_attribute("aria-label")
    assert label
    assert "READY · " in label
    assert await page.locator("html").get_attribute("lang") == "en"
    assert not await page.locator("button:not([title]):not([type=submit])").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_phone_and_can_be_read(browser: Browser, lab: str, scheme: Any) -> None:
    """Nothing is wider than 360 pixels, and every text has enough contrast (WCAG AA)."""
    page = await browser.new_page(viewport={"width": 360, "height": 780}, color_scheme=scheme)
    await page.goto(lab)
    await expect(page.locator("#state")).to_have_text("ACTIVE")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    for selector in ("#state", "h1", "button", "#coverage p", "#missing", "#timeline time", "#outbox"):
        ratio = await page.locator(selector).first.evaluate(CONTRAST)
        assert ratio >= 4.5, f"{selector}: {ratio:.1f}"
    frame = await page.locator("#connection").bounding_box()
    active = await page.locator("#connection .lit").bounding_box()
    assert frame
    assert active
    assert frame["x"] <= active["x"] <= frame["x"] + frame["width"]
    await page.close()


async def test_a_link_is_named_where_its_picture_is_wider_than_the_page(browser: Browser, lab: str) -> None:
    """The name is visible however far the picture is scrolled."""
    page = await browser.new_page(viewport={"width": 360, "height": 780})
    await page.goto(lab)
    caption, figure = page.locator("#link-charts figcaption"), page.locator("#link-charts figure")
    await expect(caption).to_contain_text("in use")
    assert await figure.evaluate("each => { each.scrollLeft = 1000; return each.scrollLeft; }") > 50
    words, frame = await caption.bounding_box(), await figure.bounding_box()
    assert words
    assert frame
    assert frame["x"] <= words["x"] < words["x"] + words["width"] <= frame["x"] + frame["width"]
    await page.close()


@pytest.mark.parametrize("size", [{"width": 360, "height": 780}, {"width": 1440, "height": 900}])
async def test_the_pictures_can_be_read(browser: Browser, lab: str, size: Any) -> None:
    """Their smallest text is as large as a footnote's."""
    page = await browser.new_page(viewport=size)
    await page.goto(lab)
    await expect(page.locator("#link-charts figure")).to_have_count(1)
    for picture in ("#connection", "#link-charts figure"):
        heights = await page.locator(f"{picture} text").evaluate_all(
            "all => all.map((each) => parseFloat(getComputedStyle(each).fontSize) * each.getScreenCTM().a)"
        )
        assert min(heights) >= 7, picture
    await page.close()


CONTRAST = """element => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (each) => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = numbers(colour).slice(0, 3).map((each) => linear(each / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let under = element;
  const clear = (each) => { const all = numbers(getComputedStyle(each).backgroundColor); return all.length === 4 && all[3] === 0; };
  while (under.parentElement && clear(under)) under = under.parentElement;
  const [one, other] = [light(getComputedStyle(element).color), light(getComputedStyle(under).backgroundColor)];
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}"""


async def test_the_page_says_when_its_process_is_gone_and_goes_on_with_the_next(
    browser: Browser, start_process: Any, tmp_path: Any
) -> None:
    """The page then shows the next process's timeline from its beginning, and its buttons work."""
    command = start_process("-m", "connect", "lab", "--port", "0", cwd=tmp_path)
    address = command.expect("the lab is at").split()[4].rstrip(",")
    page = await browser.new_page()
    await page.goto(address)
    await expect(page.locator("#state")).to_have_text("ACTIVE")
    await expect(page.locator("#away")).to_be_hidden()
    command.kill()
    await expect(page.locator("#away")).to_be_visible()
    port = address.rpartition(":")[2].strip("/")
    start_process("-m", "connect", "lab", "--port", port, cwd=tmp_path).expect("the lab is at")
    await expect(page.locator("#away")).to_be_hidden()
    await expect(page.locator("#timeline li").filter(has_text="CONNECTING → ACTIVE")).to_have_count(1)
    await page.get_by_role("button", name="API down").click()
    await expect(page.get_by_role("button", name="API down")).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("#complaint")).to_be_empty()
    await page.close()
