"""The files in deploy/ fit their schemas, the worker's metrics, and the command that they run."""

import configparser
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from notify_kit import NotifySocket

from connect.gateway import Gateway, in_thread
from connect.status import ConnectionState, Status
from connect.watching.metrics import Metrics
from tests.needs import needs_promtool

DEPLOY = Path(__file__).parents[2] / "deploy"


class Idle:
    """A worker without events."""

    def on(self, kind: object, callback: object) -> Any:
        return lambda: None

    def status(self) -> Status:
        return Status(state=ConnectionState.ACTIVE)


def names_in(text: str) -> set[str]:
    """The metrics that a query names."""
    return set(re.findall(r"\binngest_connect_\w+", text))


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The name of every sample that a worker has."""
    families = re.findall(r"# TYPE (\w+) (\w+)", Metrics(Idle()).page().decode())
    suffixes = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    return {name + suffix for name, kind in families for suffix in suffixes[kind]}


def test_alerts_ask_for_metrics_that_exist(known: set[str]) -> None:
    asked = names_in((DEPLOY / "alerts.yaml").read_text())
    assert asked
    assert asked <= known


def test_the_dashboard_asks_for_metrics_that_exist(known: set[str]) -> None:
    """Its panels do not overlap."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    asked = names_in(json.dumps(dashboard))
    assert asked <= known
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        assert panel["targets"], panel["title"]
        cells = set(_cells(panel["gridPos"]))
        assert not cells & taken, panel["title"]
        taken |= cells


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        assert x < 24
        yield from ((x, y) for y in range(place["y"], place["y"] + place["h"]))


@needs_promtool
@pytest.mark.parametrize("words", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")])
def test_prometheus_takes_the_rules(words: tuple[str, ...]) -> None:
    """The rules parse, and fire when they should."""
    result = subprocess.run(["promtool", *words], cwd=DEPLOY, capture_output=True, text=True, check=False)  # noqa: S603, S607
    assert result.returncode == 0, result.stdout + result.stderr


def manifests() -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


@pytest.mark.parametrize("manifest", manifests(), ids=lambda each: each["kind"])
def test_kubernetes_takes_the_manifest(manifest: Any) -> None:
    """It fits the schemas of several releases, and has no unknown field."""
    kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_a_pod_has_time_to_deliver_what_it_owes() -> None:
    """The grace period, in compose too, is longer than the two timeouts of a shutdown together."""
    deployment = next(each for each in manifests() if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    environment = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert pod["terminationGracePeriodSeconds"] > int(environment["SHUTDOWN_TIMEOUT"]) + 60
    worker = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["worker"]
    assert int(worker["stop_grace_period"].rstrip("s")) > int(worker["environment"]["SHUTDOWN_TIMEOUT"]) + 60


@pytest.fixture
def unit() -> dict[str, str]:
    """The section [Service] of the unit."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "connect@.service")
    return dict(parser["Service"])


def test_systemd_takes_the_unit(unit: dict[str, str], tmp_path: Path) -> None:
    """It has no unknown name or value. systemd gives the worker time to deliver what it owes, and does not mend misuse."""
    words = unit["ExecStart"].split()
    assert int(unit["TimeoutStopSec"]) > int(words[words.index("--shutdown-timeout") + 1]) + 60 + 20
    assert unit["RestartPreventExitStatus"] == "2"
    if shutil.which("systemd-analyze"):
        text = (DEPLOY / "connect@.service").read_text().replace(words[0], sys.executable)
        (tmp_path / "connect@1.service").write_text(text)
        checked = subprocess.run(  # noqa: S603
            ["systemd-analyze", "verify", tmp_path / "connect@1.service"],  # noqa: S607
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert (checked.returncode, checked.stderr) == (0, "")


def test_the_units_command_says_when_it_is_ready(unit: dict[str, str], start_process: Any, tmp_path: Path) -> None:
    program, *words = unit["ExecStart"].split()
    assert Path(program).name == "statechart-connect"
    assert unit["Type"] == "notify"
    with in_thread(Gateway()) as gateway, contextlib.closing(NotifySocket(str(tmp_path / "notify"))) as theirs:
        worker = start_process(
            "-m", "connect", *words, cwd=DEPLOY, INNGEST_DEV=gateway.url, NOTIFY_SOCKET=theirs.address
        )
        assert theirs.waits().startswith("STATUS=CONNECTING")
        assert theirs.waits().startswith("READY=1")
        worker.signal()
        assert worker.ends() == 0, worker.text


def test_compose_starts_three_workers_once_their_server_is_up() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    worker = services["worker"]
    assert worker["deploy"]["replicas"] == 3
    for name, service in services.items():
        for other, on in service.get("depends_on", {}).items():
            assert on["condition"] == "service_healthy", name
            assert "healthcheck" in services[other]
    assert (DEPLOY / worker["build"]["context"] / worker["build"]["dockerfile"]).is_file()


def words_after(instruction: str) -> list[str]:
    """The JSON list of words behind the last *instruction* of the Dockerfile."""
    [last] = re.findall(
        rf"^(?:{instruction}|  {instruction}) (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE
    )
    return [str(word) for word in json.loads(last)]


def test_the_image_starts_a_worker_that_its_health_check_finds_alive(start_process: Any) -> None:
    """The entry point's shell command is run without `tini`; the worker ends with 0 on SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        http = f"127.0.0.1:{probe.getsockname()[1]}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    image = {"PATH": path, "APPS": "shop:apps", "HTTP": http, "SHUTDOWN_TIMEOUT": "30"}
    tini, *words = words_after("ENTRYPOINT")
    program = f"import os; os.execvp({words[1]!r}, {[*words[1:], '--log-format', 'json']!r})"
    with in_thread(Gateway()) as gateway:
        worker = start_process("-c", program, cwd=DEPLOY, INNGEST_DEV=gateway.url, **image)
        gateway.wait_for_worker(timeout=30)
        healthy = start_process(*words_after("CMD")[1:], **image)
        assert healthy.ends() == 0, healthy.text
        worker.signal()
        assert worker.ends() == 0, worker.text
    assert '"message": "stopped gracefully"' in worker.text
    assert "--allow-remote" in words[3], "probes come from outside the container"
    assert tini == "tini"


def test_the_image_copies_what_make_dist_makes_and_what_a_user_has() -> None:
    """It copies what is beside the Dockerfile, `dist/`, and a requirements.txt if there is one, but nothing of a clone."""
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert copied == ["dist/ requirements.tx[t]", "."]


def test_the_image_holds_no_environment_file() -> None:
    """An environment file beside the user's code holds secrets, so it stays out of the image."""
    patterns = [line for line in (DEPLOY / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert all(pattern.startswith("**/") for pattern in patterns), "Docker takes others for the folder's root alone"
    secret = (".env", ".env.production", ".git", ".venv")
    assert all(any(fnmatch(name, pattern.removeprefix("**/")) for pattern in patterns) for name in secret)


def test_the_image_installs_what_is_locked() -> None:
    """pip resolves only the user's own list; `pip check` then proves the environment whole."""
    installs = re.findall(r"pip (?:install|check)[^;&]*", (DEPLOY / "Dockerfile").read_text())
    words = [set(install.split()) for install in installs]
    assert [each & {"--no-deps", "--require-hashes"} for each in words] == [
        {"--no-deps", "--require-hashes"},
        {"--no-deps"},
        set(),
        set(),
    ]
    assert "others.txt" in words[2]
    assert "check" in words[3]
