"""A test of a whole worker process, in a test that is not asynchronous: `pytest test_command.py` (needs the extra `testing`)."""

import os
import subprocess
import sys

from connect.gateway import ThreadedGateway

pytest_plugins = ["connect.testing"]

COMMAND = [sys.executable, "-m", "connect", "run", "hello:apps"]


def test_the_command_greets_a_guest(connect_gateway_thread: ThreadedGateway) -> None:
    gateway = connect_gateway_thread
    with subprocess.Popen(COMMAND, env={**os.environ, "INNGEST_DEV": gateway.url}) as worker:
        try:
            gateway.wait_for_worker(timeout=30)
            run = gateway.invoke("hello-greet", {"name": "ada"})
        finally:
            worker.terminate()  # the `with` block waits until the worker has ended
    assert (run.output, worker.returncode) == ("Hello, Ada!", 0)
