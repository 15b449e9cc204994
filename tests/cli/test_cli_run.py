"""`python -m connect run` runs a worker in a process of its own, against a gateway in this one."""

import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from connect.gateway import Gateway, Kind, ThreadedGateway, in_thread


def start_run(gateway: ThreadedGateway, slug: str, **data: Any) -> Any:
    """Start a run, and wait until the worker has acknowledged its first request."""
    acked = gateway.call(lambda gw: len(gw.frames(Kind.WORKER_REQUEST_ACK)))
    run = gateway.call(lambda gw: gw.start_run(slug, data))
    gateway.run(lambda gw: gw.wait_for(Kind.WORKER_REQUEST_ACK, count=acked + 1))
    return run


def test_it_connects_runs_a_function_and_stops_on_sigterm_with_0(gateway: ThreadedGateway, run: Any) -> None:
    worker = run()
    assert gateway.url in worker.expect("starts: inngest")
    worker.expect("CONNECTING → ACTIVE (link_ready)")
    gateway.wait_for_worker()
    assert gateway.invoke("app-echo", {"value": 42}).output == 42
    worker.signal()
    worker.expect("ACTIVE → DRAINING")
    worker.expect("→ CLOSED")
    worker.expect("stopped gracefully")
    assert worker.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_long_step_lets_it_finish(gateway: ThreadedGateway, run: Any, number: signal.Signals) -> None:
    worker = run()
    gateway.wait_for_worker(timeout=30)
    started = start_run(gateway, "app-slow", seconds=0.5)
    worker.signal(number)
    worker.expect("executions in flight: 1")
    assert worker.ends() == 0
    assert gateway.call(lambda gw: gw.ledger[started.requests[0]].reply.status) == 0, "the step is done, the run is not"
    assert gateway.call(lambda gw: gw.ledger.summary())["lost"] == 0


def test_a_second_signal_cancels_user_code_and_the_reply_still_arrives(gateway: ThreadedGateway, run: Any) -> None:
    worker = run()
    gateway.wait_for_worker(timeout=30)
    started = start_run(gateway, "app-slow", seconds=600)
    worker.signal()
    worker.expect("ACTIVE → DRAINING")
    worker.signal()
    assert worker.ends() == 0
    assert b"WorkerShutdown" in gateway.call(lambda gw: gw.ledger[started.requests[0]].reply.body)


def test_an_execution_that_nothing_can_stop_does_not_keep_the_process(gateway: ThreadedGateway, run: Any) -> None:
    worker = run("main:apps", "--shutdown-timeout", "0.1", "--flush-timeout", "0.2")
    gateway.wait_for_worker(timeout=30)
    started = start_run(gateway, "app-stuck")
    worker.signal()
    assert started.requests[0] in worker.expect("stopped; requests without a reply")
    worker.expect("1 cancelled executions still run")
    assert started.requests[0] in worker.lines[-1]
    assert worker.ends() == 1
    assert "gracefully" not in worker.text


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nowhere:apps", "no module 'nowhere'"),
        ("main:other", "has no 'other'"),
        ("main", "write MODULE:APPS"),
        ("main:nothing", "main:nothing is None: did you mean main:apps?"),
        ("broken:apps", "cannot import 'broken': ZeroDivisionError"),
    ],
)
def test_misuse_is_one_line_and_2(tmp_path: Path, run: Any, named: str, said: str) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    worker = run(named)
    assert worker.ends() == 2
    assert len(worker.lines) == 1
    assert said in worker.text


@pytest.mark.parametrize("key", [{}, {"INNGEST_SIGNING_KEY": ""}])
def test_no_server_to_go_to_is_misuse(run: Any, key: dict[str, str]) -> None:
    worker = run(INNGEST_DEV="", **key)
    assert worker.ends() == 2
    assert len(worker.lines) == 1
    assert "app 'app' has no signing key: set INNGEST_SIGNING_KEY, or INNGEST_DEV=1" in worker.text


def test_an_option_that_cannot_work_is_misuse(run: Any) -> None:
    worker = run("main:apps", "--flush-timeout", "0")
    assert worker.ends() == 2
    assert "--flush-timeout is 0.0: it must be more than 0" in worker.text


@pytest.mark.parametrize("words", [("--http", "0.0.0.0:9090"), ("--http", "192.0.2.1:9090", "--status-page")])
def test_other_machines_are_served_only_where_the_user_says_so(run: Any, words: tuple[str, ...]) -> None:
    """The port shows ids and errors, so `--http` needs `--allow-remote` for another address than loopback."""
    worker = run("main:apps", *words)
    assert worker.ends() == 2
    assert worker.lines == [
        f"python -m connect: --http {words[1]} shows ids and errors to other machines: pass --allow-remote too, "
        "or a loopback address\n"
    ]


def test_it_says_where_its_page_is(run: Any) -> None:
    worker = run("main:apps", "--status-page", "--http", "127.0.0.1:0")
    line = worker.expect("the live page, probes and metrics: http://127.0.0.1:")
    url = line.rpartition(" ")[2].strip()
    worker.expect("CONNECTING → ACTIVE")
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
        assert b"A worker, live" in answer.read()


def test_an_unknown_option_is_misuse(run: Any) -> None:
    worker = run("main:apps", "--isolation", "fork")
    assert worker.ends() == 2
    assert "--isolation" in worker.text


def test_a_refused_signing_key_ends_it_with_1_and_is_not_shown(gateway: ThreadedGateway, run: Any) -> None:
    gateway.call(lambda gw: setattr(gw, "signing_keys", ["signkey-prod-" + "aa" * 16]))
    key = "signkey-prod-" + "0f" * 16
    worker = run(INNGEST_DEV="", INNGEST_API_BASE_URL=gateway.url, INNGEST_SIGNING_KEY=key)
    assert worker.ends() == 1
    assert "stopped: AuthenticationFailed" in worker.text
    assert "Traceback" not in worker.text
    assert key not in worker.text
    assert "0f" * 16 not in worker.text


STARTS_ITSELF = """
import asyncio
from connect import connect
from main import apps

asyncio.run(connect(apps).start())
"""


def test_a_module_that_starts_a_worker_by_itself_is_misuse_and_starts_none(
    gateway: ThreadedGateway, tmp_path: Path, run: Any
) -> None:
    (tmp_path / "hello.py").write_text(STARTS_ITSELF)
    worker = run("hello:apps")
    assert worker.ends() == 2
    assert len(worker.lines) == 1
    assert 'put that under `if __name__ == "__main__":`' in worker.text
    assert "hello.py, line 6)" in worker.text
    assert not gateway.call(lambda gw: gw.calls())


def test_at_debug_an_import_that_fails_is_shown_whole(tmp_path: Path, run: Any) -> None:
    (tmp_path / "broken.py").write_text("import inner")
    (tmp_path / "inner.py").write_text("def f():\n    1 / 0\n\nf()\n")
    worker = run("broken:apps", "--log-level", "debug")
    assert worker.ends() == 2
    assert 'File "' in worker.text
    assert worker.lines[-1].startswith("python -m connect: cannot import 'broken': ZeroDivisionError")
    assert worker.lines[-1].endswith("inner.py, line 2)\n")


def test_ctrl_c_while_the_apps_are_imported_is_no_traceback(tmp_path: Path, run: Any) -> None:
    # Short sleeps: Python notices a signal that comes just before a sleep only when that is over. From 3.14 on, "just before"
    # begins while print() still writes, for nothing looks for signals after a call with keywords.
    (tmp_path / "slow.py").write_text("import time\nprint('importing', flush=True)\nwhile True: time.sleep(0.01)\n")
    worker = run("slow:apps")
    worker.expect("importing")
    worker.signal(signal.SIGINT)
    assert worker.ends() == 130
    assert "Traceback" not in worker.text


def test_ctrl_c_while_the_command_is_imported_is_no_traceback(start_process: Any) -> None:
    program = "import sys; from connect import __main__\n"
    program += (
        "class Slow:\n    def find_spec(self, name, *_):\n        if name == 'connect.cli': raise KeyboardInterrupt\n"
    )
    program += "sys.meta_path.insert(0, Slow()); __main__.main()"
    worker = start_process("-c", program)
    assert worker.ends() == 130
    assert worker.text == ""


@pytest.mark.parametrize("asked", [False, True])
def test_debug_shows_the_worker_and_not_its_engine(
    gateway: ThreadedGateway, tmp_path: Path, run: Any, asked: bool
) -> None:
    own = "import logging\nlogging.getLogger('statemachine').setLevel('DEBUG')\n" if asked else ""
    (tmp_path / "own.py").write_text(f"{own}from main import apps")
    worker = run("own:apps", "--log-level", "debug")
    gateway.wait_for_worker(timeout=30)
    assert gateway.invoke("app-echo", {"value": 42}).output == 42
    worker.expect("replied: DONE")
    worker.signal()
    assert worker.ends() == 0
    assert ("statemachine" in worker.text) is asked


def test_no_gateway_within_the_connect_timeout_ends_it_with_1_and_the_cause(gateway: ThreadedGateway, run: Any) -> None:
    gateway.run(lambda gw: gw.stop())
    worker = run("main:apps", "--connect-timeout", "0.3")
    assert worker.ends() == 1
    assert "stopped: ConnectTimeout" in worker.text
    assert "cause: " in worker.lines[-1]


def test_a_gateway_that_starts_after_the_worker_is_found(run: Any) -> None:
    with in_thread(Gateway()) as late:
        late.run(lambda gw: gw.stop())
        worker = run(INNGEST_DEV=late.url)
        worker.expect("attempt 1 to connect failed")
        late.run(lambda gw: gw.start())
        late.wait_for_worker(timeout=30)
        assert late.invoke("app-echo", {"value": 1}).output == 1
        worker.signal()
        assert worker.ends() == 0


def test_it_works_without_a_thread_of_its_own(gateway: ThreadedGateway, run: Any) -> None:
    worker = run("main:apps", "--isolation", "none", "--instance-id", "one", "--max-concurrency", "7")
    gateway.wait_for_worker(timeout=30)
    introduced = gateway.call(lambda gw: gw.connections[0].worker)
    assert (introduced.instance_id, introduced.max_worker_concurrency) == ("one", 7)
    assert gateway.invoke("app-echo", {"value": 2}).output == 2
    worker.signal()
    assert worker.ends() == 0


def test_the_log_level_silences_the_transitions(gateway: ThreadedGateway, run: Any) -> None:
    worker = run("main:apps", "--log-level", "WARNING")
    gateway.wait_for_worker(timeout=30)
    worker.signal()
    assert worker.ends() == 0
    assert worker.text == ""
