"""`python -m connect gateway` is a process that workers and curl can talk to."""

import json
import re
import signal
import socket
import urllib.request
from typing import Any

import pytest


def post(url: str, event: dict[str, Any]) -> None:
    """Send an event, as the printed curl command does."""
    with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=10) as answer:  # noqa: S310
        assert answer.status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_runs_a_function_and_ends_cleanly(start_process: Any, run: Any, number: Any) -> None:
    gateway = start_process("-m", "connect", "gateway", "--port", "0", "--heartbeat", "500ms")
    url = re.findall(r"http://127\.0\.0\.1:\d+", gateway.expect("gateway at"))[0]
    gateway.expect(f"INNGEST_DEV={url} python -m connect run")
    worker = run("main:apps", "--instance-id", "mine", INNGEST_DEV=url)
    gateway.expect("#1 takes work: mine")
    assert f"""app-echo: curl {url}/e/dev -d '{{"name": "echo", "data": {{}}}}'""" in gateway.expect("app-echo")
    post(f"{url}/e/dev", {"name": "echo", "data": {"value": 42}})
    gateway.expect("→ app-echo")
    assert gateway.expect("← app-echo").endswith("DONE  42\n")
    post(f"{url}/e/dev", {"name": "nobody"})
    gateway.expect("nobody: no function listens")
    post(f"{url}/e/dev", {"name": "fragile"})
    assert gateway.expect("← app-fragile").endswith("ERROR  ValueError: not today\n")
    gateway.expect("app-fragile  attempt 2 of 2 in 30 s")
    worker.signal()
    gateway.expect("#1 ended by the worker: 1000 WORKER_SHUTDOWN")
    gateway.signal(number)
    gateway.expect("stopped")
    assert gateway.ends() == 0
    assert "Traceback" not in gateway.text


def test_a_port_in_use_is_one_line_and_2(start_process: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        gateway = start_process("-m", "connect", "gateway", "--port", str(port))
        assert gateway.ends() == 2
    assert len(gateway.lines) == 1
    assert f"port {port}" in gateway.text
    assert "pass another --port" in gateway.text


def test_an_interval_that_is_none_is_misuse(start_process: Any) -> None:
    gateway = start_process("-m", "connect", "gateway", "--heartbeat", "often")
    assert gateway.ends() == 2
    assert "'often' is not a duration" in gateway.text
