"""Makes a deployment package of a function."""

import io
import struct
import zipfile
from pathlib import Path

from terminal import stop

# Lambda's names of the machines that an ELF file is built for.
MACHINES = {0x3E: "x86_64", 0xB7: "arm64"}


def package(directory, name, architecture):
    """Returns a zip file. The same program always gives the same bytes, and so the same key."""
    path = Path(directory, name, "bootstrap")
    if not path.is_file():
        stop(f"{path} is missing: run `make build ARCH={architecture}`")
    program = path.read_bytes()
    if machine(program) != architecture:
        stop(
            f"expected {path} to be a program for {architecture}, got {description(program)}: "
            f"run `make build ARCH={architecture}`"
        )
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(entry, program, compresslevel=9)
    return content.getvalue()


def machine(program):
    """The machine in the header of an ELF file. None if the file is not one."""
    if program[:4] != b"\x7fELF" or len(program) < 20:
        return None
    (number,) = struct.unpack_from("<H", program, 18)
    return MACHINES.get(number, f"machine {number}")


def description(program):
    built_for = machine(program)
    return f"one for {built_for}" if built_for else "a file that is not a Linux program"
