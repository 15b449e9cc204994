"""Make a virtual environment that holds exactly what a lock lists.

    python3 requirements/install.py FOLDER [LOCK [[--editable] PROJECT]]

No resolver runs: pip takes the hashed list as it is, and `pip check` then proves that nothing is missing from it. What an index
offers besides, today or in years, changes nothing. PROJECT, a folder or a wheel, is installed last; without LOCK the environment is
empty. FOLDER is made anew each time, so a set-up that was interrupted needs no cleaning up. A failure is one line and exit code 1;
pip's own words are in FOLDER/install.log. It runs before anything is installed, and on old Pythons (from 3.7 on) too,
to name them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
LOG = "install.log"
READY = "ready"
SKELETON = {"bin", "include", "lib", "lib64", "share", LOG}
"""What lies in an environment that was interrupted before it had a pyvenv.cfg."""

ELSEWHERE = {
    *("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_DRY_RUN"),
    *("PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_REQUIRE_HASHES"),
}
"""Variables, perhaps set for another purpose, with which pip would install somewhere else, something else, or nothing."""

CAUSES = (
    (
        r"DO NOT MATCH THE HASHES[^\n]*\n\s*(\S+)",
        "the file of {found} is not the one that was locked: the index or a cache on the way serves another",
    ),
    (r"No space left on device", "the disk is full"),
    (
        r"(?s)(?:Retrying \(|Could not fetch URL).*(?:No matching distribution|Max retries|Connection|HTTPSConnectionPool)",
        "the package index cannot be reached: check the network, or pip's index-url",
    ),
    (
        r"No matching distribution found for (\S+)",
        "there is no wheel of {found} for this machine and Python {python}: try another Python (make PYTHON=...)",
    ),
)
"""What pip says when it fails, and what that means; the first that fits. A retry alone is no failure."""


class SetupError(Exception):
    """The set-up cannot go on; its text is the line to show."""


def main() -> None:
    """Make the environment that the arguments name."""
    folder, *rest = sys.argv[1:]
    try:
        check_python()
        make(Path(folder))
        if rest:
            install(Path(folder), Path(rest[0]), rest[1:])
    except SetupError as failure:
        sys.exit(f"set-up: {failure}")
    except OSError as error:
        sys.exit(f"set-up: {error.filename or folder}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("set-up: interrupted; run the same command again")


def check_python() -> None:
    """Refuse a Python that is too old, or cannot make environments. Raises: SetupError."""
    here = f"{sys.executable} is Python {sys.version_info[0]}.{sys.version_info[1]}"
    if tuple(sys.version_info[:2]) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise SetupError(
            f"{here}; this project needs {wanted} or newer: name one, as in `make PYTHON=python{wanted} test`"
        )
    try:
        import ensurepip  # noqa: F401 - Debian keeps both in a package of their own
        import venv  # noqa: F401
    except ImportError as error:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetupError(f"{here} and has no {error.name}: on Debian and Ubuntu, `apt-get install {package}`") from None


def make(folder: Path) -> None:
    """Make *folder* an empty environment. Raises: SetupError: it cannot be, or is something else; that is left alone."""
    if os.path.lexists(str(folder)) and not is_environment(folder):
        raise SetupError(
            f"{folder} is there and is no virtual environment: remove it, or name another folder (make VENV=...)"
        )
    run(folder, "making the environment", sys.executable, "-m", "venv", "--clear", str(folder))


def is_environment(folder: Path) -> bool:
    """Whether *folder* may be emptied: a virtual environment, perhaps half made."""
    if not folder.is_dir():
        return False
    return (folder / "pyvenv.cfg").exists() or {each.name for each in folder.iterdir()} <= SKELETON


def install(folder: Path, lock: Path, project: list[str]) -> None:
    """Put what *lock* lists and *project* into the environment of *folder*, and see that all is there. Raises: SetupError."""
    print(f"set-up: {folder} from {lock}, for about a minute", flush=True)
    python = str(folder / "bin" / "python")
    pip = ["-m", "pip", "--disable-pip-version-check", "--no-input"]
    # What PYTHONPATH shows is not in the environment.
    into = [python, *pip, "install", "--no-deps", "--ignore-installed"]
    run(folder, f"installing {lock}", *into, "--require-hashes", "--only-binary", ":all:", "--requirement", str(lock))
    if project:
        run(folder, "installing this project", *into, "--no-build-isolation", *project)
    installed = run(folder, "looking at what was installed", python, "-I", *pip, "freeze", "--all")
    missing = sorted(locked(lock) - {normal(line.partition("==")[0]) for line in installed.splitlines()})
    if missing:
        raise SetupError(
            f"{', '.join(missing)} went elsewhere than {folder}: see what `pip config list` says of target, prefix or root"
        )
    run(folder, f"{lock} is not complete, `make lock` makes it anew", python, "-I", *pip, "check")
    (folder / READY).touch()


def locked(lock: Path) -> set[str]:
    """The packages that *lock* lists for every machine."""
    names = re.findall(
        r"^([\w.-]+)(?:\[[^\]]*\])?==[^\s;]+(?! *;)(?=\s)", lock.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {normal(name) for name in names}


def normal(name: str) -> str:
    """*name* as all spell it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def run(folder: Path, doing: str, *command: str) -> str:
    """Run *command*, its output in the folder's log; returns it. Raises: SetupError: it failed, with the cause that it tells."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={name: text for name, text in os.environ.items() if name not in ELSEWHERE},
    )
    kept = keep(folder / LOG, f"$ {' '.join(command)}\n{done.stdout}\n")
    if done.returncode:
        raise SetupError(f"{doing}: {cause(done.stdout)}{kept}")
    return done.stdout


def keep(log: Path, text: str) -> str:
    """Add *text* to *log*; returns where it is, "" where the disk takes no more."""
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        return ""
    return f" (all of it: {log})"


def cause(output: str) -> str:
    """What matters of what pip or venv said, as one line."""
    for sign, meaning in CAUSES:
        match = re.search(sign, output)
        if match:
            found = match[1] if match.re.groups else ""
            return meaning.format(found=found, python=f"{sys.version_info[0]}.{sys.version_info[1]}")
    said = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("WARNING:")]
    errors = [line for line in said if line.startswith("ERROR:")]
    return "; ".join(errors[-1:] or said[-3:]) or "it said nothing"


if __name__ == "__main__":
    main()
