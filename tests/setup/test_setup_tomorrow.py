"""`make` installs what is locked, even if an index offers newer releases."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.setup.wheels import wheel

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([\w.-]+)(?:\[([\w,-]+)\])?==(\S+)", re.MULTILINE)

HASHES = {
    "23.2": "78e5353a9dda374b462f2054f83a7b63f3f065c98236a68361845c1b0ee7e35f",
    "26.3": "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13",
}
"""Of pip: what Python 3.11 and 3.12 bring, which newer ones do not run, and a new one."""
PIPS = [version for version in HASHES if sys.version_info < {"23.2": (3, 13)}.get(version, (4,))]


@pytest.fixture(scope="module", params=PIPS)
def pip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A release of pip, and the folder from which it is imported."""
    folder = tmp_path_factory.mktemp("pip")
    lock = folder / "pip.txt"
    lock.write_text(f"pip=={request.param} --hash=sha256:{HASHES[request.param]}\n")
    take = ["download", "--quiet", "--no-deps", "--require-hashes", "--dest", str(folder), "--requirement", str(lock)]
    got = subprocess.run([sys.executable, "-m", "pip", *take], capture_output=True, text=True, check=False)
    if "Retrying (" in got.stderr:
        pytest.skip("no package index can be reached")
    assert got.returncode == 0, got.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder)
    return request.param, folder


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of a newer release of every locked package, with the extras that are asked for."""
    folder = tmp_path_factory.mktemp("newer")
    for name, extras, _ in PINNED.findall((ROOT / "requirements" / "dev.txt").read_text()):
        wheel(folder, name, "99999.0", extras=extras.split(",") if extras else ())
    return folder


@pytest.mark.timeout(600)
def test_make_installs_what_is_locked_though_newer_releases_are_offered(
    pip: tuple[str, Path], offered: Path, tmp_path: Path
) -> None:
    """This holds with the pip of an old Python and with a new one."""
    version, folder = pip
    links = " ".join([str(offered), os.environ.get("PIP_FIND_LINKS", "")])
    variables = {**os.environ, "PIP_FIND_LINKS": links, "PYTHONPATH": str(folder)}
    environment = tmp_path / "venv"

    made = subprocess.run(
        ["make", f"VENV={environment}", f"PYTHON={sys.executable}", str(environment / "ready")],
        cwd=ROOT, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert made.returncode == 0, made.stdout + made.stderr
    python = str(environment / "bin" / "python")
    freeze = [python, "-m", "pip", "freeze", "--all"]
    frozen = subprocess.run(freeze, env=variables, capture_output=True, text=True, check=True).stdout
    used = subprocess.run(
        [python, "-m", "pip", "--version"], env=variables, capture_output=True, text=True, check=True
    ).stdout
    assert used.startswith(f"pip {version} ")
    assert "==99999" not in frozen
    assert f"coverage=={_locked('coverage')}" in frozen
    assert f"aiohttp=={_locked('aiohttp')}" in frozen


def _locked(package: str) -> str:
    pinned = {name: version for name, _, version in PINNED.findall((ROOT / "requirements" / "dev.txt").read_text())}
    return pinned[package]
