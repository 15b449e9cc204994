"""Tries the wheel as its users have it: installed away from the clone by the Dockerfile's own lines, it runs the quick start and a
fixture.

`python -m tests.dist DIST`, in the clone; DIST is what `make dist` made. It needs Python alone, and exits 1 at the first thing that
is not as it should be.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.group_kit import end_group
from tests.docs.pages import DOCS, README, ROOT, blocks, files, session

PATIENCE = 60.0
"""Seconds for anything but an installation."""


def main() -> None:
    """Try the wheel in the folder that the argument names."""
    dist = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="wheel-") as scratch:
        home = Path(scratch)
        python = installed(dist, home)
        check_it_is_the_wheel(python, home)
        run_the_quick_start(python, home)
        run_the_readmes_test(python, home)


def installed(dist: Path, home: Path) -> str:
    """Make an environment in *home* as the Dockerfile does; that environment's Python."""
    build = home / "build"
    shutil.copytree(dist, build)
    own = (ROOT / "requirements" / "testing.txt").read_text()
    (build / "requirements.txt").write_text(f"statechart-connect @ file:///nowhere/it.whl\n{own}")  # as a user may have it
    # The user's list is whole here: nothing is to be resolved, today or in years.
    here = steps().replace("/venv", shlex.quote(f"{home}/venv")).replace("python ", f"{shlex.quote(sys.executable)} ", 1)
    run(here, build, PIP_NO_DEPS="1")
    return str(home / "venv" / "bin" / "python")


def steps() -> str:
    """The commands of the Dockerfile's first stage."""
    [first, _] = re.findall(r"^RUN (.*?[^\\])$", (ROOT / "deploy" / "Dockerfile").read_text(), re.DOTALL | re.MULTILINE)
    return str(first).replace("\\\n", "")


def check_it_is_the_wheel(python: str, home: Path) -> None:
    """Check that nothing is imported from the clone."""
    [where] = said(run([python, "-c", "import connect; print(connect.__file__)"], home))
    expect(where.startswith(f"{home}/venv/"), f"connect was imported from {where}")
    typed = (Path(where).parent / "py.typed", Path(where).parents[1] / "statecharts" / "py.typed")
    expect(all(marker.exists() for marker in typed), "the wheel has no py.typed")


def run_the_quick_start(python: str, home: Path) -> None:
    """Run a gateway, a worker and an event, as in three terminals."""
    (home / "hello.py").write_text(files(DOCS / "quickstart.md")["hello.py"])
    [_, _, event] = session()
    [(path, body)] = re.findall(r"curl http://127\.0\.0\.1:8288(\S+) -d '(.*)'", event.text)
    with process([python, "-m", "connect", "gateway", "--port", "0"], home) as gateway:
        [url] = re.findall(r"http://\S+?:\d+", until(gateway, "gateway at"))
        with process([python, "-m", "connect", "run", "hello:apps"], home, INNGEST_DEV=url) as worker:
            until(gateway, "takes work")
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url + path, json.dumps(json.loads(body)).encode(), timeout=PATIENCE).close()
            until(gateway, 'DONE  "Hello, Ada!"')
            worker.terminate()
            until(worker, "stopped gracefully")
            expect(worker.wait(PATIENCE) == 0, f"the worker ended with {worker.returncode}")
        gateway.terminate()
        expect(gateway.wait(PATIENCE) == 0, f"the gateway ended with {gateway.returncode}")


def run_the_readmes_test(python: str, home: Path) -> None:
    """Run the README's test, which uses the fixtures of `connect.testing`."""
    hello, _, test = blocks(README, "python")
    (home / "hello.py").write_text(hello.text)
    (home / "test_greet.py").write_text(test.text)
    told = run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_greet.py"], home, INNGEST_DEV="1")
    expect("1 passed" in told, told)


def run(command: str | list[str], folder: Path, **variables: str) -> str:
    """Run *command*; its output, both streams. Exit if it fails."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env=environment(variables),
        shell=isinstance(command, str),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    expect(ran.returncode == 0, f"{command} ended with {ran.returncode}:\n{ran.stdout}")
    return ran.stdout


@contextmanager
def process(command: list[str], folder: Path, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a process until the end of the block, at most for `PATIENCE` seconds."""
    begun = subprocess.Popen(
        command,
        cwd=folder,
        env=environment({"PYTHONUNBUFFERED": "1", **variables}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    late = threading.Timer(PATIENCE, end_group, [begun.pid])
    late.start()
    try:
        yield begun
    finally:
        late.cancel()
        end_group(begun.pid)
        begun.communicate()


def until(begun: "subprocess.Popen[str]", text: str) -> str:
    """The next line of a process that contains *text*. Exit if the process ends before."""
    heard: list[str] = []
    for line in begun.stdout or ():
        heard.append(line)
        if text in line:
            return line
    sys.exit(f"the wheel: {begun.args} ended without {text!r}:\n{''.join(heard)}")


def environment(variables: dict[str, str]) -> dict[str, str]:
    """The environment, without the variables that lead to the clone, to another server or through a proxy."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("INNGEST_", "PYTHON"))}
    kept["NO_PROXY"] = kept["no_proxy"] = "127.0.0.1"
    return {**kept, **variables}


def said(text: str) -> list[str]:
    return text.strip().splitlines()


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"the wheel: {otherwise}")


if __name__ == "__main__":
    main()
    print("the wheel: installed by itself, it runs the quick start and the README's test")
