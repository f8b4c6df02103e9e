"""The relay as one would write it in Python: what `make bench` measures ours against.

The same calls, the same decisions and the same answer as the relay of this project, with boto3
and its default settings but for the timeouts. Clients are made once, while the function starts.
Reads follow one another, as they do in nearly every function that uses boto3.
"""

import json
import logging
import time

import boto3
from botocore.config import Config

PAUSES_S = (0.2, 0.4, 0.8, 1.6)
OUTPUT_BYTES_MAX = 262_144
CAUSE_BYTES_MAX = 32_768
FULL_OUTPUT_NODES_MAX = 10
LISTED_CHARS_MAX = 2_500
ERROR_SEPARATOR = "\n----------ERROR-------\n"
CUT_MARKS = ("---Output truncated---", "---Error truncated----")
RUNNING = {"Pending", "InProgress", "Delayed", "Cancelling"}

config = Config(
    connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 5}
)
ssm = boto3.client("ssm", config=config)
step_functions = boto3.client("stepfunctions", config=config)
log = logging.getLogger()
log.setLevel(logging.INFO)


def handler(event, _context):
    command_id = event["detail"]["command-id"]
    ended = event["detail"].get("status") not in RUNNING
    outcome = settle(command_id, ended)
    log.info(json.dumps({"command_id": command_id, "outcome": outcome, "message": "settled"}))
    return {"CommandId": command_id, "Outcome": outcome}


def settle(command_id, ended):
    for pause_s in (*PAUSES_S, None):
        command, invocations = read(command_id)
        if command is None:
            problem = f"command {command_id} was not found"
        else:
            token = command["Parameters"].get("taskToken", [None])[0]
            if token is None:
                return "NoToken"
            if command["StatusDetails"] in RUNNING:
                if not ended:
                    return "Running"
                problem = f"command {command_id} has not ended"
            elif is_seen(command, invocations):
                return answer(token, command, invocations)
            else:
                problem = f"the end of command {command_id} was not seen on each node"
        if pause_s is not None:
            time.sleep(pause_s)
    raise RuntimeError(problem)


def read(command_id):
    try:
        commands = ssm.list_commands(CommandId=command_id)["Commands"]
    except ssm.exceptions.InvalidCommandId:
        return None, []
    pages = ssm.get_paginator("list_command_invocations").paginate(
        CommandId=command_id, Details=True, PaginationConfig={"PageSize": 50}
    )
    invocations = [invocation for page in pages for invocation in page["CommandInvocations"]]
    return (commands[0] if commands else None), invocations


def is_seen(command, invocations):
    ended = sum(invocation["StatusDetails"] not in RUNNING for invocation in invocations)
    return command["StatusDetails"] != "Success" or ended >= command["TargetCount"]


def answer(token, command, invocations):
    succeeded = command["TargetCount"] > 0 and command["StatusDetails"] == "Success"
    succeeded = succeeded and all(
        invocation["StatusDetails"] == "Success" for invocation in invocations
    )
    on_failure = command["Parameters"].get("onFailure", ["Fail"])[0]
    entries = [
        entry(command["CommandId"], invocation, len(invocations)) for invocation in invocations
    ]
    try:
        if succeeded or on_failure == "Report":
            step_functions.send_task_success(
                taskToken=token, output=report(command, entries, OUTPUT_BYTES_MAX)
            )
            return "Succeeded"
        details = command["StatusDetails"]
        step_functions.send_task_failure(
            taskToken=token,
            error="RunCommand." + ("Incomplete" if details == "Success" else details),
            cause=report(command, entries, CAUSE_BYTES_MAX),
        )
        return "Failed"
    except (step_functions.exceptions.TaskTimedOut, step_functions.exceptions.TaskDoesNotExist):
        return "AlreadyClosed"


def entry(command_id, invocation, nodes):
    plugin = invocation["CommandPlugins"][-1] if invocation["CommandPlugins"] else {}
    listed = plugin.get("Output", "")
    stdout, _, stderr = listed.partition(ERROR_SEPARATOR)
    truncated = len(listed) >= LISTED_CHARS_MAX or any(mark in listed for mark in CUT_MARKS)
    if truncated and nodes <= FULL_OUTPUT_NODES_MAX:
        full = ssm.get_command_invocation(
            CommandId=command_id, InstanceId=invocation["InstanceId"], PluginName=plugin["Name"]
        )
        stdout, stderr = full["StandardOutputContent"], full["StandardErrorContent"]
        truncated = len(stdout) >= 24_000 or len(stderr) >= 8_000
    return {
        "InstanceId": invocation["InstanceId"],
        "Status": invocation["Status"],
        "StatusDetails": invocation["StatusDetails"],
        "ResponseCode": plugin.get("ResponseCode", -1),
        "ExecutionStartDateTime": date_time(plugin.get("ResponseStartDateTime")),
        "ExecutionEndDateTime": date_time(plugin.get("ResponseFinishDateTime")),
        "StandardOutputContent": stdout,
        "StandardErrorContent": stderr,
        "OutputTruncated": truncated,
        "StandardOutputUrl": invocation.get("StandardOutputUrl", ""),
        "StandardErrorUrl": invocation.get("StandardErrorUrl", ""),
    }


def report(command, entries, bytes_max):
    """As JSON of at most `bytes_max` bytes: outputs are halved, then entries are left out."""
    entries = sorted(
        entries, key=lambda entry: (entry["StatusDetails"] == "Success", entry["InstanceId"])
    )
    chars_max, kept = 24_000, len(entries)
    while True:
        text = to_json(command, entries[:kept], len(entries) - kept)
        if len(text.encode()) <= bytes_max:
            return text
        if chars_max:
            chars_max = chars_max // 2 if chars_max > 64 else 0
            entries = [shortened(entry, chars_max) for entry in entries]
        else:
            kept = kept * 9 // 10


def shortened(entry, chars_max):
    names = ("StandardOutputContent", "StandardErrorContent")
    cut = {name: entry[name][:chars_max] for name in names}
    is_cut = any(len(entry[name]) > chars_max for name in names)
    return {**entry, **cut, "OutputTruncated": entry["OutputTruncated"] or is_cut}


def to_json(command, entries, omitted):
    return json.dumps(
        {
            "CommandId": command["CommandId"],
            "DocumentName": command["DocumentName"],
            "Status": command["Status"],
            "StatusDetails": command["StatusDetails"],
            "RequestedDateTime": date_time(command["RequestedDateTime"]),
            "TargetCount": command["TargetCount"],
            "CompletedCount": command["CompletedCount"],
            "ErrorCount": command["ErrorCount"],
            "DeliveryTimedOutCount": command["DeliveryTimedOutCount"],
            "Invocations": entries,
            "InvocationsOmitted": omitted,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def date_time(time):
    return time.isoformat() if time else ""
