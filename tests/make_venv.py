"""Makes the Python environment of the sandbox and the tests, or brings it up to date.

    python3 tests/make_venv.py target/venv crates/sandbox/requirements.txt tests/requirements.txt

Each file of requirements is installed once, and again when it has changed. Several runs at once
wait for each other. Only the standard library is used, because nothing else is there yet.
"""

import fcntl
import hashlib
import importlib.util
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
        sys.exit(
            f"python3 is version {sys.version.split()[0]}, and {version(PYTHON_MIN)} or newer is needed."
        )
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit("python3 lacks its module venv: install the package python3-venv of your system.")
    directory, files = Path(arguments[0]), [Path(name) for name in arguments[1:]]
    directory.parent.mkdir(parents=True, exist_ok=True)
    with open(directory.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make(directory, files)


def make(directory, files):
    python = directory / "bin" / "python"
    if not runs(python):
        say(f"making {directory}")
        shutil.rmtree(directory, ignore_errors=True)
        run([sys.executable, "-m", "venv", directory], f"{directory} could not be made")
    for file in files:
        stamp = directory / ("installed-" + "-".join(file.with_suffix("").parts))
        wanted = hashlib.sha256(file.read_bytes()).hexdigest()
        if stamp.is_file() and stamp.read_text() == wanted:
            continue
        say(f"installing {file} into {directory}")
        install(python, file)
        stamp.write_text(wanted)


def install(python, file):
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    command += ["--require-hashes", "--requirement", file]
    run(command, f"the packages of {file} could not be installed")


def runs(python):
    """Whether it is there and works: an environment breaks when its Python is upgraded away."""
    return (
        python.is_file()
        and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0
    )


def run(command, failure):
    if subprocess.run(command).returncode != 0:
        sys.exit(f"{failure}: the reason stands above.")


def version(numbers):
    return ".".join(str(number) for number in numbers)


def say(what):
    print(f"==> {what}", flush=True)


main(sys.argv[1:])
