"""The parameters of the template, as far as they can be checked without AWS."""

import functools
import re
from pathlib import Path

import yaml

from terminal import stop

TEMPLATE = Path(__file__).with_name("template.yaml")
# What to do instead of giving a parameter of an older version.
REPLACED = {
    "LimitSweepConcurrency": "ReserveConcurrency took its place, and applies to both functions",
    "SyncRoleNameSuffix": "leave it out: CloudFormation names the roles, in every region",
}


class _Loader(yaml.SafeLoader):
    """Reads `!Ref` and the like as nothing. There are none in the section Parameters."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@functools.cache
def declared():
    return yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Loader)["Parameters"]


def defaults():
    """The values of parameters that nobody gives, as CloudFormation shows them."""
    return {
        name: str(parameter["Default"])
        for name, parameter in declared().items()
        if "Default" in parameter
    }


def values_of(text):
    """Splits a list as CloudFormation does."""
    return [value.strip() for value in text.split(",")]


def check_parameters(given):
    """Stops if CloudFormation would refuse one of these, or the CLI would silently ignore it."""
    for name, value in given.items():
        parameter = declared().get(name)
        if parameter is None:
            if name in REPLACED:
                stop(f"unexpected {name} in PARAMETERS: {REPLACED[name]}")
            names = ", ".join(sorted(declared()))
            stop(f"unexpected {name} in PARAMETERS: expected one of {names}")
        expected = _expected(parameter, value)
        # deploy.py says more about these.
        if expected and name != "StateMachineArns":
            stop(f"unexpected value in PARAMETERS: {name} {expected}, got '{value}'")


def _expected(parameter, value):
    """What is expected instead of this value. None if the value is right."""
    allowed = [str(each) for each in parameter.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"must be one of {', '.join(allowed)}"
    if parameter["Type"] == "Number":
        least, most = parameter.get("MinValue"), parameter.get("MaxValue")
        number = float(value) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) else None
        if number is None or not _within(number, least, most):
            return f"must be a number{_range(least, most)}"
    least, most = parameter.get("MinLength"), parameter.get("MaxLength")
    if not _within(len(value), least, most):
        return f"must have a length{_range(least, most)}"
    pattern = parameter.get("AllowedPattern")
    parts = values_of(value) if parameter["Type"] == "CommaDelimitedList" else [value]
    if pattern and not all(re.fullmatch(pattern, part) for part in parts):
        return parameter.get("ConstraintDescription", f"must match {pattern}").rstrip(".")
    return None


def _within(number, least, most):
    return (least is None or least <= number) and (most is None or number <= most)


def _range(least, most):
    text = f" from {least}" if least is not None else ""
    return f"{text} to {most}" if most is not None else text
