"""Shows, for each correction in `moto_launcher.py`, that moto alone differs from AWS and that the
corrected moto does not.

    python moto_quirks_test.py

Each test asks the same of both. When moto has mended a quirk, its test fails and says so.
"""

import atexit
import io
import json
import os
import socket
import subprocess
import sys
import time
import unittest
import urllib.request
import zipfile
from functools import partial
from pathlib import Path

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

HERE = Path(__file__).parent
ALONE = """
import sys, moto.server
from moto.core.config import default_user_config
default_user_config["stepfunctions"] = {"execute_state_machine": True}
moto.server.main(["-H", "127.0.0.1", "-p", sys.argv[2]])
"""
# As the sandbox runs it, but for its door.
CORRECTED = """
import sys, moto.server, moto_launcher
moto_launcher.correct_all()
moto.server.main(["-H", "127.0.0.1", "-p", sys.argv[2]])
"""
ROLE = "arn:aws:iam::123456789012:role/tester"
START_SECONDS_MAX = 90
PATIENCE_SECONDS = 10


class Moto:
    """A moto process whose state machines call moto itself, with clients for it."""

    def __init__(self, program):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, *program, "--port", str(port)],
            env={
                **os.environ,
                "MOTO_PORT": str(port),
                "PYTHONPATH": str(HERE),
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self.process.kill)
        self.wait(port)
        self.client = client = partial(
            boto3.client,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        self.states, self.sqs, self.events = (
            client("stepfunctions"),
            client("sqs"),
            client("events"),
        )
        self.stacks, self.functions, self.ssm = (
            client("cloudformation"),
            client("lambda"),
            client("ssm"),
        )
        self.buckets, self.iam, self.tokens = client("s3"), client("iam"), client("sts")
        self.iam.create_role(RoleName="tester", AssumeRolePolicyDocument="{}")
        self.count = 0

    def wait(self, port):
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError("moto does not listen")

    def name(self):
        self.count += 1
        return f"test-{self.count}"

    def machine(self, states, start="Wait"):
        definition = json.dumps({"StartAt": start, "States": states})
        answer = self.states.create_state_machine(
            name=self.name(), definition=definition, roleArn=ROLE
        )
        return answer["stateMachineArn"]

    def execution(self, states, start="Wait", **arguments):
        machine = self.machine(states, start)
        arguments.setdefault("name", self.name())
        answer = self.states.start_execution(stateMachineArn=machine, **arguments)
        return answer["executionArn"]

    def waiting_task(self, **task):
        """A task that waits for its token, and a function that gives each token it sends."""
        queue = self.sqs.create_queue(QueueName=self.name())["QueueUrl"]
        state = {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sqs:sendMessage.waitForTaskToken",
            "Parameters": {"QueueUrl": queue, "MessageBody.$": "$$.Task.Token"},
            "TimeoutSeconds": 60,
            "End": True,
            **task,
        }
        return state, lambda: self.message(queue)

    def message(self, queue, seconds=PATIENCE_SECONDS):
        for _ in range(int(seconds / 0.1)):
            for message in self.sqs.receive_message(QueueUrl=queue).get("Messages", []):
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                return message["Body"]
            time.sleep(0.1)
        return None

    def ended(self, execution, seconds=PATIENCE_SECONDS):
        for _ in range(int(seconds / 0.1)):
            described = self.states.describe_execution(executionArn=execution)
            if described["status"] != "RUNNING":
                break
            time.sleep(0.1)
        return described

    def stack(self, resources, **sections):
        name = self.name()
        template = {"Resources": resources, **sections}
        self.stacks.create_stack(StackName=name, TemplateBody=json.dumps(template))
        outputs = self.stacks.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def function(self):
        name = self.name()
        self.functions.create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role=ROLE,
            Code={"ZipFile": package()},
        )
        return name

    def assumed_role(self, grants):
        """Credentials of a new role that may do this: actions with their resources."""
        name = self.name()
        statements = [
            {"Effect": "Allow", "Action": action, "Resource": resources}
            for action, resources in grants.items()
        ]
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
        answer = self.tokens.assume_role(RoleArn=role["Arn"], RoleSessionName="tester")
        keys = answer["Credentials"]
        return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    def decision(self, credentials, action, signed, sent=None):
        """What the policy engine says to a call with these arguments."""
        service, operation = action.split(":")
        request = AWSRequest("POST", "http://127.0.0.1/", data=json.dumps(signed).encode())
        SigV4Auth(credentials, service, "us-east-1").add_auth(request)
        question = {
            "method": "POST",
            "path": "/",
            "headers": {"host": "127.0.0.1", **request.headers},
            "body": json.dumps(sent or signed),
            "operation": operation,
            "signed": True,
        }
        request = urllib.request.Request(
            f"{self.endpoint}/moto-api/authorize",
            json.dumps(question).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
        return "allowed" if answer["allowed"] else answer["code"]


def package():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("bootstrap", "#!/bin/sh\n")
    return content.getvalue()


def code(call, *arguments, **named):
    """The error's code, or "accepted"."""
    try:
        call(*arguments, **named)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "accepted"


class MotoQuirks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.alone = Moto(["-c", ALONE])
        cls.corrected = Moto(["-c", CORRECTED])

    def check(self, probe, moto, aws):
        self.assertEqual(probe(self.corrected), aws, "not corrected")
        self.assertEqual(
            probe(self.alone), moto, "moto differs from what it was: is this correction needed?"
        )

    def test_the_cause_of_a_failed_task_is_kept(self):
        def probe(moto):
            state, token = moto.waiting_task()
            execution = moto.execution({"Wait": state})
            moto.states.send_task_failure(taskToken=token(), error="E", cause="why")
            return moto.ended(execution).get("cause")

        self.check(probe, moto=None, aws="why")

    def test_a_closed_task_is_told_from_garbage(self):
        def probe(moto):
            state, token = moto.waiting_task()
            execution = moto.execution({"Wait": state})
            token = token()
            moto.states.send_task_success(taskToken=token, output="{}")
            moto.ended(execution)
            calls = moto.states
            return [
                code(calls.send_task_success, taskToken=token, output="{}"),
                code(calls.send_task_failure, taskToken=token),
                code(calls.send_task_heartbeat, taskToken=token),
                code(calls.send_task_success, taskToken="garbage", output="{}"),
            ]

        closed = ["TaskTimedOut"] * 3 + ["InvalidToken"]
        # Without a heartbeat endpoint, moto says of every token that it is invalid.
        self.assertNotEqual(probe(self.alone), closed, "moto has mended this")
        self.assertEqual(probe(self.corrected), closed, "not corrected")

    def test_a_task_that_timed_out_is_closed_while_its_execution_goes_on(self):
        def probe(moto):
            state, token = moto.waiting_task(
                TimeoutSeconds=1, Catch=[{"ErrorEquals": ["States.Timeout"], "Next": "Rest"}]
            )
            moto.execution({"Wait": state, "Rest": {"Type": "Wait", "Seconds": 9, "End": True}})
            token = token()
            time.sleep(1.5)
            return code(moto.states.send_task_success, taskToken=token, output="{}")

        self.check(probe, moto="accepted", aws="TaskTimedOut")

    def test_a_heartbeat_of_a_task_without_heartbeat_seconds_is_accepted(self):
        def probe(moto):
            state, token = moto.waiting_task()
            moto.execution({"Wait": state})
            return code(moto.states.send_task_heartbeat, taskToken=token())

        self.check(probe, moto="InvalidToken", aws="accepted")

    def test_output_and_cause_have_limits(self):
        def probe(moto):
            state, token = moto.waiting_task()
            moto.execution({"Wait": state})
            token = token()
            at_limit = '"' + "x" * 262_142 + '"'
            return [
                code(moto.states.send_task_failure, taskToken=token, cause="x" * 32_769),
                code(moto.states.send_task_success, taskToken=token, output=at_limit + " "),
                code(moto.states.send_task_success, taskToken=token, output=at_limit),
            ]

        limited = ["ValidationException", "InvalidOutput", "accepted"]
        self.assertEqual(probe(self.corrected), limited, "not corrected")
        self.assertEqual(probe(self.alone)[0], "accepted", "moto has mended this")

    def test_each_attempt_has_a_token_of_its_own(self):
        def probe(moto):
            retry = [{"ErrorEquals": ["Again"], "IntervalSeconds": 1, "MaxAttempts": 1}]
            state, token = moto.waiting_task(Retry=retry)
            moto.execution({"Wait": state})
            first = token()
            moto.states.send_task_failure(taskToken=first, error="Again")
            return token() != first

        self.check(probe, moto=False, aws=True)

    def test_an_answer_that_comes_before_the_wait_counts_with_heartbeats_too(self):
        probe = """
import sys
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "corrected":
    import moto_launcher
    moto_launcher.correct_attempts()
from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackEndpoint, CallbackOutcomeSuccess
endpoint = CallbackEndpoint("token")
endpoint.notify(CallbackOutcomeSuccess("token", "{}"))
print(endpoint.setup_heartbeat_endpoint(0.1).clear_and_wait())
"""
        for which, answered in (("alone", "False"), ("corrected", "True")):
            said = subprocess.run(
                [sys.executable, "-c", probe, str(HERE), which],
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            ).stdout
            self.assertEqual(said.strip(), answered, which)

    def test_a_stopped_execution_ends_at_once_with_its_reason(self):
        def probe(moto):
            state, token = moto.waiting_task()
            execution = moto.execution({"Wait": state})
            token()
            moto.states.stop_execution(executionArn=execution, error="E", cause="why")
            described = moto.ended(execution, seconds=2)
            return [described["status"], described.get("error"), described.get("cause")]

        self.check(probe, moto=["RUNNING", None, None], aws=["ABORTED", "E", "why"])

    def test_an_execution_without_a_name_gets_one(self):
        def probe(moto):
            states = {"Rest": {"Type": "Pass", "End": True}}
            machine = moto.machine(states, start="Rest")
            execution = moto.states.start_execution(stateMachineArn=machine)["executionArn"]
            return len(execution.split(":")[-1])

        self.check(probe, moto=len("None"), aws=36)

    def test_an_output_is_compact_json_text(self):
        def probe(moto):
            outputs = []
            for value in ("text", {"a": ["ä"]}):
                state = {"Type": "Pass", "Result": value, "End": True}
                execution = moto.execution({"Rest": state}, start="Rest")
                outputs.append(moto.ended(execution)["output"])
            return outputs

        self.check(probe, moto=["text", '{"a": ["\\u00e4"]}'], aws=['"text"', '{"a":["ä"]}'])

    def test_a_state_machine_of_a_stack_can_be_executed(self):
        def probe(moto):
            definition = {"StartAt": "Rest", "States": {"Rest": {"Type": "Pass", "End": True}}}
            properties = {"DefinitionString": json.dumps(definition), "RoleArn": ROLE}
            outputs = moto.stack(
                {"M": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}},
                Outputs={"Arn": {"Value": {"Ref": "M"}}},
            )
            return code(moto.states.start_execution, stateMachineArn=outputs["Arn"])

        self.check(probe, moto="StateMachineDoesNotExist", aws="accepted")

    def test_jsonata_is_evaluated(self):
        def probe(moto):
            state = {
                "Type": "Pass",
                "QueryLanguage": "JSONata",
                "Assign": {"said": "{% $states.input.said %}"},
                "Output": {"list": "{% [$states.input.said] %}"},
                "Next": "Say",
            }
            say = {
                "Type": "Pass",
                "QueryLanguage": "JSONata",
                "Output": "{% $append($states.input.list, $said) %}",
                "End": True,
            }
            text = json.dumps({"said": 'a "quoted" 😀'})
            execution = moto.execution({"First": state, "Say": say}, start="First", input=text)
            described = moto.ended(execution)
            return json.loads(described["output"]) if "output" in described else None

        self.check(probe, moto=None, aws=['a "quoted" 😀'] * 2)

    def test_an_output_is_measured_in_bytes_of_utf_8(self):
        def probe(moto):
            statuses = []
            for characters in (65_534, 65_536):
                state, token = moto.waiting_task()
                execution = moto.execution({"Wait": state})
                # Four bytes each, two brackets and two quotes.
                output = json.dumps(["\U0001f980" * characters], ensure_ascii=False)
                code(moto.states.send_task_success, taskToken=token(), output=output)
                statuses.append(moto.ended(execution, seconds=2)["status"])
            return statuses

        # One that is too long is not taken at all.
        self.check(probe, moto=["FAILED", "FAILED"], aws=["SUCCEEDED", "RUNNING"])

    def test_errors_of_systems_manager_have_its_name_as_step_functions_writes_it(self):
        def probe(moto):
            execution = moto.execution(
                {
                    "Wait": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::aws-sdk:ssm:getDocument",
                        "Parameters": {"Name": "none"},
                        "End": True,
                    }
                }
            )
            return moto.ended(execution)["error"]

        name = "InvalidDocumentException"
        self.check(probe, moto=f"ssm.{name}", aws=f"Ssm.{name}")

    def test_executions_tell_their_status(self):
        def probe(moto):
            queue = moto.sqs.create_queue(QueueName=moto.name())["QueueUrl"]
            target = f"arn:aws:sqs:us-east-1:123456789012:{queue.split('/')[-1]}"
            rule, pattern = moto.name(), json.dumps({"source": ["aws.states"]})
            moto.events.put_rule(Name=rule, EventPattern=pattern)
            moto.events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": target}])
            moto.execution({"Rest": {"Type": "Fail", "Error": "E", "Cause": "why"}}, start="Rest")
            first, second = moto.message(queue, seconds=1), moto.message(queue, seconds=1)
            moto.events.remove_targets(Rule=rule, Ids=["queue"])
            details = [json.loads(message)["detail"] for message in (first, second) if message]
            return sorted((detail["status"], detail["error"]) for detail in details)

        self.check(probe, moto=[], aws=[("FAILED", "E"), ("RUNNING", None)])

    def test_the_default_of_a_list_parameter_is_a_list(self):
        def probe(moto):
            outputs = moto.stack(
                {"Q": {"Type": "AWS::SQS::Queue"}},
                Parameters={"Names": {"Type": "CommaDelimitedList", "Default": "a,b"}},
                Outputs={"Second": {"Value": {"Fn::Select": [1, {"Ref": "Names"}]}}},
            )
            return outputs["Second"]

        self.check(probe, moto=",", aws="b")

    def test_the_value_of_a_list_parameter_is_text(self):
        def probe(moto):
            name = moto.name()
            template = {
                "Parameters": {"Names": {"Type": "CommaDelimitedList"}},
                "Resources": {"Q": {"Type": "AWS::SQS::Queue"}},
            }
            moto.stacks.create_stack(
                StackName=name,
                TemplateBody=json.dumps(template),
                Parameters=[{"ParameterKey": "Names", "ParameterValue": "a,b"}],
            )
            stack = moto.stacks.describe_stacks(StackName=name)["Stacks"][0]
            return stack["Parameters"][0]["ParameterValue"]

        self.check(probe, moto="['a', 'b']", aws="a,b")

    def test_a_template_is_read_from_the_bucket_in_the_path_of_its_url(self):
        def probe(moto):
            bucket = moto.name()
            template = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
            moto.buckets.create_bucket(Bucket=bucket)
            moto.buckets.put_object(Bucket=bucket, Key="template", Body=template.encode())
            url = f"{moto.endpoint}/{bucket}/template"
            return code(partial(moto.stacks.create_stack, StackName=moto.name(), TemplateURL=url))

        self.check(probe, moto="NoSuchBucket", aws="accepted")

    def test_a_stack_has_the_outputs_of_its_change_set(self):
        def probe(moto):
            name = moto.name()
            template = {
                "Resources": {"Q": {"Type": "AWS::SQS::Queue"}},
                "Outputs": {"Word": {"Value": "hello"}},
            }
            moto.stacks.create_change_set(
                StackName=name,
                ChangeSetName=name,
                ChangeSetType="CREATE",
                TemplateBody=json.dumps(template),
            )
            moto.stacks.execute_change_set(StackName=name, ChangeSetName=name)
            stack = moto.stacks.describe_stacks(StackName=name)["Stacks"][0]
            return [output["OutputValue"] for output in stack.get("Outputs", [])]

        self.check(probe, moto=[], aws=["hello"])

    def test_the_content_of_a_document_of_a_stack_is_json(self):
        def probe(moto):
            name = moto.name()
            properties = {
                "Name": name,
                "DocumentType": "Command",
                "DocumentFormat": "JSON",
                "Content": {"schemaVersion": "2.2", "description": "d", "mainSteps": []},
            }
            moto.stack({"D": {"Type": "AWS::SSM::Document", "Properties": properties}})
            content = moto.ssm.get_document(Name=name)["Content"]
            try:
                return json.loads(content)["schemaVersion"]
            except ValueError:
                return "not JSON"

        self.check(probe, moto="not JSON", aws="2.2")

    def test_the_policy_of_a_stack_may_be_text(self):
        def probe(moto):
            statement = {"Effect": "Allow", "Action": "ssm:SendCommand", "Resource": "*"}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}
            return code(partial(moto.stack, {"P": policy}))

        self.check(probe, moto="MalformedPolicyDocument", aws="accepted")

    def test_a_policy_within_a_role_of_a_stack_is_json(self):
        def probe(moto):
            name = moto.name()
            document = {"Version": "2012-10-17", "Statement": []}
            properties = {
                "RoleName": name,
                "AssumeRolePolicyDocument": document,
                "Policies": [{"PolicyName": "p", "PolicyDocument": document}],
            }
            moto.stack({"R": {"Type": "AWS::IAM::Role", "Properties": properties}})
            kept = moto.iam.get_role_policy(RoleName=name, PolicyName="p")["PolicyDocument"]
            return kept["Version"] if isinstance(kept, dict) else "not JSON"

        self.check(probe, moto="not JSON", aws="2012-10-17")

    def test_a_pattern_can_be_tested(self):
        def probe(moto):
            event = json.dumps({"source": "aws.ssm", "detail": {"status": "Success"}})
            results = []
            for pattern in ({"source": ["aws.ssm"]}, {"detail": {"status": ["Failed"]}}):
                try:
                    answer = moto.events.test_event_pattern(
                        EventPattern=json.dumps(pattern), Event=event
                    )
                    results.append(answer.get("Result"))
                except Exception:
                    results.append(None)
            return results

        self.check(probe, moto=[None, None], aws=[True, False])

    def test_a_stack_configures_asynchronous_invocation(self):
        def probe(moto):
            function = moto.function()
            properties = {
                "FunctionName": function,
                "Qualifier": "$LATEST",
                "MaximumRetryAttempts": 1,
                "MaximumEventAgeInSeconds": 600,
            }
            moto.stack({"C": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": properties}})
            try:
                config = moto.functions.get_function_event_invoke_config(FunctionName=function)
            except ClientError:
                return None
            return config["MaximumRetryAttempts"]

        self.check(probe, moto=None, aws=1)

    def test_a_later_configuration_of_asynchronous_invocation_replaces_the_earlier(self):
        def probe(moto):
            function = moto.function()
            for attempts in (2, 0):
                moto.functions.put_function_event_invoke_config(
                    FunctionName=function, MaximumRetryAttempts=attempts
                )
            config = moto.functions.get_function_event_invoke_config(FunctionName=function)
            return config["MaximumRetryAttempts"]

        self.check(probe, moto=2, aws=0)

    def test_the_code_of_a_function_can_be_fetched(self):
        def probe(moto):
            found = moto.functions.get_function(FunctionName=moto.function())
            location = found.get("Code", {}).get("Location", "")
            if not location.startswith(moto.endpoint):
                return "elsewhere"
            # In the sandbox, the gateway leads there.
            location = location.replace("/lambda-code/", "/moto-api/lambda-code/", 1)
            with urllib.request.urlopen(location) as response:
                return zipfile.ZipFile(io.BytesIO(response.read())).namelist()

        self.check(probe, moto="elsewhere", aws=["bootstrap"])

    def test_a_bucket_of_another_account_than_expected_is_denied(self):
        def probe(moto):
            bucket = moto.name()
            role = "arn:aws:iam::210987654321:role/tester"
            keys = moto.tokens.assume_role(RoleArn=role, RoleSessionName="tester")["Credentials"]
            moto.client(
                "s3",
                aws_access_key_id=keys["AccessKeyId"],
                aws_secret_access_key=keys["SecretAccessKey"],
                aws_session_token=keys["SessionToken"],
            ).create_bucket(Bucket=bucket)
            codes = []
            for owner in ("123456789012", "210987654321"):
                expected = {"Bucket": bucket, "ExpectedBucketOwner": owner}
                codes += [
                    code(moto.buckets.get_bucket_location, **expected),
                    code(moto.buckets.head_bucket, **expected),
                    code(moto.buckets.put_object, Key="key", Body=b"", **expected),
                    code(moto.buckets.head_object, Key="key", **expected),
                ]
            return codes

        # The answer to a HEAD has no body, and so no name for the error.
        denied = ["AccessDenied", "403", "AccessDenied", "403"]
        self.check(probe, moto=["accepted"] * 8, aws=denied + ["accepted"] * 4)


class Authorization(unittest.TestCase):
    """What the launcher adds to moto: a word on any call, for the resources that it is about."""

    @classmethod
    def setUpClass(cls):
        cls.moto = Moto(["-c", CORRECTED])

    def waiting(self):
        """The ARN of a state machine, and a token that belongs to it."""
        task, token = self.moto.waiting_task()
        execution = self.moto.execution({"Wait": task})
        return execution.replace(":execution:", ":stateMachine:").rpartition(":")[0], token()

    def test_a_token_belongs_to_its_state_machine(self):
        machine, token = self.waiting()
        _, other_token = self.waiting()
        role = self.moto.assumed_role({"states:SendTaskSuccess": machine})
        for action, arguments, expected in (
            ("states:SendTaskSuccess", {"taskToken": token}, "allowed"),
            ("states:SendTaskSuccess", {"taskToken": other_token}, "AccessDeniedException"),
            ("states:SendTaskFailure", {"taskToken": token}, "AccessDeniedException"),
        ):
            self.assertEqual(self.moto.decision(role, action, arguments), expected, action)

    def test_a_command_needs_its_document_and_each_of_its_nodes(self):
        role = self.moto.assumed_role(
            {
                "ssm:SendCommand": [
                    "arn:aws:ssm:us-east-1:123456789012:document/Own",
                    "arn:aws:ec2:us-east-1:123456789012:instance/i-1",
                ]
            }
        )
        for document, nodes, expected in (
            ("Own", ["i-1"], "allowed"),
            ("Own", ["i-1", "i-2"], "AccessDeniedException"),
            ("Own", [], "AccessDeniedException"),
            ("AWS-RunShellScript", ["i-1"], "AccessDeniedException"),
        ):
            arguments = {"DocumentName": document, "InstanceIds": nodes}
            decision = self.moto.decision(role, "ssm:SendCommand", arguments)
            self.assertEqual(decision, expected, arguments)

    def test_a_signature_is_checked(self):
        role = self.moto.assumed_role({"ssm:ListCommands": "*"})
        check = partial(self.moto.decision, action="ssm:ListCommands", signed={"MaxResults": 5})
        self.assertEqual(check(role), "allowed")
        self.assertEqual(check(role, sent={"MaxResults": 6}), "InvalidSignatureException")
        stranger = Credentials("ASIAEXAMPLEEXAMPLE12", "secret", "token")
        self.assertEqual(check(stranger), "UnrecognizedClientException")


if __name__ == "__main__":
    unittest.main()
