"""Tasks whose `HeartbeatSeconds` the interval of the sweep cannot meet."""

import fnmatch
import json
import re

from aws_cli import AwsError
from template import values_of
from terminal import escape, say, stop

# A sweep, and so a heartbeat, can be lost or late.
INTERVALS_RECOMMENDED = 4
# Each takes a call.
STATE_MACHINES_MAX = 50
WAITING_TASK = re.compile(
    r"arn:[a-z-]+:states:::aws-sdk:ssm:(sendCommand|startAutomationExecution)\.waitForTaskToken"
)


def check_heartbeats(aws, parameters, documents):
    """Stops if a task that the stack may answer would end for want of a heartbeat.

    Only tasks that name one of `documents` count. State machines that cannot be read are not
    checked, and the user is told.
    """
    interval_minutes = int(parameters["SweepIntervalMinutes"])
    interval = 60 * interval_minutes
    try:
        machines, more = _state_machines(aws, values_of(parameters["StateMachineArns"]))
        tasks = [task for arn in machines for task in _tasks(aws, arn, documents)]
    except AwsError as error:
        say(f"cannot check the HeartbeatSeconds of the state machines: {error}")
        return
    if more:
        say(f"checked the HeartbeatSeconds of {len(machines)} state machines; there are more")
    impossible = [task for task in tasks if task[2] <= interval]
    if impossible:
        shorter = ", or shorten the interval with PARAMETERS" if interval_minutes > 1 else ""
        stop(
            f"expected HeartbeatSeconds of more than {interval}, because heartbeats come once in "
            f"{interval} seconds with SweepIntervalMinutes={interval_minutes}, got:\n"
            f"{_lines(impossible)}\n"
            f"Set them to {INTERVALS_RECOMMENDED * interval} or more{shorter}"
        )
    short = [task for task in tasks if task[2] < INTERVALS_RECOMMENDED * interval]
    if short:
        say(
            "these tasks end if one sweep is lost or late; set HeartbeatSeconds to "
            f"{INTERVALS_RECOMMENDED * interval} or more:\n{_lines(short)}"
        )


def _lines(tasks):
    return "\n".join(
        f"  {seconds} in state {escape(state)} of {arn.split(':')[-1]}"
        for arn, state, seconds in tasks
    )


def _state_machines(aws, arns):
    """The ARNs that these patterns match, and whether some were left out."""
    found = [arn for arn in arns if "*" not in arn]
    patterns = [arn for arn in arns if "*" in arn]
    if patterns:
        # The CLI reads all pages.
        listed = aws.read(
            "stepfunctions", "list-state-machines", query="stateMachines[].stateMachineArn"
        )
        found += [arn for arn in listed if any(fnmatch.fnmatchcase(arn, one) for one in patterns)]
    return found[:STATE_MACHINES_MAX], len(found) > STATE_MACHINES_MAX


def _tasks(aws, arn, documents):
    """The tasks that run one of the documents: ARN, name of the state, and HeartbeatSeconds."""
    try:
        text = aws.read(
            "stepfunctions", "describe-state-machine", state_machine_arn=arn, query="definition"
        )
    except AwsError as error:
        # It may be made later.
        if error.code == "StateMachineDoesNotExist":
            return []
        raise
    return [
        (arn, name, state["HeartbeatSeconds"])
        for name, state in _states(json.loads(text))
        if WAITING_TASK.fullmatch(str(state.get("Resource")))
        # Not if it is an expression.
        and isinstance(state.get("HeartbeatSeconds"), int)
        and _document(state) in documents
    ]


def _states(definition):
    """All states with their names, also those within Map and Parallel."""
    for name, state in definition.get("States", {}).items():
        yield name, state
        inner = [state.get("ItemProcessor"), state.get("Iterator"), *state.get("Branches", [])]
        for each in inner:
            yield from _states(each or {})


def _document(state):
    """The plain name of the document that a task names."""
    arguments = state.get("Parameters") or state.get("Arguments") or {}
    return plain_name(str(arguments.get("DocumentName"))) if isinstance(arguments, dict) else None


def plain_name(document):
    """The name in the ARN of a document, or the name itself."""
    return document.rpartition("/")[2]
