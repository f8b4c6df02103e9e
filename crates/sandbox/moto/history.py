"""Tells the sandbox what Step Functions does.

Every event in the history of an execution becomes a line of JSON on the standard output that this
process was started with, without what only a state sees. So does every task token that is issued,
before anybody can use it: the sandbox replaces it in whatever it records.
"""

import json
import os
import queue
import threading

from moto.stepfunctions.parser.asl.eval import states
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager

# The data of an execution as a whole, and the result of a task. Inputs and outputs of other states,
# and the parameters of tasks, are not told.
WITH_INPUT = {"ExecutionStarted"}
WITH_OUTPUT = {"ExecutionSucceeded", "TaskSucceeded"}


def tell():
    """Tells from now on. Whatever else is printed goes to standard error."""
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    lines = queue.SimpleQueue()

    def write():
        while True:
            print(json.dumps(lines.get()), file=stream, flush=True)

    threading.Thread(target=write, daemon=True).start()
    follow_histories(lines.put)
    follow_tokens(lines.put)


def follow_histories(put):
    initialize = Environment.__init__
    publish = EventManager._publish_history_event

    def initialize_with_execution(
        self, aws_execution_details, execution_type, context, *others, **more
    ):
        initialize(self, aws_execution_details, execution_type, context, *others, **more)
        # A part of an execution gets the event manager of the whole.
        self.event_manager.execution = context["Execution"]["Id"]

    def publish_and_put(self, event_id, source_event_id, event_type, timestamp, event_details):
        publish(self, event_id, source_event_id, event_type, timestamp, event_details)
        put(told(self.execution, event_id, event_type, timestamp, event_details or {}))

    Environment.__init__ = initialize_with_execution
    EventManager._publish_history_event = publish_and_put


def told(execution, event_id, event_type, timestamp, event_details):
    details = next((details for details in event_details.values() if details), {})
    line = {"execution": execution, "id": event_id, "type": event_type, "at": timestamp}
    names = {"state": "name", "error": "error", "cause": "cause"}
    if event_type in WITH_INPUT:
        names["input"] = "input"
    if event_type in WITH_OUTPUT:
        names["output"] = "output"
    values = {field: details.get(name) for field, name in names.items()}
    return line | {field: value for field, value in values.items() if isinstance(value, str)}


def follow_tokens(put):
    update = states.ContextObject.update_task_token

    def update_and_put(self):
        token = update(self)
        execution = self.context_object_data["Execution"]["Id"]
        put({"execution": execution, "type": "TaskToken", "token": token})
        return token

    states.ContextObject.update_task_token = update_and_put
