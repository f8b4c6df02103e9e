"""Checks that every `use` names the items of one module: `use std::path::{Path, PathBuf};`.

    python3 tests/check_imports.py FILE...

Nested trees such as `use std::{fs, path::Path};` are refused, so that a line of an import can be
found by the path of its module. rustfmt on stable Rust keeps no such rule.
"""

import re
import sys
from pathlib import Path

USE = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))? )?use ([^;]+);", re.MULTILINE)


def main(paths):
    problems = [problem for path in paths for problem in check(Path(path))]
    if problems:
        sys.exit("\n".join(problems))


def check(path):
    text = path.read_text()
    for found in USE.finditer(text):
        _, brace, items = found[1].partition("{")
        if brace and "::" in items:
            line = text.count("\n", 0, found.start(1)) + 1
            yield f"{path}:{line}: expected a `use` of one module, got a nested one"


main(sys.argv[1:])
