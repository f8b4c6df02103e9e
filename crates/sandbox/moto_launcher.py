"""Starts moto, the part of the sandbox that is not its own, with its known quirks corrected.

    MOTO_PORT=5000 SANDBOX_SECRET=word AWS_ACCESS_KEY_ID=… python moto_launcher.py --port 5001

MOTO_PORT is the port of the sandbox, so that state machines call every service through it; the
access key is what they sign with. Requests are answered that carry the secret, and no others. It
ends when its stdin does, so that it does not outlive the sandbox.
Each function `correct_...` says what AWS does. `moto_quirks_test.py` shows that moto by itself
still does otherwise: when one of its tests fails, that correction has become superfluous.
"""

import argparse
import datetime
import hmac
import json
import os
import queue
import sys
import threading
import types
import uuid

import boto3
import moto.server
from jsonata import Jsonata
from moto.awslambda.models import EventInvokeConfig, LambdaBackend, LambdaFunction
from moto.awslambda.utils import get_backend as lambda_backend
from moto.cloudformation import responses as stack_responses
from moto.cloudformation.models import ChangeSet, Stack
from moto.cloudformation.parsing import ResourceMap
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.common_models import CloudFormationModel
from moto.core.config import default_user_config
from moto.core.exceptions import (
    AccessDeniedError,
    AWSError,
    InvalidClientTokenIdError,
    SignatureDoesNotMatchError,
)
from moto.core.responses import ActionResult, EmptyResult
from moto.events.models import EventPattern, EventPatternParser
from moto.events.responses import EventsHandler
from moto.iam.access_control import IAMRequest
from moto.iam.models import ManagedPolicy, Role
from moto.moto_api._internal import urls as moto_api_urls
from moto.s3.exceptions import BucketAccessDeniedError
from moto.s3.models import s3_backends
from moto.s3.responses import S3Response
from moto.ssm.models import Document
from moto.stepfunctions import models as states_models
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_lambda
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk as sdk_task,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import (
    ResourceCondition,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
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
from moto.stepfunctions.parser.asl.utils import boto_client
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


def refuse(code, message):
    raise AWSError(message, code, 400)


# --- Step Functions: tokens and callbacks ---------------------------------------------------------

# The endpoint of every token that was ever issued, so that a closed task is told from garbage.
ISSUED = {}
ANSWERING = threading.Lock()


def answer(token, act):
    """Acts on the task that waits for this token. Only the first answer finds it open."""
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
    """AWS: a token that was issued and whose task is closed is answered with TaskTimedOut, and only
    garbage with InvalidToken; a task is closed by its first answer. A heartbeat is accepted by a
    task without HeartbeatSeconds, and does nothing. The cause of SendTaskFailure is kept. Output,
    error and cause have limits."""

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
    """AWS: every attempt of a task has a token of its own, which closes with that attempt; an answer
    that comes before the task began to wait counts, with HeartbeatSeconds too."""

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
            # An execution that was stopped meanwhile has nothing more to catch or to retry.
            if env.is_running():
                raise
            return None
        finally:
            close(endpoint)

    setup_heartbeat_endpoint = CallbackEndpoint.setup_heartbeat_endpoint

    def setup_and_look(self, heartbeat_seconds):
        heartbeat_endpoint = setup_heartbeat_endpoint(self, heartbeat_seconds)
        if self.get_outcome() is not None:
            heartbeat_endpoint.notify()
        return heartbeat_endpoint

    StateTaskServiceCallback._evaluate_with_timeout = evaluate_with_timeout
    CallbackEndpoint.setup_heartbeat_endpoint = setup_and_look


# --- Step Functions: executions ------------------------------------------------------------------


def correct_executions():
    """AWS: an execution without a name is called by a new UUID; a stopped or timed-out execution
    ends at once, waiting tasks included, and keeps the error and cause of StopExecution; the output
    is compact JSON text, also that of a string."""
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

    def leave_tasks(change):
        def change_and_leave(self, *args, **kwargs):
            change(self, *args, **kwargs)
            for endpoint in list(self.callback_pool_manager._pool.values()):
                environment = getattr(endpoint, "environment", None)
                if environment is not None and not environment.is_running():
                    endpoint.interrupt_all()

        return change_and_leave

    def set_error_while_running(self, error):
        if self._program_state is None or isinstance(self._program_state, ProgramRunning):
            set_error(self, error)

    # The status comes last: who sees that an execution has ended sees its result too.
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
    Environment.set_stop = leave_tasks(Environment.set_stop)
    Environment.set_timed_out = leave_tasks(Environment.set_timed_out)
    Environment.set_error = leave_tasks(set_error_while_running)
    BaseExecutionWorkerCommunication._reflect_execution_status = reflect_result_first


def correct_state_machines_of_stacks():
    """AWS: a state machine that CloudFormation made is a state machine like any other."""
    states_models.stepfunctions_backends = stepfunctions_parser_backends


def correct_jsonata():
    """AWS: JSONata is evaluated, and a variable may hold any text."""

    def evaluate(expression):
        try:
            # Through JSON text and back: the engine gives lists of its own, and halves of
            # characters beyond U+FFFF.
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
    """AWS: input and output of a state may have 262,144 bytes of UTF-8. Moto counts the escapes and
    spaces of Python's JSON too, and takes a byte less."""

    def is_within_size_quota(value):
        text = value
        if not isinstance(value, str):
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
        return len(text.encode(errors="surrogatepass")) <= OUTPUT_BYTES_MAX

    for module in (state, state_task_lambda, state_task_service):
        module.is_within_size_quota = is_within_size_quota


def sign_with_the_key_of_the_run():
    """AWS: state machines call with credentials that AWS takes. Moto's have a key of nobody."""
    make_client = boto3.client

    def client(*args, aws_access_key_id, aws_secret_access_key, **kwargs):
        # Those of the environment are taken where none are given.
        return make_client(*args, **kwargs)

    boto_client.boto3 = types.SimpleNamespace(client=client)


def correct_sdk_tasks():
    """AWS: errors of Systems Manager are called `Ssm.`, not `ssm.`. And clients are made one at a time
    and kept: boto3's default session may not be used by several threads at once."""
    make_client = boto_client.boto_client_for
    clients = {}
    making = threading.Lock()

    def kept_client(region, service, state_credentials=None):
        with making:
            if (region, service) not in clients:
                clients[region, service] = make_client(region, service, state_credentials)
            return clients[region, service]

    sdk_task.boto_client_for = kept_client
    sdk_task._SERVICE_ERROR_NAMES["ssm"] = "Ssm"
    return kept_client


def emit_execution_status_events(client_for):
    """AWS: Step Functions tells EventBridge of every execution that starts or ends."""
    start = Execution.start
    reflect = BaseExecutionWorkerCommunication._reflect_execution_status
    events = queue.Queue()

    def publish():
        while True:
            region, entry = events.get()
            try:
                client_for(region, "events").put_events(Entries=[entry])
            except Exception as error:
                print(f"a status event was not published: {error}", file=sys.stderr, flush=True)

    def start_and_tell(self):
        start(self)
        events.put((self.region_name, status_event(self, "RUNNING")))

    def reflect_and_tell(self):
        reflect(self)
        execution = self.execution
        events.put((execution.region_name, status_event(execution, execution.status)))

    threading.Thread(target=publish, daemon=True).start()
    Execution.start = start_and_tell
    BaseExecutionWorkerCommunication._reflect_execution_status = reflect_and_tell


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


# --- CloudFormation, EventBridge, Lambda -----------------------------------------------------------


def correct_list_defaults():
    """AWS: the default of a list parameter is split at its commas, as a given value is."""
    load_parameters = ResourceMap.load_parameters

    def load_and_split(self):
        load_parameters(self)
        for name, parameter in self._template.get("Parameters", {}).items():
            kind = parameter.get("Type", "String")
            value = self.resolved_parameters.get(name)
            if isinstance(value, str) and (
                kind == "CommaDelimitedList" or kind.startswith("List<")
            ):
                self.resolved_parameters[name] = value.split(",")
        self._parsed_resources.update(self.resolved_parameters)

    ResourceMap.load_parameters = load_and_split


def correct_parameters_of_stacks():
    """AWS: the value of a parameter is text, where it is told and where it is used again."""

    def text(value):
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)

    def texts(self):
        values = self.resource_map.resolved_parameters
        return {name: text(value) for name, value in values.items()}

    def told(self):
        return [
            {"ParameterKey": name, "ParameterValue": value} for name, value in texts(self).items()
        ]

    Stack.stack_parameters = property(texts)
    Stack.parameter_list = property(told)


def correct_template_urls():
    """AWS: the URL of a template may hold its bucket in the path, as endpoints that are addresses
    have it."""
    get_template = stack_responses.get_stack_from_s3_url

    def get_template_by_path(template_url, **account):
        # Moto looks into the path when it knows the endpoint by this name.
        return get_template(template_url.replace("//127.0.0.1", "//localhost", 1), **account)

    stack_responses.get_stack_from_s3_url = get_template_by_path


def correct_change_sets():
    """AWS: a stack has the parameters and outputs of the change set that was executed last."""
    apply = ChangeSet.apply

    def apply_all(self):
        apply(self)
        stack = self.stack
        stack.template_dict = self.template_dict
        stack.parameters = stack.resource_map.input_parameters = stack.stack_parameters
        stack.output_map = stack._create_output_map()

    ChangeSet.apply = apply_all


def correct_documents_of_stacks():
    """AWS: the content of a document that CloudFormation made from an object is JSON text."""
    initialize = Document.__init__

    def initialize_from_text(self, *args, **kwargs):
        content = kwargs.get("content")
        if isinstance(content, dict):
            kwargs["content"] = json.dumps(content)
        initialize(self, *args, **kwargs)

    Document.__init__ = initialize_from_text


def correct_policies_of_stacks():
    """AWS: the document of a managed policy of a stack may be JSON text."""
    create = ManagedPolicy.create_from_cloudformation_json.__func__

    def create_from_object(cls, resource_name, cloudformation_json, *args, **kwargs):
        properties = dict(cloudformation_json["Properties"])
        if isinstance(properties["PolicyDocument"], str):
            properties["PolicyDocument"] = json.loads(properties["PolicyDocument"])
        template = {**cloudformation_json, "Properties": properties}
        return create(cls, resource_name, template, *args, **kwargs)

    ManagedPolicy.create_from_cloudformation_json = classmethod(create_from_object)


def correct_policies_of_roles_of_stacks():
    """AWS: a policy within a role of a stack is kept as JSON, like that of any role."""
    put_policy = Role.put_policy

    def put_policy_as_text(self, policy_name, policy):
        put_policy(self, policy_name, policy if isinstance(policy, str) else json.dumps(policy))

    Role.put_policy = put_policy_as_text


def correct_test_event_pattern():
    """AWS: TestEventPattern says whether a pattern matches an event."""

    def test_event_pattern(self):
        raw = self._get_param("EventPattern")
        event = json.loads(self._get_param("Event"))
        pattern = EventPattern(raw, EventPatternParser(raw).parse())
        return self._create_response({"Result": pattern.matches_event(event)})

    EventsHandler.test_event_pattern = test_event_pattern


def correct_event_invoke_config():
    """AWS: CloudFormation makes AWS::Lambda::EventInvokeConfig, and a later configuration of a
    function replaces the earlier one."""

    def put_function_event_invoke_config(self, function_name, config):
        function = self.get_function(function_name)
        function.event_invoke_config = [
            EventInvokeConfig(function.function_arn, function.last_modified, config)
        ]
        return function.event_invoke_config[0].response()

    LambdaBackend.put_function_event_invoke_config = put_function_event_invoke_config


class EventInvokeConfigOfStack(CloudFormationModel):
    """AWS::Lambda::EventInvokeConfig, which moto's CloudFormation passes over."""

    # moto sorts its models by the module they come from.
    __module__ = "moto.awslambda.models"

    def __init__(self, function_name):
        self.physical_resource_id = function_name

    @staticmethod
    def cloudformation_name_type():
        return ""

    @staticmethod
    def cloudformation_type():
        return "AWS::Lambda::EventInvokeConfig"

    @classmethod
    def has_cfn_attr(cls, attr):
        return False

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    ):
        properties = dict(cloudformation_json["Properties"])
        function_name = properties.pop("FunctionName")
        properties.pop("Qualifier", None)
        for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds"):
            if name in properties:
                properties[name] = int(properties[name])
        lambda_backend(account_id, region_name).put_function_event_invoke_config(
            function_name, properties
        )
        return cls(function_name)

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        return cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name
    ):
        """The function keeps nothing: it is deleted with its stack."""

    def is_created(self):
        return True


def correct_code_location():
    """AWS: the location that GetFunction gives is a URL from which the code can be fetched."""
    get_code = LambdaFunction.get_code

    def get_code_with_location(self):
        response = get_code(self)
        location = f"http://127.0.0.1:{os.environ['MOTO_PORT']}/lambda-code"
        key = os.environ["AWS_ACCESS_KEY_ID"]
        if getattr(self, "code_bytes", None) is not None:
            signed = f"X-Amz-Credential={key}/20200101/{self.region}/s3/aws4_request"
            response["Code"] = {
                "Location": f"{location}/{self.region}/{self.function_name}?{signed}",
                "RepositoryType": "S3",
            }
        return response

    def serve_code(request, full_url, headers):
        region, name = request.path.split("/")[-2:]
        function = lambda_backend(DEFAULT_ACCOUNT_ID, region).get_function(name)
        return 200, {"content-type": "application/zip"}, function.code_bytes

    LambdaFunction.get_code = get_code_with_location
    names = "(?P<region>[^/]+)/(?P<name>[^/]+)"
    moto_api_urls.url_paths["{0}/moto-api/lambda-code/" + names + "$"] = serve_code


# --- S3 -------------------------------------------------------------------------------------------


def correct_bucket_owner():
    """AWS: a request that says in x-amz-expected-bucket-owner which account a bucket belongs to is
    denied when it belongs to another."""

    def check_owner_before(respond):
        def check_and_respond(self, request, full_url):
            expected = request.headers.get("x-amz-expected-bucket-owner")
            bucket = self.parse_bucket_name_from_url(request, full_url)
            if expected and bucket in s3_backends.bucket_accounts:
                _, owner = s3_backends.bucket_accounts[bucket]
                if expected != owner:
                    raise BucketAccessDeniedError(bucket)
            return respond(self, request, full_url)

        return check_and_respond

    S3Response._bucket_response = check_owner_before(S3Response._bucket_response)
    S3Response._key_response = check_owner_before(S3Response._key_response)


# --- IAM ------------------------------------------------------------------------------------------


def resources_of(service, operation, body, region, account):
    """The resources for which AWS looks for a permission. Moto itself asks for "*" alone."""
    if service == "states" and operation.startswith("SendTask"):
        endpoint = ISSUED.get(body.get("taskToken"))
        if endpoint is None:
            # A token that was never issued belongs to no state machine: it is refused as a token.
            return [f"arn:aws:states:{region}:{account}:stateMachine:*"]
        return [
            endpoint.environment.states.context_object.context_object_data["StateMachine"]["Id"]
        ]
    if service == "ssm" and operation == "SendCommand":
        name = body.get("DocumentName", "")
        owner = "" if name.startswith("AWS-") else account
        document = (
            name if name.startswith("arn:") else f"arn:aws:ssm:{region}:{owner}:document/{name}"
        )
        # With targets, any node may turn out to be meant.
        nodes = body.get("InstanceIds") or ["*"]
        return [document, *(node_arn(node, region, account) for node in nodes)]
    return ["*"]


def node_arn(node, region, account):
    if node.startswith("mi-"):
        return f"arn:aws:ssm:{region}:{account}:managed-instance/{node}"
    return f"arn:aws:ec2:{region}:{account}:instance/{node}"


def serve_authorization():
    """Lets the sandbox ask, for any call, whether it is signed well and the policies of its role allow
    it. Moto's own check knows only the calls that moto answers, and no resources."""

    def refusal(code, message):
        return 200, {}, json.dumps({"allowed": False, "code": code, "message": message})

    def authorize(request, full_url, headers):
        question = json.loads(request.data)
        operation, body = question["operation"], question["body"].encode()
        try:
            call = IAMRequest(
                account_id=DEFAULT_ACCOUNT_ID,
                method=question["method"],
                path=question["path"],
                data={},
                body=body,
                # Named as a server that speaks to Python names them.
                headers={name.title(): value for name, value in question["headers"].items()},
                action=operation,
            )
            if question["signed"]:
                call.check_signature()
        except InvalidClientTokenIdError as error:
            return refusal("UnrecognizedClientException", error.message)
        except SignatureDoesNotMatchError as error:
            return refusal("InvalidSignatureException", error.message)
        arguments = json.loads(body) if body.startswith(b"{") else {}
        service, region = call._service, call._region
        for resource in resources_of(service, operation, arguments, region, DEFAULT_ACCOUNT_ID):
            try:
                call.check_action_permitted(resource)
            except AccessDeniedError:
                return refusal(
                    "AccessDeniedException",
                    f"User: {call._access_key.arn} is not authorized to perform: "
                    f"{service}:{operation} on resource: {resource} because no identity-based "
                    f"policy allows the {service}:{operation} action",
                )
        return 200, {}, json.dumps({"allowed": True})

    moto_api_urls.url_paths["{0}/moto-api/authorize$"] = authorize


# --- The sandbox ----------------------------------------------------------------------------------


class Door:
    """Answers requests that carry the sandbox's secret, and no others."""

    def __init__(self, application, secret):
        self.application, self.secret = application, secret.encode()

    def __call__(self, environ, start_response):
        given = environ.pop("HTTP_X_SANDBOX_SECRET", "")
        if hmac.compare_digest(given.encode(), self.secret):
            return self.application(environ, start_response)
        start_response("403 Forbidden", [("content-type", "text/plain")])
        return [b"expected the secret of the sandbox\n"]


def close_door(secret):
    application = moto.server.DomainDispatcherApplication
    moto.server.DomainDispatcherApplication = lambda create_app: Door(
        application(create_app), secret
    )


def close_moto_api():
    """What moto can be told about itself: nothing, but what the sandbox asks."""
    moto_api_urls.url_paths.clear()


def end_with_stdin():
    """Ends the process when whoever started it does, however that ends."""

    def wait():
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def correct_all():
    close_moto_api()
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": False}
    correct_callbacks()
    correct_attempts()
    correct_executions()
    correct_state_machines_of_stacks()
    correct_jsonata()
    correct_sizes()
    sign_with_the_key_of_the_run()
    emit_execution_status_events(correct_sdk_tasks())
    correct_list_defaults()
    correct_parameters_of_stacks()
    correct_template_urls()
    correct_change_sets()
    correct_documents_of_stacks()
    correct_policies_of_stacks()
    correct_policies_of_roles_of_stacks()
    correct_test_event_pattern()
    correct_event_invoke_config()
    correct_code_location()
    correct_bucket_owner()
    serve_authorization()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", required=True, help="the port moto listens on, on 127.0.0.1")
    arguments = parser.parse_args()
    for name in ("MOTO_PORT", "SANDBOX_SECRET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if name not in os.environ:
            parser.error(f"{name} is not set")
    correct_all()
    close_door(os.environ.pop("SANDBOX_SECRET"))
    end_with_stdin()
    moto.server.main(["-H", "127.0.0.1", "-p", arguments.port])


if __name__ == "__main__":
    main()
