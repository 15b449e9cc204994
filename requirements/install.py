"""Make a virtual environment that holds exactly what a lock lists.

    python3 requirements/install.py FOLDER LOCK [[--editable] PROJECT]

No resolver runs: pip takes the hashed list as it is, and `pip check` then proves that nothing is missing from it. What an index
offers besides, today or in years, changes nothing. PROJECT, a folder or a wheel, is installed last. FOLDER is made anew each time,
so a set-up that was interrupted needs no cleaning up. A failure is one line and exit code 1; pip's own words are in
FOLDER/install.log. It runs before anything is installed, and on Pythons that are too old, to say so.
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
SKELETON = {"bin", "include", "lib", "lib64", "Scripts", "Include", "Lib", "share", LOG}
"""What lies in an environment that was interrupted before it had a pyvenv.cfg."""

ELSEWHERE = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_DRY_RUN"}
"""Variables, perhaps set for another purpose, with which pip would install somewhere else, or nothing."""

CAUSES = (
    (
        r"Retrying \(|Could not fetch URL|Max retries exceeded",
        "the package index cannot be reached: check the network, or pip's index-url",
    ),
    (
        r"DO NOT MATCH THE HASHES[^\n]*\n\s*(\S+)",
        "the file of {found} is not the one that was locked: the index or a cache on the way serves another",
    ),
    (
        r"No matching distribution found for (\S+)",
        "there is no wheel of {found} for this machine and Python {python}: try another Python (make PYTHON=...)",
    ),
    (r"No space left on device", "the disk is full"),
)
"""What pip says when it fails, and what that means; the first that fits."""


class SetupError(Exception):
    """The set-up cannot go on; its text is the line to show."""


def main() -> None:
    """Make the environment that the arguments name."""
    folder, lock, *project = sys.argv[1:]
    try:
        check_python()
        install(Path(folder), Path(lock), project)
    except SetupError as failure:
        sys.exit(f"set-up: {failure}")
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


def install(folder: Path, lock: Path, project: list[str]) -> None:
    """Make *folder* anew, and put what *lock* lists and *project* into it. Raises: SetupError."""
    check_folder(folder)
    print(f"set-up: {folder} from {lock}", flush=True)
    run(folder, "making the environment", sys.executable, "-m", "venv", "--clear", str(folder))
    python = str(folder / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    # One retry at least: it is by these that pip tells a dead network from a package that does not exist.
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "3"]
    exact = ["install", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    run(folder, f"installing {lock}", *pip, *exact, "--requirement", str(lock))
    if project:
        as_it_is = ["install", "--no-deps", "--no-build-isolation"]
        run(folder, "installing this project", *pip, *as_it_is, *project)
    run(folder, f"{lock} is not complete, `make lock` makes it anew", *pip, "check")
    (folder / READY).touch()


def check_folder(folder: Path) -> None:
    """Refuse to empty what is no virtual environment. Raises: SetupError."""
    if not folder.exists():
        return
    if folder.is_dir() and ((folder / "pyvenv.cfg").exists() or {each.name for each in folder.iterdir()} <= SKELETON):
        return
    raise SetupError(
        f"{folder} is there and is no virtual environment: remove it, or name another folder (make VENV=...)"
    )


def run(folder: Path, doing: str, *command: str) -> None:
    """Run *command*, its output in the folder's log. Raises: SetupError: it failed, with the cause that its output tells."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={name: text for name, text in os.environ.items() if name not in ELSEWHERE},
        )
    except OSError as error:
        raise SetupError(f"{doing}: cannot run {command[0]}: {error.strerror}") from None
    told = cause(done.stdout)
    if folder.is_dir():
        with (folder / LOG).open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}\n")
        told += f" (all of it: {folder / LOG})"
    if done.returncode:
        raise SetupError(f"{doing}: {told}")


def cause(output: str) -> str:
    """What matters of what pip or venv said, as one line."""
    for sign, meaning in CAUSES:
        match = re.search(sign, output)
        if match:
            found = match[1] if match.re.groups else ""
            return meaning.format(found=found, python=f"{sys.version_info[0]}.{sys.version_info[1]}")
    said = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in said if line.startswith("ERROR:")]
    return "; ".join(errors[-1:] or said[-3:]) or "it said nothing"


if __name__ == "__main__":
    main()
