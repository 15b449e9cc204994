"""The apps of docs/web-apps.md run under uvicorn, and end at one signal, their workers included."""

import signal
from pathlib import Path
from typing import Any

import pytest

from connect.gateway import Gateway, in_thread
from tests.docs.pages import DOCS, files

PATIENCE = 20.0


@pytest.mark.parametrize(
    ("arguments", "workers", "code"),
    [(("shop:app",), 1, -signal.SIGTERM), (("at_once:app", "--workers", "2"), 2, 0)],
    ids=["one process", "two"],
)
def test_what_the_page_shows_ends_at_one_signal(
    tmp_path: Path, start_process: Any, arguments: tuple[str, ...], workers: int, code: int
) -> None:
    for name, text in files(DOCS / "web-apps.md").items():
        (tmp_path / name).write_text(text)
    with in_thread(Gateway(close_timeout=0.5)) as gateway:
        app = start_process("-m", "uvicorn", *arguments, "--port", "0", INNGEST_DEV=gateway.url)
        app.expect("Uvicorn running on")
        gateway.wait_for_worker(count=workers, timeout=PATIENCE)
        assert gateway.invoke("shop-greet", {"name": "Ada"}).output == "Hello, Ada"
        app.signal()
        assert app.ends() == code
        gateway.run(lambda gw: gw.until(lambda: not gw.connections))
