"""Creates or updates the Python environment of the sandbox and the tests.

    python3 tests/make_venv.py target/venv crates/sandbox/requirements.txt tests/requirements.txt

Each requirements file is installed once, and again when it changes. Concurrent runs wait for each
other. This script uses only the standard library, because nothing else is installed yet.
"""

import fcntl
import hashlib
import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path

PYTHON_MIN = (3, 11)
USAGE = "usage: make_venv.py DIRECTORY REQUIREMENTS..."


def main(arguments):
    if len(arguments) < 2:
        sys.exit(USAGE)
    if sys.version_info < PYTHON_MIN:
        expected = ".".join(map(str, PYTHON_MIN))
        sys.exit(f"expected python3 to be {expected} or newer, got {platform.python_version()}")
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit("python3 has no module venv: install the package python3-venv of your system")
    directory, files = Path(arguments[0]), [Path(name) for name in arguments[1:]]
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        update(directory, files)


def update(directory, files):
    python = directory / "bin" / "python"
    if not runs(python):
        say(f"creating {directory}")
        shutil.rmtree(directory, ignore_errors=True)
        run([sys.executable, "-m", "venv", directory], f"creating {directory} failed")
    for file in files:
        stamp = directory / ("installed-" + "-".join(file.with_suffix("").parts))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if stamp.is_file() and stamp.read_text() == digest:
            continue
        say(f"installing {file} into {directory}")
        install(python, file)
        stamp.write_text(digest)


def install(python, file):
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    command += ["--require-hashes", "--requirement", file]
    run(command, f"installing {file} failed")


def runs(python):
    """Whether the environment exists and works. Removing the system's Python breaks it."""
    command = [python, "-m", "pip", "--version"]
    return (
        python.is_file()
        and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


def run(command, failure):
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit(f"{failure} for the reason above")


def say(what):
    print(f"==> {what}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
