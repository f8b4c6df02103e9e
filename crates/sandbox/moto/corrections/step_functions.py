"""Corrections of Step Functions."""

import datetime
import json
import queue
import re
import sys
import threading
import types
import uuid

import boto3
from jsonata import Jsonata
from moto.core.exceptions import AWSError
from moto.core.responses import ActionResult, EmptyResult
from moto.stepfunctions import models as states_models
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import (
    CustomErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import (
    ErrorEqualsDecl,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import (
    StatesErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import (
    iteration_worker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branches_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_lambda
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service,
    state_task_service_callback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk as sdk_task,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import (
    ResourceCondition,
)
from moto.stepfunctions.parser.asl.eval import states as states_data
from moto.stepfunctions.parser.asl.eval import variable_store
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackEndpoint,
    CallbackOutcomeFailure,
    CallbackOutcomeSuccess,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import (
    ProgramEnded,
    ProgramError,
    ProgramRunning,
    ProgramStopped,
)
from moto.stepfunctions.parser.asl.jsonata import jsonata
from moto.stepfunctions.parser.asl.utils import boto_client, json_path
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import (
    BaseExecutionWorkerCommunication,
    Execution,
)
from moto.stepfunctions.parser.models import (
    StepFunctionsParserBackend,
    stepfunctions_parser_backends,
)
from moto.stepfunctions.responses import StepFunctionResponse

# Limits of the Step Functions API.
OUTPUT_BYTES_MAX = 262_144
CAUSE_CHARACTERS_MAX = 32_768
ERROR_CHARACTERS_MAX = 256

# The endpoint of every token that was ever issued, to tell a closed task from garbage.
ISSUED = {}
ANSWERING = threading.Lock()


def refuse(code, message):
    raise AWSError(message, code, 400)


def answer(token, act):
    """Calls `act` with the task that waits for this token, unless the task is closed."""
    endpoint = ISSUED.get(token)
    if endpoint is None:
        refuse("InvalidToken", "Invalid Token: 'Invalid token'")
    with ANSWERING:
        if endpoint.closed or not endpoint.environment.is_running():
            refuse("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        act(endpoint)


def close(endpoint):
    with ANSWERING:
        endpoint.closed = True
    endpoint.interrupt_all()


def correct_callbacks():
    """AWS: the first answer closes a task.

    The token of a closed task gets TaskTimedOut; only a token that was never issued gets
    InvalidToken. A task without HeartbeatSeconds accepts heartbeats and ignores them. The cause
    of SendTaskFailure is kept. Output, error and cause have limits.
    """

    def send_task_success(self, task_token, outcome):
        if len(outcome.encode()) > OUTPUT_BYTES_MAX:
            refuse("InvalidOutput", f"Invalid Output: longer than {OUTPUT_BYTES_MAX} bytes")
        try:
            json.loads(outcome)
        except ValueError:
            refuse("InvalidOutput", "Invalid Output: not JSON")
        deliver(CallbackOutcomeSuccess(callback_id=task_token, output=outcome))

    def send_task_failure(self, task_token, error=None, cause=None):
        for name, value, most in (
            ("error", error, ERROR_CHARACTERS_MAX),
            ("cause", cause, CAUSE_CHARACTERS_MAX),
        ):
            if value is not None and len(value) > most:
                refuse(
                    "ValidationException",
                    f"1 validation error detected: Value at '{name}' failed to satisfy "
                    f"constraint: Member must have length less than or equal to {most}",
                )
        deliver(CallbackOutcomeFailure(callback_id=task_token, error=error, cause=cause))

    def deliver(outcome):
        def act(endpoint):
            endpoint.closed = True
            endpoint.notify(outcome)

        answer(outcome.callback_id, act)

    def send_task_heartbeat(self, task_token):
        answer(task_token, lambda endpoint: endpoint.notify_heartbeat())

    def response_send_task_failure(self):
        self.stepfunction_backend.send_task_failure(
            self._get_param("taskToken"), self._get_param("error"), self._get_param("cause")
        )
        return EmptyResult()

    StepFunctionsParserBackend.send_task_success = send_task_success
    StepFunctionsParserBackend.send_task_failure = send_task_failure
    StepFunctionsParserBackend.send_task_heartbeat = send_task_heartbeat
    StepFunctionResponse.send_task_failure = response_send_task_failure


def correct_attempts():
    """AWS: every attempt of a task has its own token, which closes with the attempt.

    An answer that arrives before the task starts to wait counts, also with HeartbeatSeconds.
    """

    def evaluate_with_timeout(self, env):
        if self.resource.condition != ResourceCondition.WaitForTaskToken:
            return ExecutionState._evaluate_with_timeout(self, env)
        endpoint = env.callback_pool_manager.add(env.states.context_object.update_task_token())
        endpoint.closed = False
        endpoint.environment = env
        ISSUED[endpoint.callback_id] = endpoint
        try:
            return ExecutionState._evaluate_with_timeout(self, env)
        except Exception:
            # An execution that was stopped in the meantime neither catches nor retries.
            if env.is_running():
                raise
            return None
        finally:
            close(endpoint)

    setup_heartbeat_endpoint = CallbackEndpoint.setup_heartbeat_endpoint

    def setup_and_check(self, heartbeat_seconds):
        heartbeat_endpoint = setup_heartbeat_endpoint(self, heartbeat_seconds)
        if self.get_outcome() is not None:
            heartbeat_endpoint.notify()
        return heartbeat_endpoint

    callback_task = state_task_service_callback.StateTaskServiceCallback
    callback_task._evaluate_with_timeout = evaluate_with_timeout
    CallbackEndpoint.setup_heartbeat_endpoint = setup_and_check


def correct_executions():
    """AWS: an execution that is stopped or times out ends at once, and so do its waiting tasks.

    It keeps the error and cause of StopExecution. An execution that is started without a name
    gets a UUID as its name. Every output is compact JSON text, a string included.
    """
    start_execution = StepFunctionsParserBackend.start_execution
    set_error = Environment.set_error

    def start_named(self, state_machine_arn, name=None, execution_input=None, trace_header=None):
        return start_execution(
            self, state_machine_arn, name or str(uuid.uuid4()), execution_input, trace_header
        )

    def stop_with_reason(self):
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        now = states_models.utcnow()
        execution.stop(now, self._get_param("error"), self._get_param("cause"))
        return ActionResult({"stopDate": execution.stop_date or now})

    def end_waiting_tasks(change):
        def change_and_end(self, *args, **kwargs):
            change(self, *args, **kwargs)
            for endpoint in list(self.callback_pool_manager._pool.values()):
                environment = getattr(endpoint, "environment", None)
                if environment is not None and not environment.is_running():
                    endpoint.interrupt_all()

        return change_and_end

    def set_error_while_running(self, error):
        if self._program_state is None or isinstance(self._program_state, ProgramRunning):
            set_error(self, error)

    # The status is set last, so that an execution that has ended always has its result.
    def reflect_result_first(self):
        execution = self.execution
        end = execution.exec_worker.env.program_state()
        execution.stop_date = datetime.datetime.now(tz=datetime.UTC)
        if isinstance(end, ProgramEnded):
            output = execution.exec_worker.env.states.get_input()
            execution.output = json.dumps(output, separators=(",", ":"), ensure_ascii=False)
            status = ExecutionStatus.SUCCEEDED
        elif isinstance(end, ProgramStopped):
            execution.error, execution.cause = end.error, end.cause
            status = ExecutionStatus.ABORTED
        elif isinstance(end, ProgramError):
            execution.error, execution.cause = end.error.get("error"), end.error.get("cause")
            status = ExecutionStatus.FAILED
        else:
            status = ExecutionStatus.TIMED_OUT
        execution.exec_status = status

    StepFunctionsParserBackend.start_execution = start_named
    StepFunctionResponse.stop_execution = stop_with_reason
    Environment.set_stop = end_waiting_tasks(Environment.set_stop)
    Environment.set_timed_out = end_waiting_tasks(Environment.set_timed_out)
    Environment.set_error = end_waiting_tasks(set_error_while_running)
    BaseExecutionWorkerCommunication._reflect_execution_status = reflect_result_first


def correct_state_machines_of_stacks():
    """AWS: a state machine that CloudFormation created can be executed."""
    states_models.stepfunctions_backends = stepfunctions_parser_backends


def correct_jsonata():
    """AWS: JSONata is evaluated, and a variable may hold any text."""

    def evaluate(expression):
        try:
            # Through JSON text and back, because the engine returns its own list type and
            # surrogates for characters beyond U+FFFF.
            return json.loads(json.dumps(Jsonata(expression).evaluate(None)))
        except Exception as error:
            raise jsonata.JSONataException("UNKNOWN", str(error)) from error

    def declarations(bindings):
        return "".join(
            f"{name}:={to_json_str(value, separators=(',', ':'))};"
            for name, value in bindings.items()
        )

    jsonata._eval_jsonata = evaluate
    for module in (jsonata, states_data, variable_store):
        module.encode_jsonata_variable_declarations = declarations


def correct_sizes():
    """AWS: the output of a state may have up to 262,144 bytes of compact JSON in UTF-8.

    Moto also counts the spaces of Python's JSON and its escapes of characters beyond ASCII, but not
    the quotes and escapes of a lone text. Its limit is one byte lower.
    """

    def is_within_size_quota(value):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
        return len(text.encode(errors="surrogatepass")) <= OUTPUT_BYTES_MAX

    for module in (state, state_task_lambda, state_task_service):
        module.is_within_size_quota = is_within_size_quota


def correct_data_limit():
    """AWS: neither States.ALL nor States.TaskFailed matches States.DataLimitExceeded.

    A state that exceeds the limit inside a Map or Parallel ends that with the same error. In moto,
    a Parallel then ends with States.Runtime, because it takes no `States.` name from a branch.

    Step Functions developer guide, "Handling errors in workflows".
    """
    matches_any = ErrorEqualsDecl._eval_body
    data_limit = StatesErrorNameType.StatesStatesDataLimitExceeded.to_name()

    def matches(self, env):
        if getattr(env.stack[-1], "error_name", None) != data_limit:
            return matches_any(self, env)
        env.stack.pop()
        return env.stack.append(any(name.matches(data_limit) for name in self.error_names))

    def name_of_branch(error_name):
        try:
            return StatesErrorName.from_name(error_name)
        except ValueError:
            return CustomErrorName(error_name)

    ErrorEqualsDecl._eval_body = matches
    for module in (branches_decl, iteration_worker):
        module.CustomErrorName = name_of_branch


def correct_paths():
    """AWS: a path that can lead to one value only gives that value.

    Moto gives a list of it when the path goes through an item of a list, as
    `$.Instances[0].InstanceId` does.
    """
    extract_json = json_path.extract_json

    def extract(path, data):
        may_lead_to_several = re.search(r"\.\.|[*?:,]", path)
        matches = [] if may_lead_to_several else json_path.parse(path).find(data)
        return matches[0].value if matches else extract_json(path, data)

    # It is imported by its name.
    for module in list(sys.modules.values()):
        if getattr(module, "extract_json", None) is extract_json:
            module.extract_json = extract


def correct_credentials():
    """AWS: state machines call services with valid credentials. Moto uses a key of no user."""
    make_client = boto3.client

    def client(*args, aws_access_key_id, aws_secret_access_key, **kwargs):
        # Without a key, boto3 takes the one in the environment.
        return make_client(*args, **kwargs)

    boto_client.boto3 = types.SimpleNamespace(client=client)


def correct_sdk_tasks():
    """AWS: errors of Systems Manager start with `Ssm.`, not `ssm.`, and those of EC2 with `Ec2.`.

    Clients are created one at a time and kept, because boto3's default session is not safe to
    use from several threads. Returns the function that provides them.
    """
    make_client = boto_client.boto_client_for
    clients = {}
    creating = threading.Lock()

    def kept_client(region, service, state_credentials=None):
        with creating:
            if (region, service) not in clients:
                clients[region, service] = make_client(region, service, state_credentials)
            return clients[region, service]

    sdk_task.boto_client_for = kept_client
    sdk_task._SERVICE_ERROR_NAMES |= {"ssm": "Ssm", "ec2": "Ec2"}
    return kept_client


def correct_texts():
    """AWS: where an API has a text, a task may pass an object, which becomes its JSON.

    AWS's own sample passes the targets of an automation that way: texts in a list in a map.
    """
    service = sdk_task.StateTaskServiceAwsSdk
    evaluate = service._eval_service_task

    def evaluate_with_texts(self, env, resource_runtime_part, normalised_parameters, **others):
        client = sdk_task.boto_client_for(
            service=self._get_boto_service_name(),
            region=resource_runtime_part.region,
            state_credentials=others["state_credentials"],
        )
        operation = client.meta.method_to_api_mapping[self._get_boto_service_action()]
        shape = client.meta.service_model.operation_model(operation).input_shape
        parameters = with_texts(normalised_parameters, shape)
        evaluate(self, env, resource_runtime_part, parameters, **others)

    service._eval_service_task = evaluate_with_texts


def with_texts(value, shape):
    """The value with JSON in the places where the shape has a text and the value has none."""
    kind = shape.type_name if shape is not None else None
    if kind == "structure" and isinstance(value, dict):
        return {name: with_texts(member, shape.members.get(name)) for name, member in value.items()}
    if kind == "map" and isinstance(value, dict):
        return {name: with_texts(member, shape.value) for name, member in value.items()}
    if kind == "list" and isinstance(value, list):
        return [with_texts(item, shape.member) for item in value]
    if kind == "string" and isinstance(value, dict | list):
        return to_json_str(value)
    return value


def emit_execution_status_events(client_for):
    """AWS: Step Functions sends EventBridge an event when an execution starts or ends."""
    start = Execution.start
    reflect = BaseExecutionWorkerCommunication._reflect_execution_status
    events = queue.Queue()

    def publish():
        while True:
            region, entry = events.get()
            try:
                client_for(region, "events").put_events(Entries=[entry])
            except Exception as error:
                print(f"publishing a status event failed: {error}", file=sys.stderr, flush=True)

    def start_and_publish(self):
        start(self)
        events.put((self.region_name, status_event(self, "RUNNING")))

    def reflect_and_publish(self):
        reflect(self)
        execution = self.execution
        events.put((execution.region_name, status_event(execution, execution.status)))

    threading.Thread(target=publish, daemon=True).start()
    Execution.start = start_and_publish
    BaseExecutionWorkerCommunication._reflect_execution_status = reflect_and_publish


def status_event(execution, status):
    ended = status != "RUNNING"
    succeeded = status == "SUCCEEDED"
    detail = {
        "executionArn": execution.exec_arn,
        "stateMachineArn": execution.state_machine_arn,
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "name": execution.name,
        "status": status,
        "startDate": int(execution.start_date.timestamp() * 1000),
        "stopDate": int(execution.stop_date.timestamp() * 1000) if ended else None,
        "input": execution.execution_input,
        "inputDetails": {"included": True},
        "output": execution.output if succeeded else None,
        "outputDetails": {"included": True} if succeeded else None,
        "error": execution.error if ended else None,
        "cause": execution.cause if ended else None,
        "redriveCount": 0,
        "redriveDate": None,
    }
    return {
        "Source": "aws.states",
        "DetailType": "Step Functions Execution Status Change",
        "Resources": [execution.exec_arn],
        "Detail": json.dumps(detail),
    }


def correct():
    correct_callbacks()
    correct_attempts()
    correct_executions()
    correct_state_machines_of_stacks()
    correct_jsonata()
    correct_sizes()
    correct_data_limit()
    correct_paths()
    correct_credentials()
    emit_execution_status_events(correct_sdk_tasks())
    correct_texts()
