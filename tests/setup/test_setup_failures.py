"""A set-up that fails says why in one line; the same command then repairs what was left half made."""

import os
import runpy
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.setup.wheels import locked, wheel

INSTALL = Path(__file__).parents[2] / "requirements" / "install.py"
AS = "import runpy, sys; {pretence}; sys.argv = ['install.py', *sys.argv[2:]]; runpy.run_path({file!r}, run_name='__main__')"
RAISES = "import pathlib; pathlib.Path.{} = lambda self, *_, **__: (_ for _ in ()).throw({})"
Ran = subprocess.CompletedProcess[str]
SetUp = Callable[..., Ran]


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with wheels to install from; there is no index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


@pytest.fixture
def set_up(tmp_path: Path, wheels: Path) -> SetUp:
    """Install *lock* into `environment`, with this Python as it is or with a *pretence*."""

    def go(lock: str, *, pretence: str = "pass", **env: str) -> Ran:
        (tmp_path / "lock.txt").write_text(lock)
        command = [
            sys.executable,
            "-c",
            AS.format(pretence=pretence, file=str(INSTALL)),
            "-",
            "environment",
            "lock.txt",
        ]
        variables = {**_clean(), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), **env}
        return subprocess.run(
            command,
            cwd=tmp_path,
            env={k: v for k, v in variables.items() if v},
            capture_output=True,
            text=True,
            check=False,
        )

    return go


def _clean() -> dict[str, str]:
    own = {name: text for name, text in os.environ.items() if not name.startswith("PIP_")}
    return {**own, "PIP_CONFIG_FILE": os.devnull}


def said(ran: Ran) -> str:
    """The one line that a failed set-up prints."""
    assert ran.returncode == 1
    assert ran.stderr.startswith("set-up: ")
    assert ran.stderr.count("\n") == 1, ran.stderr
    return ran.stderr


def frozen(folder: Path) -> Iterable[str]:
    """What is installed in the environment of *folder*, without pip's own packages."""
    freeze = [str(folder / "environment" / "bin" / "python"), "-m", "pip", "freeze"]
    return subprocess.run(freeze, env=_clean(), capture_output=True, text=True, check=True).stdout.split()


def test_what_is_locked_is_installed_and_nothing_else(set_up: SetUp, wheels: Path, tmp_path: Path) -> None:
    lock = locked(
        wheel(wheels, "shop", "1.0", requires=["till[fast]>=1"]), wheel(wheels, "till", "1.0", extras=["fast"])
    )
    wheel(wheels, "till", "2.0", extras=["fast"])

    ran = set_up(lock)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "set-up: environment from lock.txt, for about a minute\n"
    assert set(frozen(tmp_path)) == {"shop==1.0", "till==1.0"}


def test_the_packages_of_an_editable_project_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where Python is told to write no bytecode, and nothing besides them; a wheel is compiled by pip."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for name in ("shop/py.typed", "shop/till.py", "shop/back/safe.py", "tests/test_shop.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    compile_packages = runpy.run_path(str(INSTALL))["compile_packages"]

    compile_packages(sys.executable, tmp_path)
    compile_packages(sys.executable, tmp_path / "shop-1.0.whl")

    assert {path.parents[1].name for path in tmp_path.rglob("*.pyc")} == {"shop", "back"}


def test_what_is_set_for_another_purpose_leads_nothing_astray(set_up: SetUp, wheels: Path, tmp_path: Path) -> None:
    elsewhere = dict.fromkeys(("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"), "elsewhere")
    otherwise = dict.fromkeys(("PIP_USER", "PIP_DRY_RUN", "PIP_REQUIRE_VIRTUALENV"), "1")

    ran = set_up(locked(wheel(wheels, "shop", "1.0")), **elsewhere, **otherwise, PIP_NO_BINARY=":all:")

    assert ran.returncode == 0, ran.stderr
    assert set(frozen(tmp_path)) == {"shop==1.0"}
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("version", [(3, 10), (3, 9), (3, 7)])
def test_an_old_python_is_named(set_up: SetUp, version: tuple[int, int]) -> None:
    told = said(set_up("", pretence=f"sys.version_info = ({version[0]}, {version[1]}, 0)"))

    assert f"is Python {version[0]}.{version[1]}; this project needs 3.11 or newer" in told
    assert "make PYTHON=" in told


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_venv_module_is_named_with_its_package(set_up: SetUp, module: str) -> None:
    told = said(set_up("", pretence=f"sys.modules[{module!r}] = None"))

    assert f"has no {module}" in told
    assert f"apt-get install python3.{sys.version_info[1]}-venv" in told


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/simple", "https://index.invalid/simple"])
def test_no_network_is_named(set_up: SetUp, address: str) -> None:
    told = said(set_up("shop==1.0 --hash=sha256:" + "0" * 64, PIP_NO_INDEX="", PIP_INDEX_URL=address, PIP_RETRIES="1"))

    assert "installing lock.txt: the package index cannot be reached: check the network" in told


def test_what_the_lock_lacks_is_named(set_up: SetUp, wheels: Path, tmp_path: Path) -> None:
    shop = wheel(wheels, "shop", "1.0", requires=["till>=1", "scales"])
    wheel(wheels, "till", "1.0")

    told = said(set_up(locked(shop)))

    assert "lock.txt is not complete" in told
    assert "shop 1.0 requires till, which is not installed" in told
    assert "shop 1.0 requires scales, which is not installed" in told
    assert not (tmp_path / "environment" / "ready").exists()


def test_a_version_that_does_not_fit_is_named(set_up: SetUp, wheels: Path) -> None:
    lock = locked(wheel(wheels, "shop", "1.0", requires=["till>=2"]), wheel(wheels, "till", "1.0"))

    assert "shop 1.0 has requirement till>=2, but you have till 1.0" in said(set_up(lock))


def test_a_file_other_than_the_locked_one_is_named(set_up: SetUp, wheels: Path) -> None:
    lock = locked(wheel(wheels, "shop", "1.0"))
    wheel(wheels, "shop", "1.0", requires=["something-else"])

    assert "the file of shop==1.0 is not the locked one" in said(set_up(lock))


def test_nothing_is_compiled(set_up: SetUp, wheels: Path) -> None:
    """The message names a package that has no wheel for this machine; no compiler is run."""
    (wheels / "shop-1.0.tar.gz").write_bytes(b"")

    told = said(set_up("shop==1.0 --hash=sha256:" + "0" * 64))

    assert f"there is no wheel of shop==1.0 for this machine and Python 3.{sys.version_info[1]}" in told


def test_a_folder_that_is_no_environment_is_left_alone(set_up: SetUp, tmp_path: Path) -> None:
    (tmp_path / "environment").mkdir()
    precious = tmp_path / "environment" / "thesis.tex"
    precious.write_text("years")

    assert "environment exists and is not a virtual environment: remove it" in said(set_up(""))
    assert precious.read_text() == "years"


@pytest.mark.parametrize("make", [lambda folder: folder.write_text(""), lambda folder: folder.symlink_to("/nowhere")])
def test_a_file_or_a_dangling_link_in_the_folders_place_is_named(
    set_up: SetUp, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "environment")

    assert "environment exists and is not a virtual environment: remove it" in said(set_up(""))


def _without_configuration(folder: Path) -> None:
    (folder / "bin").mkdir(parents=True)
    (folder / "lib" / "python3.11").mkdir(parents=True)


def _without_interpreter(folder: Path) -> None:
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("home = /nowhere\n")
    (folder / "bin" / "python").symlink_to("/nowhere/python")
    (folder / "ready").touch()


def _without_pip(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)


@pytest.mark.parametrize("half", [_without_configuration, _without_interpreter, _without_pip])
def test_a_half_made_environment_is_made_anew(
    set_up: SetUp, wheels: Path, tmp_path: Path, half: Callable[[Path], None]
) -> None:
    half(tmp_path / "environment")

    ran = set_up(locked(wheel(wheels, "shop", "1.0")))

    assert ran.returncode == 0, ran.stderr
    assert set(frozen(tmp_path)) == {"shop==1.0"}
    assert (tmp_path / "environment" / "ready").exists()


def test_an_interrupted_set_up_is_no_traceback_and_is_repaired(set_up: SetUp, wheels: Path, tmp_path: Path) -> None:
    lock = locked(wheel(wheels, "shop", "1.0"))
    at_once = "import os, signal, subprocess; subprocess.run = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)"

    assert said(set_up(lock, pretence=f"{at_once}; signal.signal(signal.SIGINT, signal.default_int_handler)")) == (
        "set-up: interrupted; run the same command again\n"
    )

    assert not (tmp_path / "environment" / "ready").exists()
    assert set_up(lock).returncode == 0


def test_a_lock_that_is_not_there_is_named(set_up: SetUp, tmp_path: Path) -> None:
    missing = "from pathlib import Path; Path('lock.txt').unlink()"

    assert "No such file or directory: 'lock.txt'" in said(set_up("", pretence=missing))


def test_what_python_finds_elsewhere_is_installed_all_the_same(set_up: SetUp, wheels: Path, tmp_path: Path) -> None:
    """A fault in a package elsewhere is not the lock's fault."""
    lock = locked(wheel(wheels, "shop", "1.0"))
    for name, requires in (("shop", ()), ("ros", ("nosuch",))):
        with zipfile.ZipFile(wheel(wheels, name, "1.0", requires=requires)) as archive:
            archive.extractall(tmp_path / "elsewhere")
    wheel(wheels, "shop", "1.0")

    ran = set_up(lock, PYTHONPATH=str(tmp_path / "elsewhere"))

    assert ran.returncode == 0, ran.stderr
    assert set(frozen(tmp_path)) == {"shop==1.0"}


def test_a_configuration_of_pip_that_leads_elsewhere_is_named(set_up: SetUp, wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(f"[install]\ntarget = {tmp_path / 'elsewhere'}\n")
    lock = locked(wheel(wheels, "shop", "1.0"))

    told = said(set_up(lock, PIP_CONFIG_FILE=str(tmp_path / "pip.conf")))

    assert "pip did not install shop into environment: see `pip config list`" in told
    assert not (tmp_path / "environment" / "ready").exists()


def test_a_folder_that_cannot_be_written_is_named(set_up: SetUp, tmp_path: Path) -> None:
    (tmp_path / "environment").mkdir()

    refused = RAISES.format("iterdir", "PermissionError(13, 'Permission denied', str(self))")

    assert said(set_up("", pretence=refused)) == "set-up: environment: Permission denied\n"


def test_a_log_that_cannot_be_kept_hides_no_cause(set_up: SetUp) -> None:
    """The disk may be full."""
    full = RAISES.format("open", "OSError(28, 'No space left on device')")

    told = said(set_up("shop==1.0 --hash=sha256:" + "0" * 64, pretence=full))

    assert "there is no wheel of shop==1.0" in told
    assert "install.log" not in told


@pytest.mark.parametrize(
    ("last", "cause"),
    [
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM …\n    shop==1.0 from x",
            "the file of shop==1.0",
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("shop 1.0 requires till, which is not installed.", "shop 1.0 requires till"),
    ],
)
def test_a_retry_that_was_none_too_many_is_not_the_cause(last: str, cause: str) -> None:
    retry = "WARNING: Retrying (Retry(total=2)) after connection broken by 'ReadTimeoutError': /simple/shop/\n"

    assert runpy.run_path(str(INSTALL))["cause"](retry + last).startswith(cause)
