"""What the script prints. Text from elsewhere cannot control the terminal."""

import re
import sys

# ESC, BEL and the like, and their one-byte forms, which terminals obey.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# The same without tabs and line feeds.
CONTROL_IN_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def say(what):
    print(f"==> {escape_lines(what)}", flush=True)


def stop(problem):
    """Ends the process with exit code 1 and this message."""
    sys.exit(escape_lines(problem))


def escape(text):
    r"""Writes control characters as `\x1b`."""
    return CONTROL.sub(_escaped, text)


def escape_lines(text):
    """Like `escape`, but keeps lines and tabs."""
    return CONTROL_IN_LINES.sub(_escaped, text)


def _escaped(found):
    return f"\\x{ord(found[0]):02x}"
