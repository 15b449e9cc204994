"""Makes a virtual environment with exactly the packages that a lock lists.

    python3 requirements/install.py FOLDER [LOCK [[--editable] PROJECT]]

pip resolves nothing: it installs the hashed list as it is, and `pip check` then proves that the list is complete. Newer releases on
an index change nothing. PROJECT, a folder or a wheel, is installed last; without LOCK the environment stays empty. FOLDER is made
anew each time, so an interrupted set-up needs no cleaning up. A failure is one line and exit code 1; pip's output is in
FOLDER/install.log. This file runs before anything is installed, and on old Pythons (from 3.7 on) too, so that it can refuse them.
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
"""The files of an environment whose making was interrupted before it had a pyvenv.cfg."""

ELSEWHERE = {
    *("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_DRY_RUN"),
    *("PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_REQUIRE_HASHES"),
}
"""Variables with which pip would install into another place, or other packages, or nothing. They are not passed on to it."""

CAUSES = (
    (
        r"DO NOT MATCH THE HASHES[^\n]*\n\s*(\S+)",
        "the file of {found} is not the locked one: the index, or a cache on the way to it, serves another file",
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
"""Patterns of pip's output when it fails, and what each means. The first that matches counts. A retry alone is not a failure."""


class SetupError(Exception):
    """The set-up has failed. The text is the line to show."""


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
    """Refuse a Python that is too old or cannot make environments. Raises: SetupError."""
    here = f"{sys.executable} is Python {sys.version_info[0]}.{sys.version_info[1]}"
    if tuple(sys.version_info[:2]) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise SetupError(
            f"{here}; this project needs {wanted} or newer: name one, as in `make PYTHON=python{wanted} test`"
        )
    try:
        import ensurepip  # noqa: F401 - on Debian both are in a package of their own
        import venv  # noqa: F401
    except ImportError as error:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetupError(f"{here} and has no {error.name}: on Debian and Ubuntu, `apt-get install {package}`") from None


def make(folder: Path) -> None:
    """Make *folder* an empty environment. Raises: SetupError: it has other contents, which are not touched, or venv failed."""
    if os.path.lexists(str(folder)) and not is_environment(folder):
        raise SetupError(
            f"{folder} exists and is not a virtual environment: remove it, or name another folder (make VENV=...)"
        )
    run(folder, "making the environment", sys.executable, "-m", "venv", "--clear", str(folder))


def is_environment(folder: Path) -> bool:
    """Whether *folder* is a virtual environment, complete or interrupted: then it may be emptied."""
    if not folder.is_dir():
        return False
    return (folder / "pyvenv.cfg").exists() or {each.name for each in folder.iterdir()} <= SKELETON


def install(folder: Path, lock: Path, project: list[str]) -> None:
    """Install what *lock* lists, and *project*, into the environment *folder*, and check that all is there. Raises: SetupError."""
    print(f"set-up: {folder} from {lock}, for about a minute", flush=True)
    python = str(folder / "bin" / "python")
    pip = ["-m", "pip", "--disable-pip-version-check", "--no-input"]
    # --ignore-installed: packages on PYTHONPATH are not in the environment, although pip takes them for installed.
    into = [python, *pip, "install", "--no-deps", "--ignore-installed"]
    run(folder, f"installing {lock}", *into, "--require-hashes", "--only-binary", ":all:", "--requirement", str(lock))
    if project:
        run(folder, "installing this project", *into, "--no-build-isolation", *project)
        compile_packages(python, Path(project[-1]))
    installed = run(folder, "looking at what was installed", python, "-I", *pip, "freeze", "--all")
    missing = sorted(locked(lock) - {normal(line.partition("==")[0]) for line in installed.splitlines()})
    if missing:
        raise SetupError(
            f"pip did not install {', '.join(missing)} into {folder}: see `pip config list` for target, prefix or root"
        )
    run(folder, f"{lock} is not complete: run `make lock`", python, "-I", *pip, "check")
    (folder / READY).touch()


def compile_packages(python: str, project: Path) -> None:
    """Write the bytecode of the typed packages of *project*, where that is a folder and can be written, as pip does for a wheel.

    Where PYTHONDONTWRITEBYTECODE is set, as in many images, Python would compile them at every start.
    """
    packages = [str(typed.parent) for typed in project.glob("*/py.typed")]
    if packages:
        subprocess.run([python, "-m", "compileall", "-q", *packages], stdout=subprocess.DEVNULL)


def locked(lock: Path) -> set[str]:
    """The packages that *lock* lists for every machine."""
    names = re.findall(
        r"^([\w.-]+)(?:\[[^\]]*\])?==[^\s;]+(?! *;)(?=\s)", lock.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {normal(name) for name in names}


def normal(name: str) -> str:
    """*name* in the normalized spelling of package names."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def run(folder: Path, doing: str, *command: str) -> str:
    """Run *command*, log its output in *folder*, and return it. Raises: SetupError: the command failed; the text has the cause."""
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
    """Append *text* to *log*. Returns where the log is, for the error's text; "" if it cannot be written."""
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        return ""
    return f" (full output: {log})"


def cause(output: str) -> str:
    """The cause of a failure, from the output of pip or venv, as one line."""
    for sign, meaning in CAUSES:
        match = re.search(sign, output)
        if match:
            found = match[1] if match.re.groups else ""
            return meaning.format(found=found, python=f"{sys.version_info[0]}.{sys.version_info[1]}")
    said = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("WARNING:")]
    errors = [line for line in said if line.startswith("ERROR:")]
    return "; ".join(errors[-1:] or said[-3:]) or "it failed without a message"


if __name__ == "__main__":
    main()
