"""What a worker imports: no more than it needs, so that it starts soon and stays small."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from connect.gateway import Gateway, in_thread

OURS = {"connect", "statecharts"}
NEEDED = {"aiohttp", "google", "statemachine", "tenacity"}
"""`google` is protobuf."""
BROUGHT = {"aiohappyeyeballs", "aiosignal", "attr", "frozenlist", "multidict", "propcache", "yarl"}
"""By aiohttp."""
OPTIONAL = {"dotenv", "prometheus_client", "rich", "typer", "watchfiles", "pytest", "opentelemetry"}
"""What only the command, the monitor, the demo, or a test needs. The SDK's httpx takes rich if click is installed, too."""
FUNCTION = """\
import inngest
client = inngest.Inngest(app_id="shop", is_production=False)
@client.create_function(fn_id="greet", trigger=inngest.TriggerEvent(event="shop/greet"))
async def greet(ctx): return "hello"
apps = [(client, [greet])]
"""
OF_THE_COMMAND = {"connect.execution.app_lookup", "connect.execution.ending", "connect.log_output", "connect.watching"}
LATER = {
    *OF_THE_COMMAND,
    *("connect.snapshot", "connect.status", "connect.transport.tunnel", "ctypes", "psutil"),
}
"""What a worker that is given its apps needs after it is ready, or never."""
READY = """\
import asyncio
from connect import ConnectionState, connect
async def main():
    async with connect(apps): pass
asyncio.run(main())
"""
STARTED = """\
import sys
from connect import worker
from connect.cli import commands as cli
worker.WorkerConnection.start = lambda self: sys.exit()
sys.argv = ["connect", "run", "shop:apps", *sys.argv[1:]]
cli.main()
"""


def modules(code: str, *arguments: str, cwd: Path | None = None) -> set[str]:
    """The modules that a process which runs *code* has at its end."""
    told = (
        "import atexit, json, sys; atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", told + code, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)  # noqa: S603
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stderr.splitlines()[-1]))


def imported(code: str, *arguments: str, cwd: Path | None = None) -> set[str]:
    """The packages of them."""
    return packages(modules(code, *arguments, cwd=cwd))


def packages(names: set[str]) -> set[str]:
    """The packages that *names* are of, without the standard library's and private ones."""
    top = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"cython_runtime"}
    return {name for name in top if not name.startswith("_")}


@functools.cache
def heavy() -> frozenset[str]:
    """`OPTIONAL`, without what the SDK imports by itself."""
    return frozenset(OPTIONAL - imported("import inngest"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(FUNCTION)
    return tmp_path


def test_import_connect_brings_these_besides_the_sdk() -> None:
    """What is not on the list would cost each worker its time and memory."""
    assert (
        imported("import inngest; from connect import connect") - imported("import inngest") == OURS | NEEDED | BROUGHT
    )


def test_import_connect_alone_brings_nothing() -> None:
    """The command must take signals before the hundreds of modules that it needs are imported."""
    assert imported("import connect") - imported("") == {"connect"}
    assert "typing" not in set(modules("from connect.cli import starting")) - modules("")


def test_a_worker_made_in_code_needs_no_more(shop: Path) -> None:
    made = imported(FUNCTION + "from connect import connect\nconnect(apps)", cwd=shop)

    assert not made & heavy()


def test_until_it_is_ready_a_worker_imports_none_of_what_can_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with in_thread(Gateway()) as gateway:
        monkeypatch.setenv("INNGEST_DEV", gateway.url)
        made, ready = modules(FUNCTION + "from connect import connect"), modules(FUNCTION + READY)
    assert not ready & LATER
    then = {name for name in ready - made if name.startswith(("connect.", "statecharts."))}
    assert then <= {"statecharts.limits"}, "the table of requests is made once the link is ready"


def test_the_command_run_brings_typer_alone(shop: Path) -> None:
    names = modules(STARTED, cwd=shop)

    assert packages(names) & heavy() == {"typer"}
    assert not names & LATER - OF_THE_COMMAND


@pytest.mark.parametrize(
    ("arguments", "besides"),
    [
        (["--env-file", "variables"], "dotenv"),
        (["--log-level", "debug", "--isolation", "none", "--shutdown-timeout", "3"], None),
        (["--isolation", "process", "--processes", "2"], None),
    ],
)
def test_an_option_of_run_brings_what_it_needs(shop: Path, arguments: list[str], besides: str | None) -> None:
    (shop / "variables").write_text("A=b\n")

    assert imported(STARTED, *arguments, cwd=shop) & heavy() == {"typer", *([besides] if besides else [])}


def test_a_worker_without_processes_imports_none_of_their_code(shop: Path) -> None:
    assert "connect.execution.process_pool" not in modules(STARTED, cwd=shop)
    assert "connect.execution.process_pool" in modules(STARTED, "--isolation", "process", cwd=shop)
